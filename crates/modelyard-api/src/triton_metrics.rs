//! The counters of loaded versions under the names that dashboards for NVIDIA's server ask for.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/user_guide/metrics.md`. Durations are in
//! microseconds, and all count from when the version was loaded.

use std::fmt::Write;

use modelyard_serve::{ServedVersion, Statistics};

/// A counter's name, what it counts, and where that stands.
type Counter = (&'static str, &'static str, fn(&Statistics) -> u64);

const COUNTERS: [Counter; 9] = [
    ("nv_inference_request_success", "Requests that were answered", |s| s.success.count),
    ("nv_inference_request_failure", "Requests that failed", |s| s.failure.count),
    ("nv_inference_count", "Rows computed", |s| s.rows),
    ("nv_inference_exec_count", "Batches computed", |s| s.batches),
    ("nv_inference_request_duration_us", "Time of requests that were answered", |s| {
        s.success.nanoseconds / 1000
    }),
    ("nv_inference_queue_duration_us", "Time that requests waited", |s| s.queue.nanoseconds / 1000),
    ("nv_inference_compute_input_duration_us", "Part of computing here, and so 0", |_| 0),
    ("nv_inference_compute_infer_duration_us", "Time of computing, of each request of a batch", |s| {
        s.compute.nanoseconds / 1000
    }),
    ("nv_inference_compute_output_duration_us", "Part of computing here, and so 0", |_| 0),
];

/// Adds them in Prometheus's text format.
pub(crate) fn append(text: &mut String, versions: &[impl AsRef<ServedVersion>]) {
    let read: Vec<(String, Statistics, usize)> = versions
        .iter()
        .map(|version| {
            let version = version.as_ref();
            let labels = format!("{{model=\"{}\",version=\"{}\"}}", version.model(), version.version());
            (labels, version.statistics(), version.queued_rows())
        })
        .collect();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a string takes it");
    for (name, help, value) in COUNTERS {
        line(format_args!("# HELP {name} {help}.\n# TYPE {name} counter"));
        for (labels, statistics, _) in &read {
            line(format_args!("{name}{labels} {}", value(statistics)));
        }
    }
    let name = "nv_inference_pending_request_count";
    line(format_args!("# HELP {name} Rows that wait now.\n# TYPE {name} gauge"));
    for (labels, _, waiting) in &read {
        line(format_args!("{name}{labels} {waiting}"));
    }
}
