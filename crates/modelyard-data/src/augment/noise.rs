//! Noise on every value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas};
use crate::error::Problem;
use crate::random::Random;

/// Adds normally distributed noise to every value, after the transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// The standard deviation of the noise, in the numbers that the network sees.
    #[schemars(range(min = 0.0))]
    pub std: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { std: 0.05 }
    }
}

impl Augment for Noise {
    fn check(&self) -> Result<(), Problem> {
        if self.std.is_finite() && self.std >= 0.0 {
            return Ok(());
        }
        Err(Problem::new(format!("std = {} is out of range", self.std)).hint("a number, at least 0"))
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        for value in canvas.values() {
            *value += (self.std * random.normal()) as f32;
        }
    }
}
