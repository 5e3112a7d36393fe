//! What the server counts and times, per model and version, in Prometheus's text form.

mod graph;
mod memory;
mod rollout;
mod sequences;

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use modelyard_types::{ErrorKind, ModelName, Version};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::statistics::{Statistics, Tallies};
use graph::GraphSeries;
use memory::MemorySeries;
use rollout::RolloutSeries;
use sequences::SequenceSeries;

pub(crate) use graph::StepTelemetry;
pub(crate) use memory::Held;
pub(crate) use rollout::RolloutTelemetry;
pub(crate) use sequences::HeldSequence;

/// Counters, without the suffix `_total` that both text forms put on their samples.
const REQUESTS: &str = "modelyard_requests";
const FAILURES: &str = "modelyard_request_failures";
const COUNTERS: [&str; 10] = [
    REQUESTS,
    FAILURES,
    rollout::COMPARED,
    rollout::WITHDRAWN,
    memory::SLEPT,
    sequences::BEGUN,
    sequences::EXPIRED,
    graph::FAILURES,
    graph::RETRIES,
    graph::RESTS,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    model: String,
    version: String,
    kind: Option<ErrorKind>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        ("model", self.model.as_str()).encode(encoder.encode_label())?;
        ("version", self.version.as_str()).encode(encoder.encode_label())?;
        match self.kind {
            Some(kind) => ("kind", kind.as_str()).encode(encoder.encode_label()),
            None => Ok(()),
        }
    }
}

type Times = Family<Labels, Histogram, fn() -> Histogram>;
type Levels = Family<Labels, Gauge>;

/// All series of one server.
pub(crate) struct Telemetry {
    registry: Registry,
    requests: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    queue: Times,
    compute: Times,
    encode: Times,
    batch_rows: Times,
    in_flight: Levels,
    queue_rows: Levels,
    sessions: Levels,
    loaded: Gauge,
    rollouts: RolloutSeries,
    memory: MemorySeries,
    sequences: SequenceSeries,
    graphs: GraphSeries,
}

impl Telemetry {
    /// All series, at zero.
    pub(crate) fn new() -> Self {
        let mut telemetry = Self {
            registry: Registry::default(),
            requests: Family::default(),
            failures: Family::default(),
            // 10 µs to 20 s: a small network answers in microseconds, a large one in seconds.
            queue: Times::new_with_constructor(|| Histogram::new(exponential_buckets(1e-5, 2.0, 22))),
            compute: Times::new_with_constructor(|| Histogram::new(exponential_buckets(1e-6, 2.0, 24))),
            encode: Times::new_with_constructor(|| Histogram::new(exponential_buckets(1e-6, 2.0, 20))),
            batch_rows: Times::new_with_constructor(|| Histogram::new(exponential_buckets(1.0, 2.0, 13))),
            in_flight: Levels::default(),
            queue_rows: Levels::default(),
            sessions: Levels::default(),
            loaded: Gauge::default(),
            rollouts: RolloutSeries::default(),
            memory: MemorySeries::default(),
            sequences: SequenceSeries::default(),
            graphs: GraphSeries::default(),
        };
        let registry = &mut telemetry.registry;
        registry.register(REQUESTS, "Requests that reached a model version", telemetry.requests.clone());
        registry.register(FAILURES, "Requests that were answered with an error", telemetry.failures.clone());
        registry.register(
            "modelyard_queue_seconds",
            "Time from a request's arrival to the start of its batch",
            telemetry.queue.clone(),
        );
        registry.register(
            "modelyard_compute_seconds",
            "Time that a session took for one batch",
            telemetry.compute.clone(),
        );
        registry.register(
            "modelyard_encode_seconds",
            "Time that it took to write one answer",
            telemetry.encode.clone(),
        );
        registry.register("modelyard_batch_rows", "Rows of one batch", telemetry.batch_rows.clone());
        registry.register(
            "modelyard_requests_in_flight",
            "Requests that reached a model version and have no answer yet",
            telemetry.in_flight.clone(),
        );
        registry.register(
            "modelyard_queue_rows",
            "Rows that wait for a batch now",
            telemetry.queue_rows.clone(),
        );
        registry.register(
            "modelyard_sessions",
            "Batches that may be computed at once now",
            telemetry.sessions.clone(),
        );
        registry.register(
            "modelyard_versions_loaded",
            "Model versions in memory that can answer now",
            telemetry.loaded.clone(),
        );
        telemetry.rollouts.register(registry);
        telemetry.memory.register(registry);
        telemetry.sequences.register(registry);
        telemetry.graphs.register(registry);
        telemetry
    }

    /// The series of one version, looked up once and then written to without a lookup. The version counts
    /// as loaded until the value is dropped.
    pub(crate) fn version(&self, model: &ModelName, version: Version) -> VersionTelemetry {
        self.loaded.inc();
        let labels = Labels { model: model.to_string(), version: version.to_string(), kind: None };
        VersionTelemetry {
            requests: self.requests.get_or_create_owned(&labels),
            queue: self.queue.get_or_create_owned(&labels),
            compute: self.compute.get_or_create_owned(&labels),
            encode: self.encode.get_or_create_owned(&labels),
            batch_rows: self.batch_rows.get_or_create_owned(&labels),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            queue_rows: self.queue_rows.get_or_create_owned(&labels),
            sessions: self.sessions.get_or_create_owned(&labels),
            failures: self.failures.clone(),
            loaded: self.loaded.clone(),
            labels,
            tallies: Tallies::default(),
        }
    }

    /// Counts so many bytes of a network as loaded until the value is dropped.
    pub(crate) fn hold(&self, bytes: u64) -> Held {
        self.memory.hold(bytes)
    }

    /// A version left memory to make room.
    pub(crate) fn put_to_sleep(&self) {
        self.memory.put_to_sleep();
    }

    /// Counts the bytes of a sequence that is to begin until the value is dropped.
    pub(crate) fn hold_sequence(&self, bytes: u64) -> HeldSequence {
        self.sequences.hold(bytes)
    }

    /// Bytes that are remembered of sequences.
    pub(crate) fn sequence_bytes(&self) -> u64 {
        self.sequences.bytes()
    }

    /// So many sequences were idle for too long.
    pub(crate) fn sequences_expired(&self, count: usize) {
        self.sequences.expired(count);
    }

    /// The series of a model's route.
    pub(crate) fn rollout(&self, model: &ModelName) -> RolloutTelemetry {
        self.rollouts.of(model)
    }

    /// The series of a step of a graph.
    pub(crate) fn graph_step(&self, graph: &ModelName, step: &str) -> StepTelemetry {
        self.graphs.of(graph, step)
    }

    /// Counts a request that failed before a version was found for it. Names that are not served come from
    /// outside and would grow without bound as labels, so they are not kept.
    pub(crate) fn failed_unrouted(&self, kind: ErrorKind) {
        let labels = Labels { model: String::new(), version: String::new(), kind: Some(kind) };
        self.failures.get_or_create(&labels).inc();
    }

    /// The exposition in Prometheus's text format 0.0.4.
    ///
    /// The encoder writes OpenMetrics, which names a counter's family without `_total`; Prometheus's older
    /// form wants the suffix in `HELP` and `TYPE` too.
    pub(crate) fn text(&self) -> String {
        let mut open_metrics = String::new();
        encode_registry(&mut open_metrics, &self.registry).expect("writing to a string cannot fail");
        let mut text = String::with_capacity(open_metrics.len() + 64);
        for line in open_metrics.lines() {
            let mut words = line.splitn(4, ' ');
            let about = (words.next(), words.next(), words.next(), words.next());
            let written = match about {
                (Some("#"), Some(what), Some(name), Some(rest)) if COUNTERS.contains(&name) => {
                    writeln!(text, "# {what} {name}_total {rest}")
                }
                _ => writeln!(text, "{line}"),
            };
            written.expect("writing to a string cannot fail");
        }
        text
    }
}

/// The series of one loaded version.
pub(crate) struct VersionTelemetry {
    requests: Counter,
    queue: Histogram,
    compute: Histogram,
    encode: Histogram,
    batch_rows: Histogram,
    in_flight: Gauge,
    queue_rows: Gauge,
    sessions: Gauge,
    failures: Family<Labels, Counter>,
    loaded: Gauge,
    labels: Labels,
    tallies: Tallies,
}

impl VersionTelemetry {
    /// The sums since the version was loaded.
    pub(crate) fn statistics(&self) -> Statistics {
        self.tallies.read()
    }

    /// A request arrived.
    pub(crate) fn request(&self) {
        self.requests.inc();
        self.in_flight.inc();
    }

    /// So many rows wait now.
    pub(crate) fn waiting(&self, rows: usize) {
        self.queue_rows.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    /// So many batches may be computed at once from now on.
    pub(crate) fn sessions(&self, count: usize) {
        self.sessions.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An answer was written in this time.
    pub(crate) fn encoded(&self, took: Duration) {
        self.encode.observe(took.as_secs_f64());
    }

    /// A request was answered after this time, or failed with this kind of error.
    pub(crate) fn ended(&self, failure: Option<ErrorKind>, took: Duration) {
        self.in_flight.dec();
        self.tallies.ended(failure.is_none(), took);
        if failure.is_some() {
            self.failures.get_or_create(&Labels { kind: failure, ..self.labels.clone() }).inc();
        }
    }

    /// A request waited this long for its batch, which then took `computed`.
    pub(crate) fn rode(&self, waited: Duration, computed: Duration) {
        self.tallies.rode(waited, computed);
        self.queue.observe(waited.as_secs_f64());
    }

    /// A batch of this many rows took this long and ended now.
    pub(crate) fn computed(&self, rows: usize, took: Duration, now: SystemTime) {
        self.tallies.batch(rows, now);
        self.batch_rows.observe(rows as f64);
        self.compute.observe(took.as_secs_f64());
    }
}

impl Drop for VersionTelemetry {
    fn drop(&mut self) {
        self.loaded.dec();
        self.queue_rows.set(0);
        self.sessions.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_every_series_with_its_labels() {
        let telemetry = Telemetry::new();
        let name: ModelName = "digits".parse().expect("a name");
        let version = telemetry.version(&name, Version::FIRST);
        version.request();
        version.request();
        version.waiting(5);
        version.sessions(2);
        version.encoded(Duration::from_micros(3));
        version.rode(Duration::from_micros(15), Duration::from_millis(2));
        version.computed(3, Duration::from_millis(2), SystemTime::UNIX_EPOCH);
        version.ended(Some(ErrorKind::DeadlineExceeded), Duration::from_millis(3));
        telemetry.failed_unrouted(ErrorKind::NotFound);
        let text = telemetry.text();
        for line in [
            "# HELP modelyard_requests_total Requests that reached a model version.",
            "# TYPE modelyard_requests_total counter",
            "modelyard_requests_total{model=\"digits\",version=\"1\"} 2",
            "modelyard_requests_in_flight{model=\"digits\",version=\"1\"} 1",
            "modelyard_sessions{model=\"digits\",version=\"1\"} 2",
            "modelyard_queue_rows{model=\"digits\",version=\"1\"} 5",
            "modelyard_encode_seconds_count{model=\"digits\",version=\"1\"} 1",
            "modelyard_request_failures_total{model=\"digits\",version=\"1\",kind=\"deadline_exceeded\"} 1",
            "modelyard_request_failures_total{model=\"\",version=\"\",kind=\"not_found\"} 1",
            "# TYPE modelyard_queue_seconds histogram",
            "modelyard_queue_seconds_bucket{le=\"0.00002\",model=\"digits\",version=\"1\"} 1",
            "modelyard_compute_seconds_count{model=\"digits\",version=\"1\"} 1",
            "modelyard_batch_rows_bucket{le=\"4.0\",model=\"digits\",version=\"1\"} 1",
            "modelyard_versions_loaded 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        drop(version);
        assert!(telemetry.text().contains("modelyard_versions_loaded 0"));
    }
}
