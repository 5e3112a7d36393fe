//! `modelyard runs`: look at what was trained, how it went, and what became of it.

mod compare;
mod list;
mod report;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;

/// List, show and compare training runs; read a run's report.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    command: RunsCommand,
}

#[derive(Debug, Subcommand)]
enum RunsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Compare(compare::CompareArgs),
    Report(report::ReportArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever the command could not do.
pub(crate) fn run(args: RunsArgs, output: &mut Output) -> Result<(), Failure> {
    match args.command {
        RunsCommand::List(args) => list::run(&args, output),
        RunsCommand::Show(args) => show::run(&args, output),
        RunsCommand::Compare(args) => compare::run(&args, output),
        RunsCommand::Report(args) => report::run(&args, output),
    }
}

/// A score with four digits, or a dash.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}
