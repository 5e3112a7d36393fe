//! `modelyard graphs delete`: take a graph away.

use clap::Args;
use modelyard_types::ModelName;

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard graphs delete diagnosis
  modelyard graphs rollback diagnosis           and it is back

With --json: as `modelyard graphs set`, with the kind \"deletion\" and no declared graph";

/// Take a graph away: it is not served any more.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct DeleteArgs {
    /// The graph's name.
    name: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Takes the graph away.
///
/// # Errors
/// A graph that is not there.
pub(crate) fn run(args: &DeleteArgs, output: &mut Output) -> Result<(), Failure> {
    let changed = wiring::block_on(async {
        let registry = args.change.open().await?;
        Ok(registry.delete_graph(&args.name, &wiring::caller(), &args.change.why).await?)
    })?;
    change::print(&args.name, &changed, output);
    Ok(())
}
