//! What is counted of routes: answers that were compared, and canaries that were withdrawn.

use modelyard_types::{ModelName, Version};
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Without the suffix `_total`, as [`super::COUNTERS`].
pub(super) const COMPARED: &str = "modelyard_compared_answers";
/// As [`COMPARED`].
pub(super) const WITHDRAWN: &str = "modelyard_canaries_withdrawn";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Compared {
    model: String,
    version: String,
    result: &'static str,
}

impl EncodeLabelSet for Compared {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        ("model", self.model.as_str()).encode(encoder.encode_label())?;
        ("version", self.version.as_str()).encode(encoder.encode_label())?;
        ("result", self.result).encode(encoder.encode_label())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Withdrawn {
    model: String,
    reason: &'static str,
}

impl EncodeLabelSet for Withdrawn {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        ("model", self.model.as_str()).encode(encoder.encode_label())?;
        ("reason", self.reason).encode(encoder.encode_label())
    }
}

/// The series of all routes.
#[derive(Clone, Default)]
pub(super) struct RolloutSeries {
    compared: Family<Compared, Counter>,
    withdrawn: Family<Withdrawn, Counter>,
}

impl RolloutSeries {
    pub(super) fn register(&self, registry: &mut Registry) {
        let compared = "Copied requests, by what came of holding both answers against each other";
        registry.register(COMPARED, compared, self.compared.clone());
        let withdrawn = "Canaries that were withdrawn without being asked, by the limit that they passed";
        registry.register(WITHDRAWN, withdrawn, self.withdrawn.clone());
    }

    pub(super) fn of(&self, model: &ModelName) -> RolloutTelemetry {
        RolloutTelemetry { model: model.to_string(), series: self.clone() }
    }
}

/// The series of one model's route.
pub(crate) struct RolloutTelemetry {
    model: String,
    series: RolloutSeries,
}

impl RolloutTelemetry {
    /// A copy of a request was answered by this version, or held against its answer.
    pub(crate) fn compared(&self, version: Version, result: &'static str) {
        let labels = Compared { model: self.model.clone(), version: version.to_string(), result };
        self.series.compared.get_or_create(&labels).inc();
    }

    /// A canary passed this limit.
    pub(crate) fn withdrawn(&self, reason: &'static str) {
        let labels = Withdrawn { model: self.model.clone(), reason };
        self.series.withdrawn.get_or_create(&labels).inc();
    }
}
