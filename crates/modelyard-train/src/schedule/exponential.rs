//! Down by a factor over each epoch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule};

/// `factor ^ epochs`, with the fraction of the epoch that runs, as Keras's `ExponentialDecay`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exponential {
    /// What the learning rate is multiplied with over one epoch (default 0.95).
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub factor: f64,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { factor: 0.95 }
    }
}

impl Schedule for Exponential {
    fn factor(&self, at: Moment, _memory: &Memory) -> f64 {
        self.factor.powf(at.epochs())
    }
}
