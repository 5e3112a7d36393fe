//! What is counted of sequences: those that live and their memory, those that began and those that expired.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Without the suffix `_total`.
pub(super) const BEGUN: &str = "modelyard_sequences_begun";
/// As [`BEGUN`].
pub(super) const EXPIRED: &str = "modelyard_sequences_expired";

/// The series of sequences.
#[derive(Clone, Default)]
pub(super) struct SequenceSeries {
    live: Gauge,
    bytes: Gauge,
    begun: Counter,
    expired: Counter,
}

impl SequenceSeries {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "modelyard_sequences_live",
            "Sequences that can be gone on with",
            self.live.clone(),
        );
        let bytes = "Bytes that are remembered of live sequences, and set aside for those that begin";
        registry.register("modelyard_sequence_bytes", bytes, self.bytes.clone());
        registry.register(BEGUN, "Sequences whose first request was answered", self.begun.clone());
        registry.register(EXPIRED, "Sequences that were idle for too long", self.expired.clone());
    }

    /// Counts the bytes of a sequence that is to begin until the value is dropped.
    pub(super) fn hold(&self, bytes: u64) -> HeldSequence {
        let mut held = HeldSequence { bytes: 0, is_live: false, series: self.clone() };
        held.resize(bytes);
        held
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get().try_into().unwrap_or(0)
    }

    pub(super) fn expired(&self, count: usize) {
        self.expired.inc_by(count as u64);
    }
}

/// What is remembered of one sequence, as it counts in the series and in the memory budget.
pub(crate) struct HeldSequence {
    bytes: i64,
    is_live: bool,
    series: SequenceSeries,
}

impl HeldSequence {
    /// Its first request was answered.
    pub(crate) fn begin(&mut self) {
        self.series.begun.inc();
        self.series.live.inc();
        self.is_live = true;
    }

    /// Bytes that count now.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    /// Counts so many bytes from now on.
    pub(crate) fn resize(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.series.bytes.inc_by(bytes - self.bytes);
        self.bytes = bytes;
    }
}

impl Drop for HeldSequence {
    fn drop(&mut self) {
        self.series.live.dec_by(i64::from(self.is_live));
        self.series.bytes.dec_by(self.bytes);
    }
}
