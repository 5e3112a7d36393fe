//! Benchmarks beside the peers, in one run: builds them in release and hands the options on. The peers'
//! Python side stands in `benches/peers/`.

use anyhow::{Result, bail};

use crate::shell;

/// Runs `train`, `infer`, `layers` or `serve`.
///
/// # Errors
/// When the benchmark is unknown, does not build, or fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let Some((name, options)) = arguments.split_first() else {
        bail!("which benchmark? train, infer, layers or serve")
    };
    if !["train", "infer", "layers", "serve"].contains(&name.as_str()) {
        bail!("there is no benchmark {name:?}; there are train, infer, layers and serve");
    }
    if name == "serve" {
        shell::run("cargo", &["build", "--release", "--locked", "--package", "modelyard"])?;
    }
    let run = ["run", "--release", "--locked", "--package", "modelyard-bench", "--bin", name, "--"];
    let all: Vec<&str> = run.into_iter().chain(options.iter().map(String::as_str)).collect();
    shell::run("cargo", &all)
}
