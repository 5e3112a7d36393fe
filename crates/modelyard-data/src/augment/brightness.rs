//! Images made brighter or darker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas};
use crate::error::Problem;
use crate::random::Random;

/// Adds one random number to all values of an image, after the transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Brightness {
    /// The largest number that is added or taken away, in the numbers that the network sees: 0 is black and 1
    /// white after `image_to_float`.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
}

impl Default for Brightness {
    fn default() -> Self {
        Self { delta: 0.1 }
    }
}

impl Augment for Brightness {
    fn check(&self) -> Result<(), Problem> {
        if self.delta.is_finite() && self.delta >= 0.0 {
            return Ok(());
        }
        Err(Problem::new(format!("delta = {} is out of range", self.delta)).hint("a number, at least 0"))
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        let delta = random.between(-self.delta, self.delta) as f32;
        canvas.values().iter_mut().for_each(|value| *value += delta);
    }
}
