//! Serving cost: `modelyard serve` with imported networks, by every wire it speaks, beside FastAPI over ONNX
//! Runtime and beside the bare HTTP stack with a fixed answer, by turns.
//!
//! `serve [--binary PATH] [--peer-python PYTHON] [--connections 1,16] [--seconds N] [--rounds N] [--only
//! CASE,…]`. Checks first that all that are asked over HTTP/1 answer alike, then loads each with `wrk` (gRPC with `h2load`) and prints
//! requests a second, latencies, errors, CPU time a request of the whole process tree, memory and cold start;
//! last the ratios of medians beside their targets. What has no tool or no peer here is left out aloud.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod cases;
mod contender;
mod load;
mod many;
mod messages;
mod summary;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use modelyard_bench::process::built_beside;

use crate::contender::{Measured, Rows};

/// What to measure.
pub(crate) struct Options {
    /// The program itself.
    pub(crate) binary: PathBuf,
    /// A Python that has the peer's packages.
    pub(crate) peer_python: Option<String>,
    /// Whether `h2load` is here.
    pub(crate) has_h2load: bool,
    /// How many ask at once.
    pub(crate) connections: Vec<usize>,
    /// How long each is loaded.
    pub(crate) seconds: u64,
    rounds: usize,
    only: Vec<String>,
}

fn main() -> Result<()> {
    let options = options()?;
    let folder = tempfile::tempdir()?;
    let mut contenders = cases::contenders(&options, folder.path())?;
    contenders.retain(|contender| options.wants(contender.name));
    let mut rows = Rows::new();
    for _ in 0..options.rounds {
        for contender in &contenders {
            contender.measure(options.seconds, &mut rows)?;
        }
    }
    if options.wants("models100") {
        many::measure(&options.binary, folder.path())?;
    }
    summary::print(&rows);
    let errors: u64 = rows.values().flatten().map(|row: &Measured| row.errors).sum();
    ensure!(errors == 0, "{errors} requests failed");
    Ok(())
}

impl Options {
    fn wants(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case)
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        binary: built_beside("modelyard")?,
        peer_python: Some("python3".to_owned()),
        has_h2load: works("h2load", &["--version"]),
        connections: vec![1, 16],
        seconds: 5,
        rounds: 3,
        only: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--binary" => options.binary = value.into(),
            "--peer-python" => options.peer_python = Some(value),
            "--connections" => {
                options.connections = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--seconds" => options.seconds = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            _ => bail!("unknown option {flag}"),
        }
    }
    ensure!(options.binary.exists(), "{} is not built", options.binary.display());
    let has_peer = |python: &String| works(python, &["-c", "import fastapi, uvicorn, onnxruntime"]);
    options.peer_python = options.peer_python.filter(has_peer);
    if options.peer_python.is_none() {
        println!("no Python with fastapi, uvicorn and onnxruntime was found (--peer-python): no peer");
    }
    if !options.has_h2load {
        println!("h2load (Debian package nghttp2-client) was not found: no gRPC");
    }
    Ok(options)
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let run = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
