//! The binary: reads the command line, the environment and the clock, wires the floors below together,
//! and turns every failure into one message and one documented exit code.

mod bug;
mod cli;
mod clock;

mod curl;
mod example;
mod failure;
mod files;
mod live;
mod logging;
mod model_settings;
mod onnxruntime;
mod output;
mod progress;
mod recording;
mod report;
mod serving;
mod signals;
mod stored;
mod table;
mod training;
mod watching;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::print_usage_error(&error),
    };
    let mut output = Output::new(cli.global.json, cli.global.quiet);
    bug::log_panics();
    let result = bug::guard(|| logging::start(&cli.global.log).and_then(|()| cli::run(cli, &mut output)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.print_failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
