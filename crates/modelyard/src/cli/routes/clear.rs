//! `modelyard routes clear`: leave every request to the live version.

use clap::Args;
use modelyard_registry::document::Route;
use modelyard_registry::{GateRule, NewRoute};
use modelyard_types::ModelName;

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard models promote digits 4             the canary did well: it is live now
  modelyard routes clear digits                 and its route is not needed any more
  modelyard routes clear digits --store routes  of a folder: its highest version is live again

With --json: as `modelyard routes set`";

/// Take canary and shadow away: every request goes to the live version again.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ClearArgs {
    /// The model's name.
    model: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Puts the empty route in force.
///
/// # Errors
/// A model that is not there.
pub(crate) fn run(args: ClearArgs, output: &mut Output) -> Result<(), Failure> {
    let name = args.model;
    let changed = wiring::block_on(async {
        let registry = args.change.open().await?;
        let (route, gates) = (Route::default(), GateRule::MustPass);
        let wish = NewRoute { name: name.clone(), route, gates, by: wiring::caller(), why: args.change.why };
        Ok(registry.set_route(wish).await?)
    })?;
    change::print(&name, changed.as_ref(), output);
    Ok(())
}
