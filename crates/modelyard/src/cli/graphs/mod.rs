//! `modelyard graphs`: models joined into one endpoint.

mod change;
mod delete;
mod history;
mod list;
mod rollback;
mod set;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;

/// Join models into one endpoint: one after the other, side by side, or by a condition.
#[derive(Debug, Args)]
pub(crate) struct GraphsArgs {
    #[command(subcommand)]
    command: GraphsCommand,
}

#[derive(Debug, Subcommand)]
enum GraphsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Set(set::SetArgs),
    Delete(delete::DeleteArgs),
    Rollback(rollback::RollbackArgs),
    History(history::HistoryArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever the command could not do.
pub(crate) fn run(args: GraphsArgs, output: &mut Output) -> Result<(), Failure> {
    match args.command {
        GraphsCommand::List(args) => list::run(&args, output),
        GraphsCommand::Show(args) => show::run(&args, output),
        GraphsCommand::Set(args) => set::run(args, output),
        GraphsCommand::Delete(args) => delete::run(&args, output),
        GraphsCommand::Rollback(args) => rollback::run(&args, output),
        GraphsCommand::History(args) => history::run(&args, output),
    }
}
