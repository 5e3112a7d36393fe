//! How much memory a network may ask for. Everything is counted before anything is asked for, because a few lines of
//! JSON can declare more than any machine has.

use crate::layout::Layout;
use crate::op::Purpose;
use crate::plan::Plan;
use crate::{ModelError, NetworkSpec};

/// Values that one row of a network may bring along at most, hidden ones included (2 GiB).
const NETWORK_VALUES_MAX: usize = 1 << 29;
/// All buffers of an engine together are at most this many values (16 GiB).
const TRAINING_VALUES_MAX: usize = 1 << 32;

/// Values that an operation keeps beside what goes in and what comes out, roughly; `usize::MAX` where they cannot be
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// For each row of a call.
    pub(crate) per_row: usize,
    /// However many rows there are.
    pub(crate) fixed: usize,
}

impl Hidden {
    /// As many values for each row as the product of these.
    pub(crate) fn per_row(factors: &[usize]) -> Self {
        Self { per_row: product(factors), fixed: 0 }
    }

    /// As many values as the product of these, however many rows there are.
    pub(crate) fn fixed(factors: &[usize]) -> Self {
        Self { per_row: 0, fixed: product(factors) }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            per_row: self.per_row.saturating_add(other.per_row),
            fixed: self.fixed.saturating_add(other.fixed),
        }
    }

    /// This where a condition holds.
    pub(crate) fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::default() }
    }

    /// That of an operation whose rows are so many parts of a row.
    pub(crate) fn in_parts(self, parts: usize) -> Self {
        Self { per_row: self.per_row.saturating_mul(parts), ..self }
    }

    /// That of this many rows.
    pub(crate) fn rows(self, rows: usize) -> usize {
        self.per_row.saturating_mul(rows).saturating_add(self.fixed)
    }
}

/// The product, or the largest number there is.
pub(crate) fn product(factors: &[usize]) -> usize {
    factors.iter().fold(1, |product: usize, &factor| product.saturating_mul(factor))
}

/// Refuses a network that could not answer a single row; names the layer with which it becomes too large.
pub(crate) fn check_inference(spec: &NetworkSpec, layout: &Layout) -> Result<(), ModelError> {
    let mut values = 0usize;
    for (node, layer) in spec.layers.iter().zip(&layout.layers) {
        let hidden = node.layer.layer().hidden(&layer.inputs, Purpose::Inference);
        values = values.saturating_add(hidden.rows(1)).saturating_add(product(&layer.output));
        if values > NETWORK_VALUES_MAX {
            return Err(ModelError::TooLarge {
                what: format!("one row up to layer {} ({})", layer.index, node.layer.kind()),
                needed: values as u64,
                limit: NETWORK_VALUES_MAX as u64,
            });
        }
    }
    Ok(())
}

/// Refuses buffers that no machine of ours could hold.
pub(crate) fn check_training(plan: &Plan, shard_rows: usize, shards: usize) -> Result<(), ModelError> {
    let between = plan.lens().fold(plan.widest().saturating_mul(2), usize::saturating_add);
    let hidden = plan.hidden(Purpose::Training).rows(shard_rows);
    let shard =
        between.saturating_mul(shard_rows).saturating_add(hidden).saturating_add(plan.layout.trained_len);
    let values = shard.saturating_mul(shards);
    if values <= TRAINING_VALUES_MAX {
        return Ok(());
    }
    Err(ModelError::TooLarge {
        what: format!("training with {shard_rows} rows on each of {shards} threads"),
        needed: values as u64,
        limit: TRAINING_VALUES_MAX as u64,
    })
}
