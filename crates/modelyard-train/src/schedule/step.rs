//! Stairs: down by a factor every so many epochs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule};

/// `factor ^ ⌊epochs / every⌋`, as PyTorch's `StepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepDecay {
    /// Epochs between two changes (default 10).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub every: usize,
    /// What the learning rate is multiplied with at each (default 0.1).
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub factor: f64,
}

impl Default for StepDecay {
    fn default() -> Self {
        Self { every: 10, factor: 0.1 }
    }
}

impl Schedule for StepDecay {
    fn factor(&self, at: Moment, _memory: &Memory) -> f64 {
        let stairs = at.done / at.per_epoch / self.every.max(1) as u64;
        self.factor.powf(stairs as f64)
    }
}
