//! One planned operation: a layer with its buffers, for one shard of the mini-batch.

use std::ops::Range;

use crate::kernels::product::Parallelism;

/// What an operation is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward and backward: keep what the backward pass needs.
    Training,
    /// Forward only.
    Inference,
}

/// Where in the network an operation stands, and how much it must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The input's shape, without the batch dimension; of several inputs the first's.
    pub(crate) input: &'a [usize],
    /// The shapes of all inputs. An operation of several inputs sees, for each row, its inputs' values one
    /// after the other in one slice.
    pub(crate) inputs: &'a [Vec<usize>],
    /// Where the layer's weights lie, in the order of `Layer::parameters`: trained ones in
    /// [`Pass::parameters`], state in [`Pass::state`].
    pub(crate) weights: &'a [Range<usize>],
    /// The largest number of rows of one call.
    pub(crate) rows_max: usize,
    pub(crate) purpose: Purpose,
    /// Whether training moves the layer's weights.
    pub(crate) trainable: bool,
    /// True where a convolution computes the 2×2 max pooling that follows it, too.
    pub(crate) pooled: bool,
    /// Whether the operation is to remember from one call to the next: recurrent layers of a network that is fed
    /// in pieces.
    pub(crate) remembers: bool,
    /// The layer's index: part of a dropout's key.
    pub(crate) index: usize,
    /// Where a sequence comes one step at a time: how many steps it may have, which the operation keeps what it needs
    /// of. Otherwise 0: sequences come whole.
    pub(crate) steps_kept: usize,
}

/// What each row of a mini-batch weighs in a mean over its rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowShares<'a> {
    /// The weights of all rows of the mini-batch; none where each weighs 1.
    pub(crate) weights: Option<&'a [f32]>,
    /// One over the sum of the weights.
    pub(crate) scale: f32,
    /// Parts of a row that an operation sees as a row.
    pub(crate) parts: usize,
}

impl RowShares<'_> {
    /// Of a pass in which nothing is learned.
    pub(crate) const NONE: Self = Self { weights: None, scale: 0.0, parts: 1 };

    /// Of this row, counted from the mini-batch's first.
    pub(crate) fn of(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[row / self.parts]) * self.scale
    }
}

/// What is the same for all operations of one pass over one shard.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) parameters: &'a [f32],
    pub(crate) state: &'a [f32],
    /// Rows of this shard.
    pub(crate) rows: usize,
    /// Rows of the whole mini-batch.
    pub(crate) rows_total: usize,
    /// The shard's first row in the mini-batch.
    pub(crate) first_row: usize,
    /// Differs from step to step and from seed to seed: what random masks are drawn from.
    pub(crate) key: u64,
    /// What each row's penalty weighs in the mean over rows, for operations that have one.
    pub(crate) shares: RowShares<'a>,
    /// rows × steps numbers, 0 where a step of a row is padding: for operations over sequences whose input
    /// descends from a layer that tells padding apart ([`crate::layers::MaskRule`]).
    pub(crate) mask: Option<&'a [f32]>,
    /// The same for the memory of an operation that attends to one.
    pub(crate) memory_mask: Option<&'a [f32]>,
    pub(crate) parallelism: Parallelism,
    /// Which step of its sequence the one step is, where they come one at a time; otherwise 0.
    pub(crate) first_step: usize,
}

/// What the backward pass of one operation reads and writes.
pub(crate) struct Tape<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) output: &'a [f32],
    /// The loss's derivative by the output. May be overwritten.
    pub(crate) d_output: &'a mut [f32],
    /// The loss's derivative by the input, to be overwritten; `None` where nobody needs it.
    pub(crate) d_input: Option<&'a mut [f32]>,
    /// The loss's derivative by all trained weights; each operation overwrites its own part.
    pub(crate) gradients: &'a mut [f32],
}

/// What an operation remembers of each row from one call to the next: zeros before the first.
pub(crate) struct Past {
    /// Values of one row.
    pub(crate) row_len: usize,
    /// Those of all rows, row by row.
    pub(crate) values: Vec<f32>,
}

impl Past {
    /// Of at most so many rows.
    pub(crate) fn new(row_len: usize, rows_max: usize) -> Self {
        Self { row_len, values: vec![0.0; row_len * rows_max] }
    }

    /// What is remembered of a row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.row_len..][..self.row_len]
    }
}

/// A layer with its buffers. Slices hold `rows` rows.
pub(crate) trait Op: Send {
    /// Computes the output in the mode that it was planned for.
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]);

    /// Computes the derivatives; follows a `forward` with the same pass and input.
    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>);

    /// Sums over this shard's rows that all shards must know before `forward` (`d_output` is `None`) or
    /// `backward` goes on; `None` for operations whose rows are independent. Whoever runs the shards
    /// adds the sums up in a fixed order and writes the total back into each.
    fn gather(&mut self, _pass: &Pass<'_>, _input: &[f32], _d_output: Option<&[f32]>) {}

    /// The sums of the last `gather`, to be replaced by the total.
    fn sums(&mut self) -> Option<&mut [f64]> {
        None
    }

    /// What the operation itself adds to the mini-batch's loss, after `forward`: for each row its share. Its
    /// `backward` adds the derivative.
    fn penalty(&self) -> f64 {
        0.0
    }

    /// What it remembers, where its place says that it does: read when a pass begins, renewed when it ends.
    fn past(&mut self) -> Option<&mut Past> {
        None
    }

    /// Moves running statistics after a step.
    fn update_state(&self, _state: &mut [f32]) {}
}
