//! The weights of a recurrent layer between Keras's layout and the padded one that the steps are computed in.
//!
//! A step's sums stand side by side, each padded to whole blocks of units. A GRU has one sum more than gates:
//! what its candidate takes from the state is kept apart and stands first. So of `sums` sums the inputs' share
//! reaches those from `sums - gates` on, in Keras's order, and the state's share the first `gates`, turned by as
//! much.

use std::ops::Range;

use crate::kernels::panels::{BLOCK, Cuts, Panels, padded};
use crate::op::Place;

/// Sizes, and where the weights lie.
#[derive(Clone, Debug)]
pub(super) struct Dimensions {
    pub(super) steps: usize,
    pub(super) features: usize,
    pub(super) units: usize,
    /// Units padded to whole blocks.
    pub(super) width: usize,
    pub(super) gates: usize,
    pub(super) sums: usize,
    pub(super) kernel: Range<usize>,
    pub(super) recurrent: Range<usize>,
    pub(super) bias: Option<Range<usize>>,
}

impl Dimensions {
    pub(super) fn new(place: &Place<'_>, units: usize, gates: usize, sums: usize) -> Self {
        Self {
            steps: place.input[0],
            features: place.input[1],
            units,
            width: padded(units),
            gates,
            sums,
            kernel: place.weights[0].clone(),
            recurrent: place.weights[1].clone(),
            bias: place.weights.get(2).cloned(),
        }
    }

    /// Values of one row's sums at one step.
    pub(super) fn sums_len(&self) -> usize {
        self.sums * self.width
    }

    /// Values of one row's gates, of which inputs and state each reach as many.
    pub(super) fn gates_len(&self) -> usize {
        self.gates * self.width
    }

    /// The first value that the inputs' share reaches.
    pub(super) fn inputs_from(&self) -> usize {
        (self.sums - self.gates) * self.width
    }

    /// The gate, in Keras's order, whose share of the state the sum at this place takes.
    fn gate_of_state(&self, sum: usize) -> usize {
        (sum + 2 * self.gates - self.sums) % self.gates
    }

    /// Which of Keras's columns [gates · units] fall into the padded columns from this one on, at most a block.
    fn columns(&self, gate: usize, unit: usize) -> Range<usize> {
        let from = gate * self.units + unit;
        from..from + BLOCK.min(self.units - unit)
    }

    /// Adds up the biases of each sum.
    pub(super) fn start(&self, parameters: &[f32], start: &mut [f32]) {
        start.fill(0.0);
        let Some(bias) = self.bias.clone() else { return };
        let mut biases = parameters[bias].chunks_exact(self.gates * self.units);
        for (gate, bias) in
            biases.next().into_iter().flat_map(|bias| bias.chunks_exact(self.units)).enumerate()
        {
            add(&mut start[self.inputs_from() + gate * self.width..], bias);
        }
        let Some(state) = biases.next() else { return };
        for sum in 0..self.gates {
            add(&mut start[sum * self.width..], &state[self.columns_of(self.gate_of_state(sum))]);
        }
    }

    /// The gradients of the biases, from those of each sum.
    pub(super) fn start_back(&self, sums: &[f32], gradients: &mut [f32]) {
        let mut biases = gradients.chunks_exact_mut(self.gates * self.units);
        if let Some(bias) = biases.next() {
            for (gate, bias) in bias.chunks_exact_mut(self.units).enumerate() {
                bias.copy_from_slice(&sums[self.inputs_from() + gate * self.width..][..self.units]);
            }
        }
        let Some(state) = biases.next() else { return };
        for sum in 0..self.gates {
            let to = &mut state[self.columns_of(self.gate_of_state(sum))];
            to.copy_from_slice(&sums[sum * self.width..][..self.units]);
        }
    }

    fn columns_of(&self, gate: usize) -> Range<usize> {
        gate * self.units..(gate + 1) * self.units
    }

    /// Copies padded rows [rows, gates · width] to Keras's [rows, gates · units]; with `of_state` the gates are
    /// turned back.
    pub(super) fn unpad(&self, padded: &[f32], of_state: bool, to: &mut [f32]) {
        let rows = padded.chunks_exact(self.gates_len());
        for (from, to) in rows.zip(to.chunks_exact_mut(self.gates * self.units)) {
            for (at, from) in from.chunks_exact(self.width).enumerate() {
                let gate = if of_state { self.gate_of_state(at) } else { at };
                to[self.columns_of(gate)].copy_from_slice(&from[..self.units]);
            }
        }
    }

    /// Copies Keras's [rows, gates · units] to padded rows.
    pub(super) fn pad(&self, from: &[f32], padded: &mut [f32]) {
        let rows = from.chunks_exact(self.gates * self.units);
        for (from, to) in rows.zip(padded.chunks_exact_mut(self.gates_len())) {
            for (from, to) in from.chunks_exact(self.units).zip(to.chunks_exact_mut(self.width)) {
                to[..self.units].copy_from_slice(from);
            }
        }
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// The weights as panels, for the way forward and for the way back.
#[derive(Clone, Debug)]
pub(super) struct PackedWeights {
    kernel: Panels,
    recurrent: Panels,
    /// recurrent transposed: [gates · width, width].
    back: Panels,
    transposed: Vec<f32>,
}

/// From this many rows on it pays to copy the weights into panels.
const PACKED_ROWS_MIN: usize = 4;

impl PackedWeights {
    pub(super) fn new(dimensions: &Dimensions) -> Self {
        let Dimensions { features, units, width, gates, .. } = *dimensions;
        Self {
            kernel: Panels::new(features, gates, width),
            recurrent: Panels::new(units, gates, width),
            back: Panels::new(gates * width, 1, width),
            transposed: Vec::new(),
        }
    }

    /// The weights for inputs and state, for steps of this many rows.
    pub(super) fn forward<'a>(
        &'a mut self,
        dimensions: &Dimensions,
        parameters: &'a [f32],
        rows: usize,
    ) -> [Cuts<'a>; 2] {
        let kernel = &parameters[dimensions.kernel.clone()];
        let recurrent = &parameters[dimensions.recurrent.clone()];
        let turned = dimensions.sums > dimensions.gates;
        let columns = dimensions.gates * dimensions.units;
        let whole = dimensions.units == dimensions.width && rows < PACKED_ROWS_MIN;
        let inputs = if whole {
            self.kernel.as_it_lies(kernel)
        } else {
            self.kernel.pack(|row, column| {
                let (gate, unit) = (column / dimensions.width, column % dimensions.width);
                &kernel[row * columns..][dimensions.columns(gate, unit)]
            })
        };
        let state = if whole && !turned {
            self.recurrent.as_it_lies(recurrent)
        } else {
            self.recurrent.pack(|row, column| {
                let (sum, unit) = (column / dimensions.width, column % dimensions.width);
                &recurrent[row * columns..][dimensions.columns(dimensions.gate_of_state(sum), unit)]
            })
        };
        [inputs, state]
    }

    /// The recurrent weights transposed, for the way back.
    pub(super) fn back(&mut self, dimensions: &Dimensions, parameters: &[f32]) -> Cuts<'_> {
        let Dimensions { units, width, gates, .. } = *dimensions;
        let recurrent = &parameters[dimensions.recurrent.clone()];
        self.transposed.resize(gates * width * width, 0.0);
        for sum in 0..gates {
            let gate = dimensions.gate_of_state(sum);
            for unit in 0..units {
                let to = &mut self.transposed[(sum * width + unit) * width..][..units];
                let from = recurrent[gate * units + unit..].iter().step_by(gates * units);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
        }
        let transposed = &self.transposed;
        self.back.pack(|row, column| &transposed[row * width + column..][..BLOCK])
    }
}
