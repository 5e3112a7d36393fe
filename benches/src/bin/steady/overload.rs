//! Ten times as many requests as can be answered: those beyond are refused fast, the others are answered.
//!
//! The model is one whose run costs far more than its request: a small network is never the bottleneck, and
//! who asks it too often is slowed by the connection itself.

use std::time::Duration;

use anyhow::Result;
use modelyard_bench::load::Load;
use modelyard_bench::process::resident_mb;

use crate::trial::{CLIENTS, Ground, Line, at_least, at_most, heavy_request, no_errors, peak, told};

const TIMES: f64 = 10.0;
const CONNECTIONS: usize = 128;
/// A batch of a few rows bounds what one run takes, a short queue how long one waits.
const LIMITS: [&str; 4] = ["--batch-size-max", "4", "--queue-rows-max", "32"];
const GOODPUT_MIN: f64 = 0.8;
const REFUSAL_P99_MAX_MS: f64 = 50.0;
const GROWTH_MAX_MB: f64 = 8.0;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("heavy", &LIMITS)?;
    let request = heavy_request();
    let peak = peak(&server, &request, CLIENTS)?;
    let (address, rate) = (server.address(), Some(TIMES * peak));
    let load = Load { address, request, connections: CONNECTIONS, rate };
    let time = Duration::from_secs_f64(ground.options.overload_seconds);
    let underway = load.start();
    std::thread::sleep(time / 4);
    let early = resident_mb(server.process());
    std::thread::sleep(time * 3 / 4);
    let late = resident_mb(server.process());
    let outcome = underway.stop();
    let asked = (outcome.good.count() + outcome.refused.count()) as f64 / outcome.seconds;
    Ok(vec![
        told("requests a second, of the peak", format!("{asked:.0} of {peak:.0}")),
        at_least("good answers", outcome.goodput(), GOODPUT_MIN * peak, "a second"),
        told("good answers' p99", format!("{:.1} ms", outcome.good.quantile_ms(0.99))),
        at_most("refusals' p99", outcome.refused.quantile_ms(0.99), REFUSAL_P99_MAX_MS, "ms"),
        no_errors("neither answered nor refused", &outcome),
        at_most("memory's growth in the last three quarters", late - early, GROWTH_MAX_MB, "MiB"),
    ])
}
