//! Half a cosine over the whole run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule};

/// `floor + (1 − floor) · (1 + cos(π · share)) / 2`, where `share` is how much of the run is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// The share of the learning rate that is left after the last step (default 0).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: f64,
}

impl Schedule for Cosine {
    fn factor(&self, at: Moment, _memory: &Memory) -> f64 {
        let fall = 0.5 * (1.0 + (std::f64::consts::PI * at.share()).cos());
        self.floor + (1.0 - self.floor) * fall
    }
}
