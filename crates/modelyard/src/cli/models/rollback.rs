//! `modelyard models rollback`: point an alias back at what it was before.

use clap::Args;
use modelyard_types::{Alias, ModelName};

use super::history::MoveJson;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard models rollback digits              back to what was live before
  modelyard models rollback digits --why \"too many wrong sevens\"

Repeated, it walks further back, as undo does. A running server picks the move
up without a restart.

With --json: {\"model\": name, \"alias\": alias, \"kind\": \"rollback\", \"from\":
  number, \"to\": number, \"at\": time, \"by\": who, \"why\": text}";

/// Point an alias back at the version it pointed at before.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct RollbackArgs {
    /// The model's name.
    model: ModelName,
    /// The alias to move back.
    #[arg(long, env = "MODELYARD_ALIAS", default_value = "live")]
    alias: Alias,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Moves the alias back.
///
/// # Errors
/// A model or alias that is not there, or an alias that has nothing before.
pub(crate) fn run(args: &RollbackArgs, output: &mut Output) -> Result<(), Failure> {
    let moved = wiring::block_on(async {
        let registry = args.change.open().await?;
        Ok(registry.rollback(&args.model, &args.alias, &wiring::caller(), &args.change.why).await?)
    })?;
    let from = moved.from.map(|from| format!(" (before: {from})")).unwrap_or_default();
    output.text(format!("{} of {} points at version {} again{from}", moved.alias, args.model, moved.to));
    output.json(&MoveJson::new(&args.model, &moved));
    Ok(())
}
