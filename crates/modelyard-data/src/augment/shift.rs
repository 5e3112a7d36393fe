//! Images moved up, down, left and right.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas, fraction};
use crate::error::Problem;
use crate::random::Random;

/// Moves each image by a random whole number of pixels either way; the edge's pixels fill what comes free.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shift {
    /// The farthest it moves up or down, as a fraction of the height.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub height: f64,
    /// The farthest it moves left or right, as a fraction of the width.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub width: f64,
}

impl Default for Shift {
    fn default() -> Self {
        Self { height: 0.1, width: 0.1 }
    }
}

impl Augment for Shift {
    fn check(&self) -> Result<(), Problem> {
        fraction("height", self.height)?;
        fraction("width", self.width)
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        let [height, width] = canvas.size();
        let mut pixels = |part: f64, side: usize| (random.between(-part, part) * side as f64).round() as f32;
        let (down, across) = (pixels(self.height, height), pixels(self.width, width));
        if (down, across) != (0.0, 0.0) {
            canvas.redraw(|row, column| [row as f32 - down, column as f32 - across]);
        }
    }
}
