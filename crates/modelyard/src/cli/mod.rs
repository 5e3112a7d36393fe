//! The command line: global flags, the list of commands, and which file runs each.

mod arguments;
mod ask;
mod backtest;
mod check;
mod completions;
mod doctor;
mod evaluate;
mod export;
mod generate;
mod graphs;
mod import;
mod models;
mod new;
mod predict;
mod reference;
mod routes;
mod runs;
mod serve;
mod split;
mod train;
mod up;

use clap::builder::FalseyValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use self::arguments::{STORE_FOLDER, StoreArgs};
use crate::failure::{Failure, exit_code_table};
use crate::output::Output;

const ABOUT: &str = "From a data file to a trained, tested, versioned model behind an API.";

const LONG_ABOUT: &str = "\
From a data file to a trained, tested, versioned model behind an API.

A project is a folder with a `modelyard.toml` that says where the data is,
what goes in, what comes out, how the network looks, how it is trained and how
good it must be. `modelyard up` does all the rest: it trains, scores,
publishes a version and serves it. The other commands do one step each.";

const EXAMPLES: &str = "\
Start here:
  modelyard new flowers      a project folder to start from, with real data
  modelyard up flowers       train, score, publish and serve it
  modelyard up flowers       again: nothing has changed, so it only serves

Every flag can also be set as an environment variable: MODELYARD_ and the
flag's name in capitals, such as MODELYARD_LISTEN for --listen. A flag on the
command line wins.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "modelyard", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_long_help = after_help(), max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\nExit codes:\n{}", exit_code_table().trim_end())
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Print results as JSON on standard output, and errors as JSON on standard error.
    #[arg(long, global = true, env = "MODELYARD_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
    /// Print the result only: no progress, no remarks.
    #[arg(long, short, global = true, env = "MODELYARD_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// What to log on standard error: error, warn, info, debug, trace, or a list such as
    /// `modelyard_serve=debug,warn`.
    #[arg(long, global = true, env = "MODELYARD_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// The ONNX Runtime library (`libonnxruntime.so`) to run imported models with. Without it the
    /// usual places are searched; `modelyard doctor` says what was found.
    #[arg(long, global = true, env = "MODELYARD_ONNXRUNTIME", value_name = "FILE")]
    pub(crate) onnxruntime: Option<std::path::PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::UpArgs),
    New(new::NewArgs),
    Check(check::CheckArgs),
    Train(train::TrainArgs),
    Evaluate(evaluate::EvaluateArgs),
    Backtest(backtest::BacktestArgs),
    Predict(predict::PredictArgs),
    Ask(ask::AskArgs),
    Generate(generate::GenerateArgs),
    Models(models::ModelsArgs),
    Routes(routes::RoutesArgs),
    Graphs(graphs::GraphsArgs),
    Runs(runs::RunsArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Split(split::SplitArgs),
    Serve(serve::ServeArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever the command could not do.
pub(crate) fn run(cli: Cli, output: &mut Output) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => up::run(args, &global, output),
        Command::New(args) => new::run(&args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Train(args) => train::run(args, &global, output),
        Command::Evaluate(args) => evaluate::run(&args, output),
        Command::Backtest(args) => backtest::run(&args, &global, output),
        Command::Predict(args) => predict::run(&args, output),
        Command::Ask(args) => ask::run(&args),
        Command::Generate(args) => generate::run(&args, output),
        Command::Models(args) => models::run(args, output),
        Command::Routes(args) => routes::run(args, output),
        Command::Graphs(args) => graphs::run(args, output),
        Command::Runs(args) => runs::run(args, output),
        Command::Import(args) => import::run(&args, &global, output),
        Command::Export(args) => export::run(&args, output),
        Command::Split(args) => split::run(&args, &global, output),
        Command::Serve(args) => serve::run(args, &global, output),
        Command::Doctor(args) => doctor::run(&args, &global, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Reference(args) => reference::run(&args, output),
    }
}

/// The command line's definition, for completions and the reference page.
fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let mut all = vec![(path.to_owned(), command.clone())];
        for sub in command.get_subcommands() {
            all.extend(commands(sub, &format!("{path} {}", sub.get_name())));
        }
        all
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn every_flag_has_its_environment_twin() {
        for (path, command) in commands(&definition(), "modelyard") {
            for flag in command.get_opts().chain(command.get_arguments().filter(|a| !a.is_positional())) {
                let Some(long) = flag.get_long() else {
                    panic!("{path}: {} has no long name", flag.get_id())
                };
                let want = format!("MODELYARD_{}", long.to_uppercase().replace('-', "_"));
                let got = flag.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(got.as_deref(), Some(want.as_str()), "{path} --{long}");
            }
        }
    }

    #[test]
    fn every_command_and_flag_explains_itself() {
        for (path, command) in commands(&definition(), "modelyard") {
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            if command.get_subcommands().next().is_none() && !command.is_hide_set() {
                assert!(command.get_after_long_help().is_some(), "{path} shows no example");
            }
        }
    }
}
