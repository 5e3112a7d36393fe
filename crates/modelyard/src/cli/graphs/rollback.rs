//! `modelyard graphs rollback`: undo the last change of a graph.

use clap::Args;
use modelyard_types::ModelName;

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard graphs rollback diagnosis           back to the graph before
  modelyard graphs rollback diagnosis --why \"the second opinion was wrong\"

Repeated, it walks further back, as undo does. A graph that was deleted comes
back by it, too.

With --json: as `modelyard graphs set`, with the kind \"rollback\"";

/// Undo the last change of a graph.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct RollbackArgs {
    /// The graph's name.
    name: ModelName,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Puts the graph before in force again.
///
/// # Errors
/// A graph that never was, or with nothing before; models that do not go together any more.
pub(crate) fn run(args: &RollbackArgs, output: &mut Output) -> Result<(), Failure> {
    let changed = wiring::block_on(async {
        let registry = args.change.open().await?;
        Ok(registry.rollback_graph(&args.name, &wiring::caller(), &args.change.why).await?)
    })?;
    change::print(&args.name, &changed, output);
    Ok(())
}
