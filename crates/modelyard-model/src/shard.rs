//! One thread's part of a training step: its rows of the mini-batch, through buffers of its own.

use std::ops::Range;

use crate::kernels::rows as row_kernels;
use crate::losses::{LossSpec, Rows};
use crate::op::{Pass, Purpose, Tape};
use crate::plan::Plan;
use crate::stages::{Slots, Source, Stage, Stages, Work};

/// The operations of a network for training, with buffers for some rows of a mini-batch.
pub(crate) struct Shard {
    stages: Vec<Stage>,
    outputs: Vec<Vec<f32>>,
    /// Where the network's answer comes from, and the buffer for the loss's derivative by it.
    answer: (Source, usize),
    ways: Vec<Way>,
    /// Derivatives by what stages give, for as long as they are needed.
    deltas: Vec<Vec<f32>>,
    /// The loss's derivative by all trained weights, over this shard's rows.
    pub(crate) gradients: Vec<f32>,
    /// The weighted sum of this shard's losses.
    pub(crate) loss: f64,
    /// What operations add to the loss of the whole mini-batch for this shard's rows.
    pub(crate) penalty: f64,
}

/// Which buffers a stage uses on the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    /// Holds the derivative by what the stage gives.
    d_output: usize,
    /// For each of its sources where the derivative by it goes; `None` where nobody needs it.
    d_inputs: Vec<Option<Delta>>,
    /// For an operation whose derivative is added to another's.
    scratch: usize,
}

/// A derivative by a value that several stages may take: the first on the way back writes, the others add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delta {
    slot: usize,
    is_first: bool,
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
        let Stages { list: stages, output } = plan.build(rows_max, Purpose::Training);
        let mut slots = Slots::default();
        let answer = slots.take(plan.output_len);
        let ways = ways(&stages, (output, answer), &mut slots);
        Self {
            outputs: stages.iter().map(|stage| vec![0.0; rows_max * stage.len]).collect(),
            answer: (output, answer),
            ways,
            deltas: slots.buffers(rows_max),
            gradients: vec![0.0; plan.layout.trained_len],
            loss: 0.0,
            penalty: 0.0,
            stages,
        }
    }

    /// The phases of one step: one, unless operations need sums over the whole mini-batch.
    pub(crate) fn phases(&mut self) -> Vec<Phase> {
        let n = self.stages.len();
        let meets: Vec<usize> = (0..n).filter(|&at| self.sums_of(at).is_some()).collect();
        let mut phases = Vec::new();
        let mut start = 0;
        for &meet in &meets {
            let forward = start..meet;
            phases.push(Phase { forward, loss: false, backward: 0..0, meet: Some(meet), way_back: false });
            start = meet;
        }
        let (mut forward, mut end, mut loss) = (start..n, n, true);
        for &meet in meets.iter().rev().filter(|&&meet| self.stages[meet].learns) {
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
            let (stages, stage) = self.stages.split_at_mut(at);
            let output = &mut output[0][..pass.rows * stage[0].len];
            stage[0].forward(pass, |source| value(source, lesson.inputs, before, stages, pass.rows), output);
        }
        if phase.loss {
            self.learn(pass.rows, lesson);
        }
        for at in phase.backward.clone().rev() {
            if self.stages[at].learns {
                self.backward(at, pass, lesson.inputs);
            }
        }
        let Some(meet) = phase.meet else { return };
        let len = pass.rows * self.stages[meet].len;
        let d_output = phase.way_back.then(|| &self.deltas[self.ways[meet].d_output][..len]);
        let (stages, stage) = self.stages.split_at_mut(meet);
        let value = |source| value(source, lesson.inputs, &self.outputs, stages, pass.rows);
        let masked = stage[0].masked(pass, value);
        let Work::Op { op, source } = &mut stage[0].work else { return };
        op.gather(&masked, value(*source), d_output);
    }

    /// The sums of an operation where shards meet.
    pub(crate) fn sums(&mut self, meet: usize) -> &mut [f64] {
        self.sums_of(meet).expect("shards meet at operations that have sums")
    }

    /// Moves all running statistics.
    pub(crate) fn update_state(&self, state: &mut [f32]) {
        for stage in &self.stages {
            if let Work::Op { op, .. } = &stage.work {
                op.update_state(state);
            }
        }
    }

    fn sums_of(&mut self, at: usize) -> Option<&mut [f64]> {
        match &mut self.stages[at].work {
            Work::Op { op, .. } => op.sums(),
            Work::Gather { .. } => None,
        }
    }

    fn learn(&mut self, rows: usize, lesson: &Lesson<'_>) {
        let (source, slot) = self.answer;
        let outputs = value(source, lesson.inputs, &self.outputs, &self.stages, rows);
        let slopes = &mut self.deltas[slot][..outputs.len()];
        self.loss = lesson.loss.rows(Rows { outputs, ..lesson.rows }, lesson.scale, slopes);
        self.penalty = self.stages.iter().map(Stage::penalty).sum();
    }

    /// Takes the derivative by what stage `at` gives to what it takes.
    fn backward(&mut self, at: usize, pass: &Pass<'_>, inputs: &[f32]) {
        let Way { d_output, d_inputs, scratch } = &self.ways[at];
        let (stages, stage) = self.stages.split_at_mut(at);
        let rows = pass.rows;
        let output_len = rows * stage[0].len;
        let value = |source| value(source, inputs, &self.outputs, stages, rows);
        let masked = stage[0].masked(pass, value);
        match &mut stage[0].work {
            Work::Op { op, source } => {
                let input = value(*source);
                let written = d_inputs[0].map(|delta| if delta.is_first { delta.slot } else { *scratch });
                let (d_output, d_input) = two(&mut self.deltas, *d_output, written);
                let tape = Tape {
                    input,
                    output: &self.outputs[at][..output_len],
                    d_output: &mut d_output[..output_len],
                    d_input: d_input.map(|d_input| &mut d_input[..input.len()]),
                    gradients: &mut self.gradients,
                };
                op.backward(&masked, tape);
                if let Some(Delta { slot, is_first: false }) = d_inputs[0] {
                    let (from, to) = two(&mut self.deltas, *scratch, Some(slot));
                    if let Some(to) = to {
                        row_kernels::add(&mut to[..input.len()], &from[..input.len()]);
                    }
                }
            }
            Work::Gather { pieces } => {
                let mut start = 0;
                for (piece, delta) in pieces.iter().zip(d_inputs) {
                    let (from, to) = two(&mut self.deltas, *d_output, delta.map(|delta| delta.slot));
                    if let (Some(to), Some(delta)) = (to, delta) {
                        let from = from[start..output_len].chunks(stage[0].len);
                        for (to, from) in to.chunks_exact_mut(piece.len).zip(from) {
                            match delta.is_first {
                                true => to.copy_from_slice(&from[..piece.len]),
                                false => row_kernels::add(to, &from[..piece.len]),
                            }
                        }
                    }
                    start += piece.len;
                }
            }
        }
    }
}

/// Plans the way back: from the last stage to the first that learns, each derivative in a buffer of its own
/// until it has been taken further.
fn ways(stages: &[Stage], answer: (Source, usize), slots: &mut Slots) -> Vec<Way> {
    let mut slot_of: Vec<Option<usize>> = vec![None; stages.len()];
    if let (Source::Stage(at), slot) = answer {
        slot_of[at] = Some(slot);
    }
    let mut ways = Vec::with_capacity(stages.len());
    for (at, stage) in stages.iter().enumerate().rev() {
        let d_output = slot_of[at].unwrap_or(answer.1);
        if !stage.learns {
            ways.push(Way { d_output, d_inputs: stage.sources().map(|_| None).collect(), scratch: d_output });
            continue;
        }
        let mut delta = |source| {
            let Source::Stage(from) = source else { return None };
            let is_first = slot_of[from].is_none();
            stages[from].learns.then(|| Delta {
                slot: *slot_of[from].get_or_insert_with(|| slots.take(stages[from].len)),
                is_first,
            })
        };
        let d_inputs: Vec<Option<Delta>> = stage.sources().map(&mut delta).collect();
        let mut scratch = d_output;
        if let (Work::Op { source: Source::Stage(from), .. }, [Some(Delta { is_first: false, .. })]) =
            (&stage.work, d_inputs.as_slice())
        {
            scratch = slots.take(stages[*from].len);
            slots.give_back(scratch);
        }
        slots.give_back(d_output);
        ways.push(Way { d_output, d_inputs, scratch });
    }
    ways.reverse();
    ways
}

/// The values of a source, for this many rows.
fn value<'a>(
    source: Source,
    inputs: &'a [f32],
    outputs: &'a [Vec<f32>],
    stages: &[Stage],
    rows: usize,
) -> &'a [f32] {
    match source {
        Source::Input => inputs,
        Source::Stage(at) => &outputs[at][..rows * stages[at].len],
    }
}

/// One buffer, and another one where it is wanted.
fn two(buffers: &mut [Vec<f32>], one: usize, other: Option<usize>) -> (&mut [f32], Option<&mut [f32]>) {
    match other {
        None => (&mut buffers[one], None),
        Some(other) => {
            let [one, other] = buffers.get_disjoint_mut([one, other]).expect("two buffers that differ");
            (one, Some(other))
        }
    }
}
