//! One version takes over from the other again and again under load: no request may fail.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use modelyard_bench::client::Connection;
use modelyard_bench::load::Load;
use modelyard_bench::models::{run as command, text};
use serde_json::Value;

use crate::trial::{CLIENTS, Ground, Line, no_errors, small_request, told};

/// A server looks for moved aliases about once a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// A load that leaves the machine room for the command line's part in it.
const RATE: f64 = 2000.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("small", &[])?;
    let request = small_request();
    let (address, connections) = (server.address(), CLIENTS);
    let load = Load { address, request: request.clone(), connections, rate: Some(RATE) }.start();
    let mut longest = Duration::ZERO;
    for swap in 0..ground.options.swaps {
        let version = (swap % 2 + 1).to_string();
        let store = text(&ground.store);
        command(&ground.options.binary, &["models", "promote", "small", &version, "--store", &store])?;
        let start = Instant::now();
        let mut watcher = Connection::open(address)?;
        loop {
            let reply = watcher.ask(&request)?;
            let json: Value = serde_json::from_slice(&reply.body)?;
            if json["model_version"] == version.as_str() {
                break;
            }
            ensure!(start.elapsed() < PATIENCE, "version {version} does not take over: {json}");
            std::thread::sleep(Duration::from_millis(10));
        }
        longest = longest.max(start.elapsed());
    }
    let outcome = load.stop();
    Ok(vec![
        told("swaps", ground.options.swaps.to_string()),
        no_errors("failed requests", &outcome),
        told("p99", format!("{:.2} ms", outcome.good.quantile_ms(0.99))),
        told(
            "from promotion to the new version's answer, at most",
            format!("{:.2} s", longest.as_secs_f64()),
        ),
    ])
}
