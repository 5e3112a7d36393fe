//! What is counted of memory: bytes of loaded networks, and how often one made room for another.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Without the suffix `_total`.
pub(super) const SLEPT: &str = "modelyard_versions_put_to_sleep";

/// The series of memory.
#[derive(Clone, Default)]
pub(super) struct MemorySeries {
    loaded: Gauge,
    slept: Counter,
}

impl MemorySeries {
    pub(super) fn register(&self, registry: &mut Registry) {
        let loaded = "Bytes of networks in memory, by the sizes of their files";
        registry.register("modelyard_loaded_bytes", loaded, self.loaded.clone());
        let slept = "Versions that left memory because the budget was needed for another";
        registry.register(SLEPT, slept, self.slept.clone());
    }

    /// Counts these bytes until the value is dropped.
    pub(super) fn hold(&self, bytes: u64) -> Held {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.loaded.inc_by(bytes);
        Held { bytes, loaded: self.loaded.clone() }
    }

    pub(super) fn put_to_sleep(&self) {
        self.slept.inc();
    }
}

/// Bytes of one network in memory.
pub(crate) struct Held {
    bytes: i64,
    loaded: Gauge,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.loaded.dec_by(self.bytes);
    }
}
