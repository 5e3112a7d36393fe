//! Minutes at 70 % of peak: no error, and nothing that grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use modelyard_bench::load::Load;
use modelyard_bench::process::{descriptors, resident_mb};

use crate::trial::{CLIENTS, Ground, Line, at_most, no_errors, peak, small_request, told};

const SHARE: f64 = 0.7;
/// How often memory and descriptors are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// This share of the time, at the beginning, the caches of the allocator may still fill.
const WARM_UP: f64 = 0.2;
const SLOPE_MAX_MB_PER_HOUR: f64 = 5.0;
/// A run of minutes cannot tell a slope from a page or two: so much growth in all is none.
const GROWTH_MAX_MB: f64 = 0.5;

pub(crate) fn run(ground: &Ground) -> Result<Vec<Line>> {
    let server = ground.serve("small", &[])?;
    let request = small_request();
    let peak = peak(&server, &request, CLIENTS)?;
    let rate = SHARE * peak;
    let load = Load {
        address: server.address(),
        request: Arc::clone(&request),
        connections: CLIENTS,
        rate: Some(rate),
    };
    let underway = load.start();
    let (start, time) = (Instant::now(), Duration::from_secs_f64(ground.options.minutes * 60.0));
    let mut memory = Vec::new();
    let mut open = Vec::new();
    while start.elapsed() < time {
        std::thread::sleep(LOOK.min(time / 10));
        let at = start.elapsed();
        if at.as_secs_f64() > WARM_UP * time.as_secs_f64() {
            memory.push((at.as_secs_f64() / 3600.0, resident_mb(server.process())));
            open.push(descriptors(server.process()));
        }
    }
    let outcome = underway.stop();
    let slope = slope(&memory);
    let growth = slope * time.as_secs_f64() / 3600.0;
    let (least, most) = (open.iter().min().copied(), open.iter().max().copied());
    let spread = most.unwrap_or_default() - least.unwrap_or_default();
    Ok(vec![
        told("requests a second, of the peak", format!("{:.0} of {peak:.0}", outcome.goodput())),
        no_errors("errors", &outcome),
        told("p99", format!("{:.2} ms", outcome.good.quantile_ms(0.99))),
        told("memory at the end", format!("{:.1} MiB", resident_mb(server.process()))),
        Line {
            what: "memory's slope",
            measured: format!("{slope:.2} MiB an hour, {growth:.2} MiB in all"),
            limit: format!("≤ {SLOPE_MAX_MB_PER_HOUR} MiB an hour, or {GROWTH_MAX_MB} MiB in all"),
            held: slope <= SLOPE_MAX_MB_PER_HOUR || growth <= GROWTH_MAX_MB,
        },
        at_most("descriptors, most less least", spread as f64, 0.0, ""),
    ])
}

/// The slope of a straight line through points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if below == 0.0 { 0.0 } else { above / below }
}
