//! The project's own chores: `cargo xtask ci` is what CI runs and what the README tells newcomers to run.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its standard streams"
)]
#![allow(clippy::disallowed_methods, reason = "a chore reads its own command line, environment and clock")]

mod bench;
mod ci;
mod deny;
mod floors;
mod fuzz;
mod generated;
mod image;
mod packages;
mod shell;
mod tidy;
mod translation;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci          all checks and tests, cheapest first; installs the packages that the tests need
  tidy        floors, file lengths, opening comments, pins, README in both languages
  deny        licences, duplicate versions and sources of every dependency
  generated   compare schemas and reference pages with the code   [--write to renew them]
  packages    install the Debian and PyPI packages that the tests and benchmarks need
  bench       train | infer | layers | serve | steady: measure    [options go to the benchmark]
  fuzz        run every fuzz target for a while                   [--seconds N] [--target NAME]
  image       build the container image of a static binary        [--tag NAME] [--check]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match arguments.first().map(String::as_str) {
        Some("ci") => ci::run(),
        Some("tidy") => tidy::run(),
        Some("deny") => deny::run(),
        Some("generated") => generated::run(rest),
        Some("packages") => packages::run(),
        Some("bench") => bench::run(rest),
        Some("fuzz") => fuzz::run(rest),
        Some("image") => image::run(rest),
        Some("help" | "--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
