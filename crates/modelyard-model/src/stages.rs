//! A network's operations as they run, one after the other, for training and for inference: each takes what
//! earlier ones gave.

use crate::op::{Op, Pass};

/// Where a stage's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The rows that the network is given.
    Input,
    /// What an earlier stage gives.
    Stage(usize),
}

/// One thing to be computed.
pub(crate) struct Stage {
    pub(crate) work: Work,
    /// Values of one row that come out.
    pub(crate) len: usize,
    /// Tell the padding apart: in what the operation takes, and in its memory.
    pub(crate) masks: [Option<Source>; 2],
    /// Whether anything trained stands here or before: whether derivatives are needed.
    pub(crate) learns: bool,
}

/// What a stage does.
pub(crate) enum Work {
    /// A layer.
    Op { op: Box<dyn Op>, source: Source },
    /// Puts values side by side, row by row: what a layer of several inputs takes, or one part of the input.
    Gather { pieces: Vec<Piece> },
}

/// Some values of each row of a source; all of them where the source is a stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) source: Source,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// All stages of a network.
pub(crate) struct Stages {
    pub(crate) list: Vec<Stage>,
    /// Where the network's answer comes from: the last stage, or the input where nothing is computed.
    pub(crate) output: Source,
}

impl Stage {
    /// Everything that the stage takes derivatives back to, in order.
    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        let (one, many) = match &self.work {
            Work::Op { source, .. } => (Some(*source), [].as_slice()),
            Work::Gather { pieces } => (None, pieces.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|piece| piece.source))
    }

    /// The pass with what tells this stage's padding apart; `value` gives the values of a source.
    pub(crate) fn masked<'v>(&self, pass: &Pass<'v>, value: impl Fn(Source) -> &'v [f32]) -> Pass<'v> {
        let [mask, memory_mask] = self.masks.map(|mask| mask.map(&value));
        Pass { mask, memory_mask, ..*pass }
    }

    /// What the stage itself adds to the loss.
    pub(crate) fn penalty(&self) -> f64 {
        match &self.work {
            Work::Op { op, .. } => op.penalty(),
            Work::Gather { .. } => 0.0,
        }
    }

    /// Computes what comes out; `value` gives the values of a source.
    pub(crate) fn forward<'v>(
        &mut self,
        pass: &Pass<'v>,
        value: impl Fn(Source) -> &'v [f32],
        output: &mut [f32],
    ) {
        let masked = self.masked(pass, &value);
        match &mut self.work {
            Work::Op { op, source } => op.forward(&masked, value(*source), output),
            Work::Gather { pieces } => {
                let mut at = 0;
                for piece in pieces {
                    let from = value(piece.source);
                    let width = from.len() / pass.rows;
                    for (to, from) in output.chunks_exact_mut(self.len).zip(from.chunks_exact(width)) {
                        to[at..at + piece.len].copy_from_slice(&from[piece.start..piece.start + piece.len]);
                    }
                    at += piece.len;
                }
            }
        }
    }
}

/// Hands out buffers for values that live for a while, so that as few as possible are needed: a chain of
/// operations runs through two.
#[derive(Default)]
pub(crate) struct Slots {
    lens: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    /// A buffer for this many values of each row.
    pub(crate) fn take(&mut self, len: usize) -> usize {
        // The smallest that is large enough; else the largest, which then grows.
        let waste = |&slot: &usize| match self.lens[slot].checked_sub(len) {
            Some(waste) => (false, waste),
            None => (true, len - self.lens[slot]),
        };
        match (0..self.free.len()).min_by_key(|&at| waste(&self.free[at])) {
            Some(at) => {
                let slot = self.free.swap_remove(at);
                self.lens[slot] = self.lens[slot].max(len);
                slot
            }
            None => {
                self.lens.push(len);
                self.lens.len() - 1
            }
        }
    }

    /// Takes a buffer back whose values nobody needs any more.
    pub(crate) fn give_back(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// The buffers.
    pub(crate) fn buffers(&self, rows_max: usize) -> Vec<Vec<f32>> {
        self.lens.iter().map(|len| vec![0.0; rows_max * len]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_two_buffers_as_wide_as_their_widest_values() {
        let mut slots = Slots::default();
        let mut before = slots.take(3);
        for len in [5, 2, 9, 4] {
            let next = slots.take(len);
            slots.give_back(before);
            before = next;
        }
        assert_eq!(slots.lens, [4, 9]);
    }

    #[test]
    fn the_best_fit_is_taken() {
        let mut slots = Slots::default();
        let taken: Vec<usize> = [8, 3, 5].map(|len| slots.take(len)).to_vec();
        taken.into_iter().for_each(|slot| slots.give_back(slot));
        assert_eq!((slots.take(4), slots.take(9), slots.take(1)), (2, 0, 1));
        assert_eq!(slots.lens, [9, 3, 5]);
    }
}
