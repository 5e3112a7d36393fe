//! What is counted of the steps of graphs: how long each takes, how it fails, and what is sent again.

use std::time::Duration;

use modelyard_types::{ErrorKind, ModelName};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Without the suffix `_total`, as [`super::COUNTERS`].
pub(super) const FAILURES: &str = "modelyard_graph_step_failures";
/// As [`FAILURES`].
pub(super) const RETRIES: &str = "modelyard_graph_step_retries";
/// As [`FAILURES`].
pub(super) const RESTS: &str = "modelyard_graph_server_rests";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    graph: String,
    step: String,
    kind: Option<ErrorKind>,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        ("graph", self.graph.as_str()).encode(encoder.encode_label())?;
        ("step", self.step.as_str()).encode(encoder.encode_label())?;
        match self.kind {
            Some(kind) => ("kind", kind.as_str()).encode(encoder.encode_label()),
            None => Ok(()),
        }
    }
}

/// The series of all graphs.
#[derive(Clone)]
pub(super) struct GraphSeries {
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    failures: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    rests: Family<Labels, Counter>,
}

impl Default for GraphSeries {
    fn default() -> Self {
        Self {
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e-5, 2.0, 22))),
            failures: Family::default(),
            retries: Family::default(),
            rests: Family::default(),
        }
    }
}

impl GraphSeries {
    pub(super) fn register(&self, registry: &mut Registry) {
        let seconds = "Time that a step of a graph took, queues and other servers included";
        registry.register("modelyard_graph_step_seconds", seconds, self.seconds.clone());
        registry.register(FAILURES, "Steps of graphs that failed", self.failures.clone());
        registry.register(RETRIES, "Requests that a step sent again to a server", self.retries.clone());
        let rests = "How often a server of a step was left alone after failures in a row";
        registry.register(RESTS, rests, self.rests.clone());
    }

    pub(super) fn of(&self, graph: &ModelName, step: &str) -> StepTelemetry {
        let labels = Labels { graph: graph.to_string(), step: step.to_owned(), kind: None };
        StepTelemetry { seconds: self.seconds.get_or_create_owned(&labels), series: self.clone(), labels }
    }
}

/// The series of one step.
pub(crate) struct StepTelemetry {
    seconds: Histogram,
    series: GraphSeries,
    labels: Labels,
}

impl StepTelemetry {
    /// The step ended, well or with this kind of error.
    pub(crate) fn ended(&self, took: Duration, failure: Option<ErrorKind>) {
        self.seconds.observe(took.as_secs_f64());
        if failure.is_some() {
            let labels = Labels { kind: failure, ..self.labels.clone() };
            self.series.failures.get_or_create(&labels).inc();
        }
    }

    /// A request was sent again.
    pub(crate) fn retried(&self) {
        self.series.retries.get_or_create(&self.labels).inc();
    }

    /// A server is left alone for a while.
    pub(crate) fn opened(&self) {
        self.series.rests.get_or_create(&self.labels).inc();
    }
}
