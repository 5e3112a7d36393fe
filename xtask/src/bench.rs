//! Benchmarks beside the peers, in one run: builds them in release and hands the options on. The peers'
//! Python side stands in `benches/peers/`; a Python that has what they import is found here.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{packages, shell};

struct Bench {
    name: &'static str,
    peer: Option<Peer>,
}

/// The option that names a benchmark's peer, and how that peer is found where the option is missing.
struct Peer {
    flag: &'static str,
    find: fn() -> Option<PathBuf>,
}

const BENCHES: [Bench; 5] = [
    Bench { name: "train", peer: Some(Peer { flag: "--peer-python", find: || python("torch") }) },
    Bench { name: "infer", peer: Some(Peer { flag: "--onnxruntime", find: packages::onnxruntime_library }) },
    Bench { name: "layers", peer: None },
    Bench {
        name: "serve",
        peer: Some(Peer { flag: "--peer-python", find: || python("fastapi, uvicorn, onnxruntime") }),
    },
    Bench { name: "steady", peer: None },
];

/// Benchmarks that run the program itself.
const RUN_PROGRAM: [&str; 2] = ["serve", "steady"];

/// Runs one of [`BENCHES`].
///
/// # Errors
/// When the benchmark is unknown, does not build, or fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let names = BENCHES.map(|bench| bench.name).join(", ");
    let Some((name, options)) = arguments.split_first() else { bail!("which benchmark? {names}") };
    let Some(bench) = BENCHES.iter().find(|bench| bench.name == name) else {
        bail!("there is no benchmark {name:?}; there are {names}");
    };
    if RUN_PROGRAM.contains(&name.as_str()) {
        shell::run("cargo", &["build", "--release", "--locked", "--package", "modelyard"])?;
        shell::run("cargo", &["build", "--release", "--locked", "--package", "modelyard-bench", "--bins"])?;
    }
    let run = ["run", "--release", "--locked", "--package", "modelyard-bench", "--bin", name, "--"];
    let peer = peer_option(bench, options);
    let given = options.iter().map(String::as_str).chain(peer.iter().map(String::as_str));
    shell::run("cargo", &run.into_iter().chain(given).collect::<Vec<_>>())
}

/// The option that names the peer, unless it was given; nothing, and said so, where no peer is found.
fn peer_option(bench: &Bench, options: &[String]) -> Vec<String> {
    let Some(Peer { flag, find }) = &bench.peer else { return Vec::new() };
    if options.iter().any(|option| option == flag) {
        return Vec::new();
    }
    if let Some(path) = find() {
        return vec![(*flag).to_owned(), path.to_string_lossy().into_owned()];
    }
    println!("no peer to measure beside was found, so this measures Modelyard alone");
    println!("hint: `cargo xtask packages` installs ONNX Runtime; a Python environment with torch, fastapi,");
    println!("      uvicorn and onnxruntime is found at target/peers, or named by {flag}");
    Vec::new()
}

/// The first Python that can import what a peer needs.
fn python(imports: &str) -> Option<PathBuf> {
    let peers = shell::root().join("target/peers/bin/python");
    let candidates = [peers, packages::python_environment().join("bin/python"), PathBuf::from("python3")];
    let works =
        |python: &PathBuf| shell::works(&python.to_string_lossy(), &["-c", &format!("import {imports}")]);
    candidates.into_iter().find(works)
}
