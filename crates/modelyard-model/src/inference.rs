//! The forward pass alone, in blocks of rows, through buffers that are reused as soon as their values have
//! been read for the last time: two for a chain of layers.

use crate::kernels::product::Parallelism;
use crate::op::{Pass, Past, Purpose, RowShares};
use crate::plan::Plan;
use crate::stages::{Slots, Source, Stage, Stages, Work};

/// The operations of a network for inference, with their buffers; the weights are the caller's.
pub(crate) struct Inference {
    stages: Vec<Stage>,
    /// The buffer of each stage; the last one writes to the caller's.
    slots: Vec<usize>,
    buffers: Vec<Vec<f32>>,
    input_len: usize,
    output_len: usize,
    /// Values that the operations remember of each row from one call to the next.
    past_len: usize,
    rows_max: usize,
}

/// Each buffer stays near this many values (256 KiB), so that a block of rows stays in a core's own cache.
const BUFFER_VALUES: usize = 1 << 16;
/// What operations keep for a block of rows, beside these buffers, stays near this many values (64 MiB).
const HIDDEN_VALUES: usize = 1 << 24;

impl Inference {
    pub(crate) fn new(plan: &Plan) -> Self {
        let hidden = plan.hidden(Purpose::Inference).per_row.max(1);
        Self::of_rows(plan, (BUFFER_VALUES / plan.widest()).min(HIDDEN_VALUES / hidden).clamp(1, 512))
    }

    /// With room for blocks of this many rows.
    pub(crate) fn of_rows(plan: &Plan, rows_max: usize) -> Self {
        let Stages { list: mut stages, .. } = plan.build(rows_max, Purpose::Inference);
        let past_len = pasts(&mut stages).map(|past| past.row_len).sum();
        let (slots, used) = assign(&stages);
        Self {
            stages,
            slots,
            buffers: used.buffers(rows_max),
            input_len: plan.input_len,
            output_len: plan.output_len,
            past_len,
            rows_max,
        }
    }

    pub(crate) fn input_len(&self) -> usize {
        self.input_len
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output_len
    }

    pub(crate) fn past_len(&self) -> usize {
        self.past_len
    }

    /// As [`Inference::run`], going on from what is remembered of each row, which is renewed.
    pub(crate) fn run_on(
        &mut self,
        weights: Weights<'_>,
        inputs: &[f32],
        past: &mut [f32],
        outputs: &mut [f32],
    ) {
        let inputs = inputs.chunks(self.rows_max * self.input_len);
        let outputs = outputs.chunks_mut(self.rows_max * self.output_len);
        let past = past.chunks_mut(self.rows_max * self.past_len);
        for ((inputs, outputs), past) in inputs.zip(outputs).zip(past) {
            self.exchange(past);
            self.run_block(weights, inputs, outputs);
            self.exchange(past);
        }
    }

    /// Swaps what the operations remember with what is remembered outside, row by row.
    fn exchange(&mut self, past: &mut [f32]) {
        let mut start = 0;
        for own in pasts(&mut self.stages) {
            let places = start..start + own.row_len;
            for (row, values) in past.chunks_exact_mut(self.past_len).enumerate() {
                own.row(row).swap_with_slice(&mut values[places.clone()]);
            }
            start = places.end;
        }
    }

    /// Computes all rows of `inputs` into `outputs`.
    pub(crate) fn run(&mut self, weights: Weights<'_>, inputs: &[f32], outputs: &mut [f32]) {
        let inputs = inputs.chunks(self.rows_max * self.input_len);
        let outputs = outputs.chunks_mut(self.rows_max * self.output_len);
        for (inputs, outputs) in inputs.zip(outputs) {
            self.run_block(weights, inputs, outputs);
        }
    }

    fn run_block(&mut self, weights: Weights<'_>, inputs: &[f32], outputs: &mut [f32]) {
        let rows = inputs.len() / self.input_len;
        let pass = Pass {
            parameters: weights.parameters,
            state: weights.state,
            rows,
            rows_total: rows,
            first_row: 0,
            key: 0,
            shares: RowShares::NONE,
            mask: None,
            memory_mask: None,
            parallelism: weights.parallelism,
            first_step: weights.first_step,
        };
        let Self { stages, slots, buffers, .. } = self;
        let Some(last) = stages.len().checked_sub(1) else {
            return outputs.copy_from_slice(inputs);
        };
        for at in 0..=last {
            let (before, rest) = stages.split_at_mut(at);
            let stage = &mut rest[0];
            // Taken out while it is written to: nobody reads it meanwhile.
            let mut own = if at == last { Vec::new() } else { std::mem::take(&mut buffers[slots[at]]) };
            let output = if at == last { &mut *outputs } else { &mut own[..rows * stage.len] };
            let value = |source| match source {
                Source::Input => inputs,
                Source::Stage(from) => &buffers[slots[from]][..rows * before[from].len],
            };
            stage.forward(&pass, value, output);
            if at < last {
                buffers[slots[at]] = own;
            }
        }
    }
}

/// What the operations remember, in their order.
fn pasts(stages: &mut [Stage]) -> impl Iterator<Item = &mut Past> {
    stages.iter_mut().filter_map(|stage| match &mut stage.work {
        Work::Op { op, .. } => op.past(),
        Work::Gather { .. } => None,
    })
}

/// Gives each stage but the last a buffer for as long as it is read.
fn assign(stages: &[Stage]) -> (Vec<usize>, Slots) {
    let mut last_reader: Vec<usize> = (0..stages.len()).collect();
    for (at, stage) in stages.iter().enumerate() {
        for source in stage.sources().chain(stage.masks.into_iter().flatten()) {
            if let Source::Stage(from) = source {
                last_reader[from] = at;
            }
        }
    }
    let mut done: Vec<Vec<usize>> = vec![Vec::new(); stages.len()];
    for (from, &reader) in last_reader.iter().enumerate() {
        done[reader].push(from);
    }
    let (mut used, mut slots) = (Slots::default(), Vec::new());
    for (stage, done) in stages.iter().zip(&done).take(stages.len().saturating_sub(1)) {
        slots.push(used.take(stage.len));
        done.iter().for_each(|&from| used.give_back(slots[from]));
    }
    (slots, used)
}

/// The weights to compute with, and on how many threads.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) parameters: &'a [f32],
    pub(crate) state: &'a [f32],
    pub(crate) parallelism: Parallelism,
    /// As in [`Pass`].
    pub(crate) first_step: usize,
}
