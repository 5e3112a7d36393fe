//! Images turned over, as by a mirror.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Augment, Canvas};
use crate::error::Problem;
use crate::random::Random;

/// Turns every other image over, by chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flip {
    /// Whether left and right may change places.
    pub horizontal: bool,
    /// Whether top and bottom may change places.
    pub vertical: bool,
}

impl Default for Flip {
    fn default() -> Self {
        Self { horizontal: true, vertical: false }
    }
}

impl Augment for Flip {
    fn check(&self) -> Result<(), Problem> {
        if self.horizontal || self.vertical {
            return Ok(());
        }
        Err(Problem::new("it flips neither way").hint("horizontal = true, or leave it out"))
    }

    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random) {
        let across = self.horizontal && random.unit() < 0.5;
        let down = self.vertical && random.unit() < 0.5;
        if !across && !down {
            return;
        }
        let [height, width] = canvas.size();
        let turned = |place: usize, side: usize, turn: bool| {
            if turn { (side - 1 - place) as f32 } else { place as f32 }
        };
        canvas.redraw(|row, column| [turned(row, height, down), turned(column, width, across)]);
    }
}
