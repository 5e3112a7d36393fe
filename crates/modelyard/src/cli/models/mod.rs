//! `modelyard models`: look at the versions in a store and say which one is served.

mod compare;
mod history;
mod list;
mod promote;
mod rollback;
mod show;
mod verify;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;

/// List, show and compare model versions; move the aliases that say which one is served.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Compare(compare::CompareArgs),
    Promote(promote::PromoteArgs),
    Rollback(rollback::RollbackArgs),
    History(history::HistoryArgs),
    Verify(verify::VerifyArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever the command could not do.
pub(crate) fn run(args: ModelsArgs, output: &mut Output) -> Result<(), Failure> {
    match args.command {
        ModelsCommand::List(args) => list::run(&args, output),
        ModelsCommand::Show(args) => show::run(&args, output),
        ModelsCommand::Compare(args) => compare::run(&args, output),
        ModelsCommand::Promote(args) => promote::run(args, output),
        ModelsCommand::Rollback(args) => rollback::run(&args, output),
        ModelsCommand::History(args) => history::run(&args, output),
        ModelsCommand::Verify(args) => verify::run(&args, output),
    }
}
