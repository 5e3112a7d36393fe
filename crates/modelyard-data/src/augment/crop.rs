//! A part of an image, scaled to the whole size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas};
use crate::error::Problem;
use crate::random::Random;

/// Shows a random part of each image, scaled back to the image's size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Crop {
    /// The smallest part that is shown, as a fraction of the height and of the width.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub smallest: f64,
}

impl Default for Crop {
    fn default() -> Self {
        Self { smallest: 0.8 }
    }
}

impl Augment for Crop {
    fn check(&self) -> Result<(), Problem> {
        if (0.01..=1.0).contains(&self.smallest) {
            return Ok(());
        }
        Err(Problem::new(format!("smallest = {} is out of range", self.smallest)).hint("from 0.01 to 1"))
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        let scale = random.between(self.smallest, 1.0) as f32;
        let mut place = |side: usize| {
            let free = (1.0 - scale) * (side - 1) as f32;
            random.unit() as f32 * free
        };
        let [top, left] = canvas.size().map(&mut place);
        canvas.redraw(|row, column| [top + row as f32 * scale, left + column as f32 * scale]);
    }
}
