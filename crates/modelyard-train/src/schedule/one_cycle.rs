//! Up to the learning rate and far down again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule};

/// Half a cosine up from `1 / div_factor` over the first `rise` of the run, half a cosine down to
/// `1 / (div_factor · final_div_factor)` over the rest; the defaults are those of PyTorch's `OneCycleLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// The share of the run over which the learning rate rises (default 0.3).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rise: f64,
    /// How far below the learning rate it begins (default 25).
    #[schemars(range(min = 1.0))]
    pub div_factor: f64,
    /// How far below where it began it ends (default 10000).
    #[schemars(range(min = 1.0))]
    pub final_div_factor: f64,
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { rise: 0.3, div_factor: 25.0, final_div_factor: 1e4 }
    }
}

impl Schedule for OneCycle {
    fn factor(&self, at: Moment, _memory: &Memory) -> f64 {
        let (share, begin) = (at.share(), 1.0 / self.div_factor);
        let along = |from: f64, to: f64, share: f64| {
            to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
        };
        if share < self.rise {
            along(begin, 1.0, share / self.rise)
        } else {
            along(
                1.0,
                begin / self.final_div_factor,
                (share - self.rise) / (1.0 - self.rise).max(f64::EPSILON),
            )
        }
    }
}
