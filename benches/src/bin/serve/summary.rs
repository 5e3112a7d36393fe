//! The ratios of medians, beside what they are to be.

use crate::contender::{Measured, Rows};

/// A figure of one measurement.
type Figure = fn(&Measured) -> f64;

/// Two contenders, a figure, and the ratio that is wanted.
struct Target {
    ours: &'static str,
    other: &'static str,
    connections: usize,
    figure: (&'static str, Figure),
    wanted: Wanted,
}

enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

const CPU: (&str, Figure) = ("CPU a request", |row| row.cpu_us);
const RATE: (&str, Figure) = ("requests a second", |row| row.requests_per_s);
const P99: (&str, Figure) = ("p99", |row| row.p99_ms.unwrap_or(f64::NAN));

/// One figure of one contender, and what it is to be.
const BOUNDS: [(&str, Figure, f64); 2] =
    [("cold start, s", |row| row.cold_s, 0.15), ("memory, MB", |row| row.memory_mb, 40.0)];

fn targets() -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let target =
        |ours, other, connections, figure, wanted| Target { ours, other, connections, figure, wanted };
    vec![
        target("json", "fastapi", 16, CPU, AtMost(0.22)),
        target("json", "fastapi", 1, CPU, AtMost(0.25)),
        target("json", "fastapi", 16, RATE, AtLeast(5.0)),
        target("json", "fastapi", 16, P99, AtMost(1.0)),
        target("binary", "json", 16, CPU, AtMost(0.6)),
        target("grpc-streams", "json", 16, CPU, AtMost(0.7)),
        target("grpc", "json", 16, CPU, AtMost(0.7)),
        target("binary32", "json32", 16, CPU, AtMost(0.6)),
        target("binary", "fastapi", 16, CPU, AtMost(0.132)),
        target("grpc", "fastapi", 16, CPU, AtMost(0.154)),
        target("json", "bare", 16, CPU, AtMost(1.8)),
        target("cnn-batched", "cnn-single", 32, RATE, AtLeast(1.5)),
        target("lstm-batched", "lstm-single", 32, RATE, AtLeast(1.5)),
    ]
}

/// Prints every ratio of which both sides were measured.
pub(crate) fn print(rows: &Rows) {
    println!(
        "\n| ours / other | connections | of | ratio | target | reached |\n| --- | --- | --- | --- | --- | --- |"
    );
    for Target { ours, other, connections, figure: (what, figure), wanted } in targets() {
        let middle = |name| rows.get(&(name, connections)).map(|rows| median(rows, figure));
        let (Some(mine), Some(theirs)) = (middle(ours), middle(other)) else { continue };
        let ratio = mine / theirs;
        let (target, reached) = match wanted {
            Wanted::AtMost(limit) => (format!("≤ {limit}"), ratio <= limit),
            Wanted::AtLeast(limit) => (format!("≥ {limit}"), ratio >= limit),
        };
        println!("| {ours} / {other} | {connections} | {what} | {ratio:.3} | {target} | {} |", word(reached));
    }
    let Some(own) = rows.iter().find_map(|((name, _), rows)| (*name == "json").then_some(rows)) else {
        return;
    };
    for (what, figure, limit) in BOUNDS {
        let middle = median(own, figure);
        println!("| json | | {what} | {middle:.2} | ≤ {limit} | {} |", word(middle <= limit));
    }
}

fn word(reached: bool) -> &'static str {
    if reached { "yes" } else { "NO" }
}

fn median(rows: &[Measured], figure: Figure) -> f64 {
    let mut values: Vec<f64> = rows.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
