//! `modelyard models promote`: point an alias at a version.

use clap::Args;
use clap::builder::FalseyValueParser;
use modelyard_registry::{GateRule, Promotion};
use modelyard_types::{Alias, ModelName, VersionSelector};

use super::history::MoveJson;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard models promote digits 2             serve version 2 from now on
  modelyard models promote digits 3 --alias candidate
  modelyard models promote digits 3 --force --why \"the gate was set too high\"

A running server picks the move up without a restart. A version that missed a
gate is promoted with --force only.

With --json: {\"model\": name, \"alias\": alias, \"kind\": \"promote\", \"from\": number
  or null, \"to\": number, \"at\": time, \"by\": who, \"why\": text}";

/// Point an alias at a version: what `live` points at is what a server answers with.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct PromoteArgs {
    /// The model's name.
    model: ModelName,
    /// A version number, or another alias.
    version: VersionSelector,
    /// The alias to move; it is made where it is new.
    #[arg(long, env = "MODELYARD_ALIAS", default_value = "live")]
    alias: Alias,
    /// Promote it even though it missed a gate.
    #[arg(long, env = "MODELYARD_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Moves the alias.
///
/// # Errors
/// A model or version that is not there, or one that missed a gate.
pub(crate) fn run(args: PromoteArgs, output: &mut Output) -> Result<(), Failure> {
    let name = args.model.clone();
    let moved = wiring::block_on(async {
        let registry = args.change.open().await?;
        let version = registry.find(&args.model, &args.version).await?.version;
        let promotion = Promotion {
            name: args.model,
            alias: args.alias,
            version,
            gates: if args.force { GateRule::Override } else { GateRule::MustPass },
            by: wiring::caller(),
            why: args.change.why,
        };
        Ok(registry.promote(promotion).await?)
    })?;
    let from = moved.from.map(|from| format!(" (before: {from})")).unwrap_or_default();
    output.text(format!("{} of {name} points at version {}{from}", moved.alias, moved.to));
    output.json(&MoveJson::new(&name, &moved));
    Ok(())
}
