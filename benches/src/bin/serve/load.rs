//! The programs that load a server, and what they print.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use modelyard_bench::client::{Connection, get};

use crate::contender::Contender;

/// A program that loads a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// HTTP/1.1.
    Wrk,
    /// HTTP/2, a request at a time on each connection.
    H2load,
    /// HTTP/2, all requests over so many connections, as the calls of one client share one.
    H2loadOver(usize),
}

/// What a load came to.
pub(crate) struct Loaded {
    /// Requests answered.
    pub(crate) requests: f64,
    /// In so many seconds.
    pub(crate) seconds: f64,
    /// The latency that 99 of 100 did not pass.
    pub(crate) p99_ms: Option<f64>,
    /// Requests that failed.
    pub(crate) errors: u64,
}

impl Tool {
    /// Loads a server for so long.
    ///
    /// # Errors
    /// Where the program is not here, or prints what is not understood.
    pub(crate) fn load(self, of: &Contender, connections: usize, seconds: u64) -> Result<Loaded> {
        match self {
            Self::Wrk => wrk(of, connections, seconds),
            Self::H2load => h2load(of, (connections, 1), seconds),
            Self::H2loadOver(shared) => {
                let shared = shared.clamp(1, connections);
                h2load(of, (shared, connections / shared), seconds)
            }
        }
    }
}

fn wrk(of: &Contender, connections: usize, seconds: u64) -> Result<Loaded> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/serve_wrk.lua");
    let (connections, seconds) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let output = Command::new("wrk")
        .args(["-t1", &connections, &seconds, "--timeout", "10s", "-s", script])
        .arg(format!("http://{}{}", of.address, of.path))
        .env("BODY", &of.body)
        .env("HEADERS", &of.headers)
        .output()
        .context("cannot run wrk (Debian package wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).context("wrk printed no result")?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, microseconds, p99, errors] = numbers[..] else { bail!("wrk printed {line:?}") };
    let (seconds, p99_ms) = (microseconds / 1e6, Some(p99 / 1e3));
    Ok(Loaded { requests, seconds, p99_ms, errors: errors as u64 })
}

/// gRPC tells failures behind the answer, where h2load does not look: the server's own counters are asked.
fn h2load(of: &Contender, (connections, streams): (usize, usize), seconds: u64) -> Result<Loaded> {
    let failed_before = failures(of)?;
    let mut command = Command::new("h2load");
    let (connections, streams) = (format!("-c{connections}"), format!("-m{streams}"));
    command.args(["-t1", &connections, &streams, "-D", &seconds.to_string()]);
    command.arg("-d").arg(&of.body);
    for header in of.headers.lines() {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{}{}", of.address, of.path)).output().context("h2load")?;
    let (rate, done, failed) = read_h2load(&output)?;
    let errors = failed + (failures(of)? - failed_before) as u64;
    Ok(Loaded { requests: done, seconds: done / rate, p99_ms: None, errors })
}

fn failures(of: &Contender) -> Result<f64> {
    let page = Connection::open(of.address)?.ask(&get("/metrics"))?;
    let page = String::from_utf8(page.body)?;
    let lines = page.lines().filter(|line| line.starts_with("modelyard_request_failures_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Requests a second, requests answered, requests failed.
fn read_h2load(output: &Output) -> Result<(f64, f64, u64)> {
    let text = String::from_utf8_lossy(&output.stdout);
    // "finished in 5.00s, 12345.67 req/s, 1.23MB/s"
    let finished = text.lines().find(|line| line.starts_with("finished in ")).context("h2load: no end")?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s"));
    let rate: f64 = rate.context("h2load: no rate")?.parse()?;
    // "requests: 61728 total, 61728 started, 61728 done, 61728 succeeded, 0 failed, 0 errored, 0 timeout"
    let requests = text.lines().find(|line| line.starts_with("requests: ")).context("h2load: no requests")?;
    let count = |what: &str| -> Result<f64> {
        let mut parts = requests.trim_start_matches("requests: ").split(", ");
        let part = parts.find_map(|part| part.strip_suffix(what)).context("h2load: no count")?;
        Ok(part.trim().parse()?)
    };
    ensure!(rate > 0.0, "h2load got no answer: {text}");
    Ok((rate, count("succeeded")?, (count("failed")? + count("timeout")?) as u64))
}
