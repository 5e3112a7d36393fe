//! A category as one column per label, with a last column for all labels that have none of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ordinal::{Slots, slots_width};
use super::{Block, Declared, Form, Training, Transform};
use crate::dataset::MISSING;
use crate::error::Problem;

/// Past this many columns a one-hot category is surely a mistake, such as an identifier.
const COLUMNS_MAX: usize = 10_000;

/// One column per label, 1 where the row has it, and one more for labels that `min_count` and `max_categories` left
/// out. A label that training did not see counts among those, where there are any; otherwise its row is all 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneHot {
    /// At most this many labels keep a column of their own: the most frequent ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_categories: Option<usize>,
    /// Labels seen less often than this in training have no column of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u64>,
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedOneHot {
    slots: Slots,
}

impl Declared for OneHot {
    type Fitted = FittedOneHot;

    fn fit(&self, training: &Training<'_>) -> Result<FittedOneHot, Problem> {
        let slots = Slots::fit(training, "one_hot", self.max_categories, self.min_count)?;
        if slots.width() > COLUMNS_MAX {
            return Err(Problem::new(format!("one_hot would make {} columns", slots.width())).hint(
                "set max_categories or min_count, use ordinal, or leave the input out if it is an identifier",
            ));
        }
        Ok(FittedOneHot { slots })
    }
}

impl Transform for FittedOneHot {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        slots_width(&self.slots, incoming, "one_hot").map(|width| Form::Numbers { width })
    }

    fn apply(&self, block: &mut Block) {
        let width = self.slots.width();
        block.floats.clear();
        block.floats.resize(block.rows * width, 0.0);
        // Of a bucket that no training row was in nothing was learned: its weights are as chance made them.
        let is_learned = |slot: usize| slot + 1 < width || self.slots.has_known_others();
        for (row, &code) in block.floats.chunks_exact_mut(width).zip(&block.codes) {
            if code == MISSING {
                row.fill(f64::NAN);
            } else {
                let slot = self.slots.of(code);
                row[slot] = if is_learned(slot) { 1.0 } else { 0.0 };
            }
        }
    }

    fn undo(&self, block: &mut Block, before: &Form) -> Option<Form> {
        let width = self.slots.width();
        block.codes.clear();
        for row in block.floats.chunks_exact(width) {
            let known = if self.slots.has_known_others() { width } else { width - 1 };
            let largest = (0..known).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)))?;
            block.codes.push(self.slots.nearest_code(largest as f64));
        }
        Some(before.clone())
    }
}
