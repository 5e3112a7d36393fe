//! `modelyard routes rollback`: undo the last change of a route.

use clap::Args;
use modelyard_types::ModelName;

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard routes rollback digits              back to the route before
  modelyard routes rollback digits --why \"too many wrong sevens\"

Repeated, it walks further back, as undo does. A canary that a server withdrew
comes back by it, too.

With --json: as `modelyard routes set`, with the kind \"rollback\"";

/// Undo the last change of a route.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct RollbackArgs {
    /// The model's name.
    model: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Puts the route before in force again.
///
/// # Errors
/// A model that is not there, or a route with nothing before.
pub(crate) fn run(args: &RollbackArgs, output: &mut Output) -> Result<(), Failure> {
    let changed = wiring::block_on(async {
        let registry = args.change.open().await?;
        Ok(registry.rollback_route(&args.model, &wiring::caller(), &args.change.why).await?)
    })?;
    change::print(&args.model, Some(&changed), output);
    Ok(())
}
