//! A category as its rank, and the table of ranks that one-hot shares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::dataset::MISSING;
use crate::error::Problem;

/// The label's rank (0, 1, 2, …) in the sorted order of labels; labels that training did not see (or that
/// `min_count` and `max_categories` left out) share the rank after the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ordinal {
    /// At most this many labels keep a rank of their own: the most frequent ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_categories: Option<usize>,
    /// Labels seen less often than this in training have no rank of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u64>,
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedOrdinal {
    slots: Slots,
}

/// The rank of each category code; the last rank is the bucket of the unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slots {
    of_code: Vec<u32>,
    kept: u32,
}

impl Slots {
    pub(crate) fn fit(
        training: &Training<'_>,
        transform: &str,
        max_categories: Option<usize>,
        min_count: Option<u64>,
    ) -> Result<Self, Problem> {
        let Form::Category { size } = training.form else {
            return Err(Problem::new(format!(
                "{transform} takes a category, not {}",
                training.form.describe()
            )));
        };
        if max_categories == Some(0) {
            return Err(Problem::new("max_categories must be at least 1"));
        }
        let counts = training.category_counts(*size);
        let mut kept: Vec<usize> =
            (0..*size).filter(|&code| counts[code] >= min_count.unwrap_or(0)).collect();
        if let Some(max) = max_categories {
            kept.sort_by_key(|&code| (std::cmp::Reverse(counts[code]), code));
            kept.truncate(max);
            kept.sort_unstable();
        }
        if *size == 0 {
            return Err(super::affine::all_missing());
        }
        let mut of_code = vec![kept.len() as u32; *size];
        for (slot, code) in kept.iter().enumerate() {
            of_code[*code] = slot as u32;
        }
        Ok(Self { of_code, kept: kept.len() as u32 })
    }

    /// Ranks with the bucket of the unknown.
    pub(crate) fn width(&self) -> usize {
        self.kept as usize + 1
    }

    /// Whether training had rows in the bucket, so that something was learned of it.
    pub(crate) fn has_known_others(&self) -> bool {
        self.of_code.contains(&self.kept)
    }

    /// The first of the codes whose rank is nearest to a number.
    pub(crate) fn nearest_code(&self, rank: f64) -> u32 {
        let distance = |slot: &u32| (f64::from(*slot) - rank).abs();
        let ranks = (0..).zip(&self.of_code);
        ranks.min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b))).map_or(0, |(code, _)| code)
    }

    pub(crate) fn of(&self, code: u32) -> usize {
        self.of_code.get(code as usize).copied().unwrap_or(self.kept) as usize
    }
}

/// Checks the table against what comes in, and gives its width.
pub(crate) fn slots_width(slots: &Slots, incoming: &Form, transform: &str) -> Result<usize, Problem> {
    let Form::Category { size } = incoming else {
        return Err(Problem::new(format!("{transform} takes a category, not {}", incoming.describe())));
    };
    let sound = slots.of_code.len() == *size
        && slots.kept as usize <= *size
        && slots.of_code.iter().all(|slot| *slot <= slots.kept);
    if sound {
        Ok(slots.width())
    } else {
        Err(Problem::new(format!("{transform} does not fit what comes in")))
    }
}

impl Declared for Ordinal {
    type Fitted = FittedOrdinal;

    fn fit(&self, training: &Training<'_>) -> Result<FittedOrdinal, Problem> {
        Ok(FittedOrdinal { slots: Slots::fit(training, "ordinal", self.max_categories, self.min_count)? })
    }
}

impl Transform for FittedOrdinal {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        slots_width(&self.slots, incoming, "ordinal").map(|_| Form::Numbers { width: 1 })
    }

    fn apply(&self, block: &mut Block) {
        block.floats.clear();
        block.floats.extend(
            block.codes.iter().map(
                |&code| {
                    if code == MISSING { f64::NAN } else { self.slots.of(code) as f64 }
                },
            ),
        );
    }

    fn undo(&self, block: &mut Block, before: &Form) -> Option<Form> {
        block.codes.clear();
        block.codes.extend(block.floats.iter().map(|&rank| self.slots.nearest_code(rank)));
        Some(before.clone())
    }
}
