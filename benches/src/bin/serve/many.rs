//! What a hundred small models cost in memory.

use std::path::Path;

use anyhow::{Result, ensure};
use modelyard_bench::client::{Connection, post};
use modelyard_bench::models::{import, infer_body, mlp};
use modelyard_bench::process::memory_mb;
use modelyard_bench::server::Server;

const MODELS: u64 = 100;
const MEMORY_MAX_MB: f64 = 200.0;

/// Imports them, serves them, and asks each once.
///
/// # Errors
/// Where one of them does not answer.
pub(crate) fn measure(binary: &Path, folder: &Path) -> Result<()> {
    let store = folder.join("many");
    for seed in 0..MODELS {
        import(binary, &store, &format!("m{seed}"), &mlp(seed)?)?;
    }
    let server = Server::start(binary, &store, &[])?;
    let body = infer_body(&[100]).to_string();
    let mut connection = Connection::open(server.address())?;
    for number in 0..MODELS {
        let reply = connection.ask(&post(&format!("/v2/models/m{number}/infer"), body.as_bytes()))?;
        ensure!(reply.status == 200, "model {number} answers {}", reply.status);
    }
    let memory = memory_mb(server.process());
    println!("{MODELS} small models loaded: {memory:.0} MB (target: at most {MEMORY_MAX_MB:.0})");
    Ok(())
}
