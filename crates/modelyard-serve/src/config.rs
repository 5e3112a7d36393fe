//! The limits of serving, resolved: the binary reads them from flags and files, everything below takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use modelyard_types::ModelName;

use crate::scheduler::{Kept, Limits};
use crate::settings::ModelSettings;
use crate::target::Target;

/// How much is batched, queued, kept and waited for. [`ServeConfig::default`] suits small CPU machines.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Most rows that requests are joined to in one batch.
    pub batch_size_max: usize,
    /// How long a request waits for others to share its batch; zero takes those that wait already.
    pub batch_delay: Duration,
    /// The latency that 99 of 100 answers are to keep: batches, delay and queue are then set by what batches
    /// are seen to take, within the other limits.
    pub latency_target: Option<Duration>,
    /// Rows at which a batch is run without waiting for more, smallest first; empty for none but the most.
    pub preferred_rows: Vec<usize>,
    /// Most rows of one request; more are refused as too large.
    pub request_rows_max: usize,
    /// Most rows that wait for one model version; more are refused as exhausted.
    pub queue_rows_max: usize,
    /// Sessions of one model version, which is how many of its batches are computed at once.
    pub sessions_max: usize,
    /// How long a request may take in all where it says nothing itself.
    pub deadline_default: Duration,
    /// The longest that a request may ask for.
    pub deadline_max: Duration,
    /// Versions kept loaded because a request named their number; the least recently used one is dropped.
    pub versions_on_demand_max: usize,
    /// Most bytes of networks in memory, by the sizes of their files, and of what is remembered of sequences. Where it
    /// is passed, who was asked longest ago is loaded again when it is asked. None for no limit.
    pub memory_budget_bytes: Option<u64>,
    /// Sequences that live at once; more are refused as exhausted.
    pub sequences_max: usize,
    /// How long a sequence lives without a request.
    pub sequence_idle: Duration,
    /// How often the registry is asked for moved aliases and new versions.
    pub refresh_interval: Duration,
    /// What single models want otherwise. It goes before what their own files say.
    pub models: BTreeMap<ModelName, ModelSettings>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            batch_size_max: 64,
            batch_delay: Duration::ZERO,
            latency_target: None,
            preferred_rows: Vec::new(),
            request_rows_max: 4096,
            queue_rows_max: 8192,
            sessions_max: std::thread::available_parallelism().map_or(2, usize::from),
            deadline_default: Duration::from_secs(30),
            deadline_max: Duration::from_secs(600),
            versions_on_demand_max: 8,
            memory_budget_bytes: None,
            sequences_max: 1024,
            sequence_idle: Duration::from_secs(60),
            refresh_interval: Duration::from_secs(1),
            models: BTreeMap::new(),
        }
    }
}

impl ServeConfig {
    /// The scheduler's limits for a model whose requests may be joined, or may not.
    pub(crate) fn limits(&self, joined: bool) -> Limits {
        Limits {
            batch_rows_max: if joined { self.batch_size_max.max(1) } else { 1 },
            batch_delay: if joined { self.batch_delay } else { Duration::ZERO },
            preferred_rows: if joined { self.preferred_rows.clone() } else { Vec::new() },
            queue_rows_max: self.queue_rows_max.max(1),
        }
    }

    /// What keeps the latency, where one is to be kept.
    pub(crate) fn target(&self, joined: bool) -> Option<Target> {
        let Limits { batch_rows_max, queue_rows_max, .. } = self.limits(joined);
        let allowed = Kept { batch_rows_max, batch_delay: Duration::ZERO, queue_rows_max };
        self.latency_target.map(|target| Target::new(target, self.sessions_max, allowed))
    }
}
