//! `modelyard routes`: which versions answer beside the live one, and for whom.

mod change;
mod clear;
mod history;
mod rollback;
mod set;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;

/// Try a version on a share of the requests or on copies of them; undo that with one command.
#[derive(Debug, Args)]
pub(crate) struct RoutesArgs {
    #[command(subcommand)]
    command: RoutesCommand,
}

#[derive(Debug, Subcommand)]
enum RoutesCommand {
    Show(show::ShowArgs),
    Set(Box<set::SetArgs>),
    Clear(clear::ClearArgs),
    Rollback(rollback::RollbackArgs),
    History(history::HistoryArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever the command could not do.
pub(crate) fn run(args: RoutesArgs, output: &mut Output) -> Result<(), Failure> {
    match args.command {
        RoutesCommand::Show(args) => show::run(&args, output),
        RoutesCommand::Set(args) => set::run(&args, output),
        RoutesCommand::Clear(args) => clear::run(args, output),
        RoutesCommand::Rollback(args) => rollback::run(&args, output),
        RoutesCommand::History(args) => history::run(&args, output),
    }
}
