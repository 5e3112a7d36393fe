//! Benchmarks beside the peers, in one run: builds them in release and hands the options on. The peers'
//! Python side stands in `benches/peers/`.

use anyhow::{Result, bail};

use crate::shell;

/// Every benchmark, and whether it runs the program itself.
const BENCHMARKS: [(&str, bool); 5] =
    [("train", false), ("infer", false), ("layers", false), ("serve", true), ("steady", true)];

/// Runs one of [`BENCHMARKS`].
///
/// # Errors
/// When the benchmark is unknown, does not build, or fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let names = BENCHMARKS.map(|(name, _)| name).join(", ");
    let Some((name, options)) = arguments.split_first() else { bail!("which benchmark? there are {names}") };
    let Some((_, runs_program)) = BENCHMARKS.iter().find(|(known, _)| known == name) else {
        bail!("there is no benchmark {name:?}; there are {names}");
    };
    if *runs_program {
        shell::run("cargo", &["build", "--release", "--locked", "--package", "modelyard"])?;
        shell::run("cargo", &["build", "--release", "--locked", "--package", "modelyard-bench", "--bins"])?;
    }
    let run = ["run", "--release", "--locked", "--package", "modelyard-bench", "--bin", name, "--"];
    let all: Vec<&str> = run.into_iter().chain(options.iter().map(String::as_str)).collect();
    shell::run("cargo", &all)
}
