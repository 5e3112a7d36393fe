//! The walk over a sequence and back. Everything inside is laid out step by step, so that one product serves all
//! rows of a step, and one product at the end gives the gradients of all steps.

use pulp::Arch;

use crate::kernels::panels::{Cuts, Rows};
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::op::{Op, Pass, Past, Place, Purpose, Tape};

use super::Settings;
use super::cell::{Backward, Cell, Forward, StepMask};
use super::weights::{Dimensions, PackedWeights};

/// Which way the steps are taken, and in which order they come out where all are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// First to last.
    Forwards,
    /// Last to first, and so they come out (Keras's go_backwards).
    Backwards,
    /// Last to first; each comes out at its own place (Keras's bidirectional).
    BackwardsInPlace,
}

impl Direction {
    /// The step of the input that is taken at this time.
    fn input(self, time: usize, steps: usize) -> usize {
        if self == Self::Forwards { time } else { steps - 1 - time }
    }

    /// Where its output comes out.
    fn output(self, time: usize, steps: usize) -> usize {
        if self == Self::BackwardsInPlace { steps - 1 - time } else { time }
    }
}

/// Rows of sums that one block of steps should fill at least, so that the inputs' share is computed by tiles.
pub(super) const BLOCK_ROWS: usize = 24;

/// A recurrent layer with its buffers.
pub(crate) struct RecurrentOp<C> {
    weights: PackedWeights,
    walk: Walk<C>,
}

/// The steps and what they leave behind.
struct Walk<C> {
    cell: C,
    direction: Direction,
    return_sequences: bool,
    purpose: Purpose,
    dimensions: Dimensions,
    /// Steps of one block: all of them where the way back needs them.
    block_rows_max: usize,
    /// The sums' biases.
    start: Vec<f32>,
    /// [step, row, features] of a block.
    inputs: Vec<f32>,
    /// [step, row, sums] of a block.
    sums: Vec<f32>,
    /// [step, row, width] from before the first step on; two steps by turns where nobody needs more.
    states: Vec<f32>,
    carries: Vec<f32>,
    carry_tanhs: Vec<f32>,
    d_state: Vec<f32>,
    d_carry: Vec<f32>,
    /// State and carry after the last pass, of each row, where the next one goes on from them.
    past: Option<Past>,
    /// Gradients and weights as padded rows.
    padded: Vec<f32>,
    d_inputs: Vec<f32>,
}

impl<C: Cell> RecurrentOp<C> {
    pub(crate) fn new(cell: C, settings: &Settings, place: &Place<'_>, direction: Direction) -> Self {
        let dimensions = Dimensions::new(place, settings.units, C::GATES, C::SUMS);
        let weights = PackedWeights::new(&dimensions);
        Self { weights, walk: Walk::new(cell, settings, place, (direction, dimensions)) }
    }
}

impl<C: Cell> Walk<C> {
    fn new(
        cell: C,
        settings: &Settings,
        place: &Place<'_>,
        (direction, dimensions): (Direction, Dimensions),
    ) -> Self {
        let Dimensions { steps, features, width, .. } = dimensions;
        let training = place.purpose == Purpose::Training;
        let block_rows_max = match place.purpose {
            Purpose::Training => steps * place.rows_max,
            Purpose::Inference => BLOCK_ROWS.max(place.rows_max),
        };
        let row = place.rows_max * width;
        let slots = if training { steps + 1 } else { 2 };
        let sized = |needed: bool, len: usize| if needed { vec![0.0; len] } else { Vec::new() };
        let carry = C::CARRY;
        Self {
            cell,
            direction,
            return_sequences: settings.return_sequences,
            purpose: place.purpose,
            start: vec![0.0; dimensions.sums_len()],
            inputs: vec![0.0; block_rows_max * features],
            sums: vec![0.0; block_rows_max * dimensions.sums_len()],
            states: vec![0.0; slots * row],
            carries: sized(carry, slots * row),
            carry_tanhs: sized(carry, if training { steps * row } else { row }),
            d_state: sized(training, row),
            d_carry: sized(training && carry, row),
            past: place.remembers.then(|| Past::new(width * (1 + usize::from(carry)), place.rows_max)),
            padded: sized(training, features.max(width) * dimensions.gates_len()),
            d_inputs: sized(training, block_rows_max * features),
            block_rows_max,
            dimensions,
        }
    }

    /// Steps of one block.
    fn block_steps(&self, rows: usize) -> usize {
        let steps = match self.purpose {
            Purpose::Training => self.dimensions.steps,
            Purpose::Inference => BLOCK_ROWS.div_ceil(rows).min(self.block_rows_max / rows),
        };
        steps.clamp(1, self.dimensions.steps)
    }

    /// Copies the inputs of these times out of rows [steps, features].
    fn take_inputs(&mut self, rows: usize, input: &[f32], times: std::ops::Range<usize>) {
        let Dimensions { steps, features, .. } = self.dimensions;
        for (time, to) in times.zip(self.inputs.chunks_exact_mut(rows * features)) {
            let from = self.direction.input(time, steps) * features;
            for (row, to) in to.chunks_exact_mut(features).enumerate() {
                to.copy_from_slice(&input[row * steps * features + from..][..features]);
            }
        }
    }

    /// From the sums of all rows at one time to the new state.
    fn step(&mut self, pass: &Pass<'_>, time: usize, at: usize) {
        let (rows, width) = (pass.rows, self.dimensions.width);
        let (len, sums_len) = (rows * width, rows * self.dimensions.sums_len());
        let (before, after) = self.slots(time);
        let tanh = if self.purpose == Purpose::Training { time } else { 0 };
        let carry_len = if C::CARRY { len } else { 0 };
        let (state_before, state) = pair(&mut self.states, before, after, len);
        let (carry_before, carry) = pair(&mut self.carries, before, after, carry_len);
        Arch::new().dispatch(Forward {
            cell: self.cell,
            width,
            mask: step_mask(pass, &self.dimensions, self.direction, time),
            sums: &mut self.sums[at * sums_len..][..sums_len],
            state_before,
            state,
            carry_before,
            carry,
            carry_tanh: &mut self.carry_tanhs[tanh * carry_len..][..carry_len],
        });
    }

    /// The places of the state before and after a step.
    fn slots(&self, time: usize) -> (usize, usize) {
        match self.purpose {
            Purpose::Training => (time, time + 1),
            Purpose::Inference => (time % 2, (time + 1) % 2),
        }
    }

    /// Writes the state after this time to the output, where it belongs there.
    fn give(&self, rows: usize, time: usize, output: &mut [f32]) {
        let Dimensions { steps, units, width, .. } = self.dimensions;
        let (_, after) = self.slots(time);
        let states = self.states[after * rows * width..][..rows * width].chunks_exact(width);
        let (row_len, at) = match self.return_sequences {
            true => (steps * units, self.direction.output(time, steps) * units),
            false if time + 1 == steps => (units, 0),
            false => return,
        };
        for (state, to) in states.zip(output.chunks_exact_mut(row_len)) {
            to[at..at + units].copy_from_slice(&state[..units]);
        }
    }

    /// Adds the output's derivative to that by the state after this time.
    fn take(&mut self, time: usize, d_output: &[f32]) {
        let Dimensions { steps, units, width, .. } = self.dimensions;
        let (row_len, at) = match self.return_sequences {
            true => (steps * units, self.direction.output(time, steps) * units),
            false if time + 1 == steps => (units, 0),
            false => return,
        };
        for (d_state, from) in self.d_state.chunks_exact_mut(width).zip(d_output.chunks_exact(row_len)) {
            rows::add(&mut d_state[..units], &from[at..at + units]);
        }
    }

    /// The derivatives by the sums of all times, in place of the sums.
    fn walk_back(&mut self, pass: &Pass<'_>, recurrent: Cuts<'_>, d_output: &[f32]) {
        let (rows, width) = (pass.rows, self.dimensions.width);
        let (len, row_sums) = (rows * width, self.dimensions.sums_len());
        let carry_len = if C::CARRY { len } else { 0 };
        self.d_state.fill(0.0);
        self.d_carry.fill(0.0);
        for time in (0..self.dimensions.steps).rev() {
            self.take(time, d_output);
            let sums = &mut self.sums[time * rows * row_sums..][..rows * row_sums];
            Arch::new().dispatch(Backward {
                cell: self.cell,
                width,
                mask: step_mask(pass, &self.dimensions, self.direction, time),
                sums,
                state_before: &self.states[time * len..][..len],
                carry_before: &self.carries[time * carry_len..][..carry_len],
                carry_tanh: &self.carry_tanhs[time * carry_len..][..carry_len],
                d_state: &mut self.d_state[..len],
                d_carry: &mut self.d_carry[..carry_len],
            });
            if time > 0 {
                let sums = Rows { values: sums, stride: row_sums };
                recurrent.add_product(&mut self.d_state[..len], width, sums);
            }
        }
    }

    /// The gradients of the weights, one product each over all steps.
    fn gradients(&mut self, pass: &Pass<'_>, gradients: &mut [f32]) {
        let dimensions = &self.dimensions;
        let Dimensions { steps, features, units, width, .. } = *dimensions;
        let (count, gates_len) = (steps * pass.rows, dimensions.gates_len());
        let sums = &self.sums[..count * dimensions.sums_len()];
        let sums = Matrix::new(sums, count, dimensions.sums_len());
        let inputs = Matrix::new(&self.inputs[..count * features], count, features).transposed();
        let of_inputs = sums.columns(dimensions.inputs_from(), gates_len);
        let padded = &mut self.padded[..features * gates_len];
        multiply(padded, Write::Replace, inputs, of_inputs, pass.parallelism);
        dimensions.unpad(padded, false, &mut gradients[dimensions.kernel.clone()]);
        let states = Matrix::new(&self.states[..count * width], count, width).transposed();
        let padded = &mut self.padded[..width * gates_len];
        multiply(padded, Write::Replace, states, sums.columns(0, gates_len), pass.parallelism);
        let padded = &padded[..units * gates_len];
        dimensions.unpad(padded, true, &mut gradients[dimensions.recurrent.clone()]);
        if let Some(bias) = dimensions.bias.clone() {
            rows::sum_rows(&self.sums[..count * dimensions.sums_len()], &mut self.start, Write::Replace);
            dimensions.start_back(&self.start, &mut gradients[bias]);
        }
    }

    /// The derivatives by the inputs.
    fn inputs_back(&mut self, pass: &Pass<'_>, d_input: &mut [f32]) {
        let dimensions = &self.dimensions;
        let Dimensions { steps, features, .. } = *dimensions;
        let (count, gates_len) = (steps * pass.rows, dimensions.gates_len());
        let kernel = &mut self.padded[..features * gates_len];
        kernel.fill(0.0);
        dimensions.pad(&pass.parameters[dimensions.kernel.clone()], kernel);
        let sums = Matrix::new(&self.sums[..count * dimensions.sums_len()], count, dimensions.sums_len());
        let d_inputs = &mut self.d_inputs[..count * features];
        let kernel = Matrix::new(kernel, features, gates_len).transposed();
        let of_inputs = sums.columns(dimensions.inputs_from(), gates_len);
        multiply(d_inputs, Write::Replace, of_inputs, kernel, pass.parallelism);
        for (time, from) in d_inputs.chunks_exact(pass.rows * features).enumerate() {
            let to = self.direction.input(time, steps) * features;
            for (row, from) in from.chunks_exact(features).enumerate() {
                d_input[row * steps * features + to..][..features].copy_from_slice(from);
            }
        }
    }

    /// Sets state and carry before the first step: to zeros, or to what is remembered.
    fn begin(&mut self, rows: usize) {
        let width = self.dimensions.width;
        let carry_len = if C::CARRY { rows * width } else { 0 };
        let Some(past) = &mut self.past else {
            self.states[..rows * width].fill(0.0);
            self.carries[..carry_len].fill(0.0);
            return;
        };
        for (row, state) in self.states[..rows * width].chunks_exact_mut(width).enumerate() {
            state.copy_from_slice(&past.row(row)[..width]);
        }
        for (row, carry) in self.carries[..carry_len].chunks_exact_mut(width).enumerate() {
            carry.copy_from_slice(&past.row(row)[width..]);
        }
    }

    /// Remembers state and carry after the last step, where that is wanted.
    fn keep(&mut self, rows: usize) {
        let Dimensions { steps, width, .. } = self.dimensions;
        let (_, after) = self.slots(steps - 1);
        let Some(past) = &mut self.past else { return };
        let last = after * rows * width;
        for (row, state) in self.states[last..][..rows * width].chunks_exact(width).enumerate() {
            past.row(row)[..width].copy_from_slice(state);
        }
        if C::CARRY {
            for (row, carry) in self.carries[last..][..rows * width].chunks_exact(width).enumerate() {
                past.row(row)[width..].copy_from_slice(carry);
            }
        }
    }

    /// All steps: the inputs' share of a block of them at once, then one after the other.
    fn walk(
        &mut self,
        pass: &Pass<'_>,
        [kernel, recurrent]: [Cuts<'_>; 2],
        input: &[f32],
        output: &mut [f32],
    ) {
        let (rows, &Dimensions { steps, features, width, .. }) = (pass.rows, &self.dimensions);
        let (len, sums_len) = (rows * width, self.dimensions.sums_len());
        self.dimensions.start(pass.parameters, &mut self.start);
        self.begin(rows);
        let block = self.block_steps(rows);
        for first in (0..steps).step_by(block) {
            let times = first..(first + block).min(steps);
            let count = times.len() * rows;
            self.take_inputs(rows, input, times.clone());
            let sums = &mut self.sums[..count * sums_len];
            sums.chunks_exact_mut(sums_len).for_each(|sums| sums.copy_from_slice(&self.start));
            let inputs = Rows { values: &self.inputs[..count * features], stride: features };
            kernel.add_product(&mut sums[self.dimensions.inputs_from()..], sums_len, inputs);
            for (at, time) in times.enumerate() {
                if time > 0 || self.past.is_some() {
                    let states = &self.states[self.slots(time).0 * len..][..len];
                    let sums = &mut self.sums[at * rows * sums_len..][..rows * sums_len];
                    let recurrent = recurrent.backwards(time % 2 == 1);
                    recurrent.add_product(sums, sums_len, Rows { values: states, stride: width });
                }
                self.step(pass, time, at);
                self.give(rows, time, output);
            }
        }
        self.keep(rows);
    }
}

impl<C: Cell> Op for RecurrentOp<C> {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let weights = self.weights.forward(&self.walk.dimensions, pass.parameters, pass.rows);
        self.walk.walk(pass, weights, input, output);
    }

    fn past(&mut self) -> Option<&mut Past> {
        self.walk.past.as_mut()
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let recurrent = self.weights.back(&self.walk.dimensions, pass.parameters);
        self.walk.walk_back(pass, recurrent, tape.d_output);
        self.walk.gradients(pass, tape.gradients);
        if let Some(d_input) = tape.d_input {
            self.walk.inputs_back(pass, d_input);
        }
    }
}

/// Two different stretches of one buffer.
fn pair(buffer: &mut [f32], before: usize, after: usize, len: usize) -> (&[f32], &mut [f32]) {
    let (low, high) = buffer.split_at_mut(before.max(after) * len);
    if before < after {
        (&low[before * len..][..len], &mut high[..len])
    } else {
        (&high[..len], &mut low[after * len..][..len])
    }
}

fn step_mask<'a>(
    pass: &Pass<'a>,
    dimensions: &Dimensions,
    direction: Direction,
    time: usize,
) -> StepMask<'a> {
    let steps = dimensions.steps;
    StepMask { values: pass.mask.map(|mask| &mask[direction.input(time, steps)..]), steps }
}
