//! One thread's part of a training step: its rows of the mini-batch, through buffers of its own.

use std::ops::Range;

use crate::losses::{LossSpec, Rows};
use crate::op::{Op, Pass, Purpose, Tape};
use crate::plan::Plan;

/// The operations of a network for training, with buffers for some rows of a mini-batch.
pub(crate) struct Shard {
    ops: Vec<Box<dyn Op>>,
    /// Values of one output row of each operation.
    lens: Vec<usize>,
    input_len: usize,
    outputs: Vec<Vec<f32>>,
    /// Derivatives by the output of the operation that is next on the way back, and by its input.
    deltas: [Vec<f32>; 2],
    /// The loss's derivative by all trained weights, over this shard's rows.
    pub(crate) gradients: Vec<f32>,
    /// The weighted sum of this shard's losses.
    pub(crate) loss: f64,
}

/// A stretch of a step that shards run without waiting for each other. Between phases the sums of operation
/// `meet` are added up over the shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    forward: Range<usize>,
    /// Whether the loss and its derivative are computed after `forward`.
    loss: bool,
    /// Walked from its end to its start.
    backward: Range<usize>,
    /// The operation whose sums are gathered at the end: on the way back once the loss is known.
    pub(crate) meet: Option<usize>,
    way_back: bool,
}

/// What the shards of one step have in common, beside the pass.
#[derive(Clone, Copy)]
pub(crate) struct Lesson<'a> {
    /// This shard's rows.
    pub(crate) inputs: &'a [f32],
    /// The loss to compute; its outputs are filled in by the shard.
    pub(crate) rows: Rows<'a>,
    pub(crate) loss: &'a LossSpec,
    /// What the derivative of each row's loss is multiplied with.
    pub(crate) scale: f32,
}

impl Shard {
    pub(crate) fn new(plan: &Plan, rows_max: usize) -> Self {
        let (ops, lens): (Vec<_>, Vec<_>) = plan.build(rows_max, Purpose::Training).into_iter().unzip();
        let widest = lens.iter().max().copied().unwrap_or(0).max(plan.output_len);
        Self {
            outputs: lens.iter().map(|len| vec![0.0; rows_max * len]).collect(),
            deltas: [vec![0.0; rows_max * widest], vec![0.0; rows_max * widest]],
            gradients: vec![0.0; plan.layout.trained_len],
            input_len: plan.input_len,
            loss: 0.0,
            ops,
            lens,
        }
    }

    /// The phases of one step: one, unless operations need sums over the whole mini-batch.
    pub(crate) fn phases(&mut self) -> Vec<Phase> {
        let n = self.ops.len();
        let meets: Vec<usize> = (0..n).filter(|&at| self.ops[at].sums().is_some()).collect();
        let mut phases = Vec::new();
        let mut start = 0;
        for &meet in &meets {
            let forward = start..meet;
            phases.push(Phase { forward, loss: false, backward: 0..0, meet: Some(meet), way_back: false });
            start = meet;
        }
        let (mut forward, mut end, mut loss) = (start..n, n, true);
        for &meet in meets.iter().rev() {
            phases.push(Phase { forward, loss, backward: meet + 1..end, meet: Some(meet), way_back: true });
            (forward, end, loss) = (n..n, meet + 1, false);
        }
        phases.push(Phase { forward, loss, backward: 0..end, meet: None, way_back: true });
        phases
    }

    /// Runs one phase.
    pub(crate) fn run(&mut self, phase: &Phase, pass: &Pass<'_>, lesson: &Lesson<'_>) {
        for at in phase.forward.clone() {
            let (before, output) = self.outputs.split_at_mut(at);
            let input = input(lesson.inputs, before, &self.lens, pass.rows);
            self.ops[at].forward(pass, input, &mut output[0][..pass.rows * self.lens[at]]);
        }
        if phase.loss {
            self.learn(pass.rows, lesson);
        }
        for at in phase.backward.clone().rev() {
            self.backward(at, pass, lesson.inputs);
        }
        let Some(meet) = phase.meet else { return };
        let input = input(lesson.inputs, &self.outputs[..meet], &self.lens, pass.rows);
        let d_output = &self.deltas[0][..pass.rows * self.lens[meet]];
        self.ops[meet].gather(pass, input, phase.way_back.then_some(d_output));
    }

    /// The sums of an operation where shards meet.
    pub(crate) fn sums(&mut self, meet: usize) -> &mut [f64] {
        self.ops[meet].sums().expect("shards meet at operations that have sums")
    }

    /// Moves all running statistics.
    pub(crate) fn update_state(&self, state: &mut [f32]) {
        for op in &self.ops {
            op.update_state(state);
        }
    }

    fn learn(&mut self, rows: usize, lesson: &Lesson<'_>) {
        let outputs = input(lesson.inputs, &self.outputs, &self.lens, rows);
        let slopes = &mut self.deltas[0][..outputs.len()];
        self.loss = lesson.loss.rows(Rows { outputs, ..lesson.rows }, lesson.scale, slopes);
    }

    /// Takes `deltas[0]` from the output of operation `at` to its input.
    fn backward(&mut self, at: usize, pass: &Pass<'_>, inputs: &[f32]) {
        let input_len = pass.rows * at.checked_sub(1).map_or(self.input_len, |before| self.lens[before]);
        let output_len = pass.rows * self.lens[at];
        let (before, output) = self.outputs.split_at(at);
        let [d_output, d_input] = &mut self.deltas;
        let tape = Tape {
            input: input(inputs, before, &self.lens, pass.rows),
            output: &output[0][..output_len],
            d_output: &mut d_output[..output_len],
            d_input: if at == 0 { None } else { Some(&mut d_input[..input_len]) },
            gradients: &mut self.gradients,
        };
        self.ops[at].backward(pass, tape);
        self.deltas.swap(0, 1);
    }
}

/// What comes out of the last of `before`, or the network's own input.
fn input<'a>(inputs: &'a [f32], before: &'a [Vec<f32>], lens: &[usize], rows: usize) -> &'a [f32] {
    match before.last() {
        Some(output) => &output[..rows * lens[before.len() - 1]],
        None => inputs,
    }
}
