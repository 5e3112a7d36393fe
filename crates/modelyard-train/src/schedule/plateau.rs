//! Down by a factor when the validation rows no longer get better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule, Watched};

/// Watches a score on the validation rows after each epoch; names and defaults are those of Keras's
/// `ReduceLROnPlateau`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plateau {
    /// What is watched: `loss`, or the name of a metric (default `loss`).
    pub metric: String,
    /// What the learning rate is multiplied with (default 0.1).
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub factor: f64,
    /// How many epochs without improvement are waited for (default 10).
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// How much better counts as improvement (default 0.0001).
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
    /// How many epochs after a change do not count (default 0).
    pub cooldown: usize,
    /// The share of the learning rate below which it does not fall (default 0).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            metric: "loss".to_owned(),
            factor: 0.1,
            patience: 10,
            min_delta: 1e-4,
            cooldown: 0,
            floor: 0.0,
        }
    }
}

impl Schedule for Plateau {
    fn factor(&self, _at: Moment, memory: &Memory) -> f64 {
        memory.factor
    }

    fn epoch_over(&self, memory: &mut Memory, watched: Watched) {
        if memory.cooling > 0 {
            memory.cooling -= 1;
            memory.waited = 0;
        }
        if memory.best.is_none_or(|best| watched.gain(best) > self.min_delta) {
            memory.best = Some(watched.score);
            memory.waited = 0;
        } else if memory.cooling == 0 {
            memory.waited += 1;
            if memory.waited >= self.patience {
                memory.factor = (memory.factor * self.factor).max(self.floor);
                memory.cooling = self.cooldown;
                memory.waited = 0;
            }
        }
    }
}
