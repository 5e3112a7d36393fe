//! Images rotated about their centre.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas};
use crate::error::Problem;
use crate::random::Random;

/// Rotates each image by a random angle either way; the edge's pixels fill what comes free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotate {
    /// The largest angle.
    #[schemars(range(min = 0.0, max = 180.0))]
    pub degrees: f64,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { degrees: 10.0 }
    }
}

impl Augment for Rotate {
    fn check(&self) -> Result<(), Problem> {
        if (0.0..=180.0).contains(&self.degrees) {
            return Ok(());
        }
        Err(Problem::new(format!("degrees = {} is out of range", self.degrees)).hint("from 0 to 180"))
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        let angle = random.between(-self.degrees, self.degrees).to_radians();
        let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
        let [middle_row, middle_column] = canvas.size().map(|side| (side - 1) as f32 / 2.0);
        canvas.redraw(|row, column| {
            let (down, across) = (row as f32 - middle_row, column as f32 - middle_column);
            [middle_row + down * cos - across * sin, middle_column + down * sin + across * cos]
        });
    }
}
