//! SIGTERM under load: what was taken is answered, and the process ends within its grace.

use std::time::{Duration, Instant};

use anyhow::Result;
use modelyard_bench::load::Load;

use crate::trial::{CLIENTS, Ground, Line, at_most, heavy_request, no_errors, small_request};

const BEFORE: Duration = Duration::from_secs(2);
/// The grace that Kubernetes gives.
const GRACE_MAX_S: f64 = 30.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let ways = [
        ("small", small_request(), ["small: failed requests", "small: until the end", "small: exit code"]),
        ("heavy", heavy_request(), ["heavy: failed requests", "heavy: until the end", "heavy: exit code"]),
    ];
    for (model, request, [failed, until, code]) in ways {
        let mut server = ground.serve(model, &[])?;
        let load = Load { address: server.address(), request, connections: CLIENTS, rate: None }.start();
        std::thread::sleep(BEFORE);
        let start = Instant::now();
        server.terminate()?;
        let status = server.wait(Duration::from_secs(60))?;
        let took = start.elapsed().as_secs_f64();
        lines.push(no_errors(failed, &load.join()));
        lines.push(at_most(until, took, GRACE_MAX_S, "s"));
        let told = status.code().map_or_else(|| status.to_string(), |code| code.to_string());
        lines.push(Line { what: code, measured: told, limit: "0".to_owned(), held: status.success() });
    }
    Ok(lines)
}
