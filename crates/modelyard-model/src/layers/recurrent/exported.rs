//! Recurrent layers as ONNX's LSTM, GRU and RNN.
//!
//! Where steps are padding, which stands at a row's end, the operator gets each row's length. Beyond it the
//! operator gives zeros; a walk from the first step keeps giving its last state there, as Keras has it.

use super::Recurrent;
use crate::export::{Export, ExportedLayer};
use crate::layers::bidirectional::Merge;
use crate::onnx::proto::{AttributeProto, ElementType};

/// Writes a layer that walks one way.
pub(super) fn one_direction(recurrent: &dyn Recurrent, layer: &ExportedLayer<'_>, graph: &mut Export) {
    let settings = recurrent.settings();
    let way = if settings.go_backwards { Way::Reverse } else { Way::Forward };
    Writer { recurrent, layer, graph, way }.one_direction();
}

/// Writes a layer that walks both ways.
pub(in crate::layers) fn both_directions(
    recurrent: &dyn Recurrent,
    merge: Merge,
    layer: &ExportedLayer<'_>,
    graph: &mut Export,
) {
    Writer { recurrent, layer, graph, way: Way::Bidirectional }.both_directions(merge);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Reverse,
    Bidirectional,
}

struct Writer<'a, 'b, 'n> {
    recurrent: &'a dyn Recurrent,
    layer: &'a ExportedLayer<'b>,
    graph: &'a mut Export<'n>,
    way: Way,
}

impl Writer<'_, '_, '_> {
    fn one_direction(&mut self) {
        let settings = self.recurrent.settings();
        let axis = i64::from(settings.return_sequences);
        self.run();
        let axes = self.constant("axes", &[axis]);
        self.graph.chain("Squeeze", &[&axes], vec![]);
        if !settings.return_sequences {
            return;
        }
        if settings.go_backwards {
            // The operator gives each step at its own place; Keras gives them as they were walked.
            let bounds = [("first", -1), ("end", -1 - signed(self.layer.input[0])), ("axis", 0), ("by", -1)];
            let bounds = bounds.map(|(name, value)| self.constant(name, &[value]));
            self.graph.chain("Slice", &bounds.each_ref().map(String::as_str), vec![]);
        }
        self.transpose(&[1, 0, 2]);
    }

    fn both_directions(&mut self, merge: Merge) {
        let settings = self.recurrent.settings();
        let axis = i64::from(settings.return_sequences);
        self.run();
        let (axes, no_dims) = (AttributeProto::ints("axes", &[axis]), AttributeProto::int("keepdims", 0));
        match merge {
            Merge::Concat => return self.side_by_side(),
            Merge::Sum => {
                let axes = self.constant("axes", &[axis]);
                self.graph.chain("ReduceSum", &[&axes], vec![no_dims]);
            }
            Merge::Ave => self.graph.chain("ReduceMean", &[], vec![axes, no_dims]),
            Merge::Mul => self.graph.chain("ReduceProd", &[], vec![axes, no_dims]),
        }
        if settings.return_sequences {
            self.transpose(&[1, 0, 2]);
        }
    }

    fn side_by_side(&mut self) {
        let settings = self.recurrent.settings();
        let outputs = 2 * signed(settings.units);
        let shape = if settings.return_sequences {
            self.transpose(&[2, 0, 1, 3]);
            self.constant("shape", &[-1, signed(self.layer.input[0]), outputs])
        } else {
            self.transpose(&[1, 0, 2]);
            self.constant("shape", &[-1, outputs])
        };
        self.graph.chain("Reshape", &[&shape], vec![]);
    }

    /// The operator itself: what goes on are its last states [directions, batch, units], or its states at all
    /// steps [steps, directions, batch, units].
    fn run(&mut self) {
        let (operator, settings) = (self.recurrent.operator(), self.recurrent.settings());
        let way = match self.way {
            Way::Forward => "forward",
            Way::Reverse => "reverse",
            Way::Bidirectional => "bidirectional",
        };
        let mut attributes = vec![
            AttributeProto::int("hidden_size", signed(settings.units)),
            AttributeProto::text("direction", way),
        ];
        if operator.two_biases {
            attributes.push(AttributeProto::int("linear_before_reset", 1));
        }
        if let Some(activation) = operator.activation {
            attributes.push(AttributeProto::texts("activations", &vec![activation; self.directions()]));
        }
        let weights = [self.weights(0, self.layer.input[1]), self.weights(1, settings.units), self.biases()];
        let hidden = self.layer.mask.as_deref().map(|mask| self.hidden(mask));
        let lengths = hidden.as_deref().map(|hidden| self.lengths(hidden)).unwrap_or_default();
        self.transpose(&[1, 0, 2]);
        let sequence = self.graph.last();
        let mut inputs = vec![sequence.as_str(), &weights[0], &weights[1], &weights[2], &lengths];
        while inputs.last().is_some_and(|name| name.is_empty()) {
            inputs.pop();
        }
        let (all, last) = (format!("{sequence}_all"), format!("{sequence}_last"));
        self.graph.node_to(operator.name, &inputs, &[&all, &last], attributes);
        self.graph.set_last(if settings.return_sequences { all } else { last.clone() });
        if let (Some(hidden), true, true) = (hidden, settings.return_sequences, self.way != Way::Reverse) {
            self.keep_last_state(&hidden, &last);
        }
    }

    fn directions(&self) -> usize {
        if self.way == Way::Bidirectional { 2 } else { 1 }
    }

    /// Where a direction's parameter stands among the layer's.
    fn parameter(&self, direction: usize, at: usize) -> usize {
        direction * (2 + usize::from(self.recurrent.settings().use_bias)) + at
    }

    /// Kernels [rows, gates · units] as [directions, gates · units, rows], the gates in the operator's order.
    fn weights(&mut self, parameter: usize, rows: usize) -> String {
        let (gates, units) = (self.recurrent.operator().gates, self.recurrent.settings().units);
        let columns = gates.len() * units;
        let mut turned = Vec::with_capacity(self.directions() * rows * columns);
        for direction in 0..self.directions() {
            let values = self.graph.weight_values(self.layer, self.parameter(direction, parameter));
            for column in gates.iter().flat_map(|&gate| gate * units..(gate + 1) * units) {
                turned.extend(values[column..].iter().step_by(columns));
            }
        }
        let shape = [self.directions(), columns, rows];
        self.graph.weights_made(self.layer, parameter, &shape, &turned)
    }

    /// Biases as [directions, 2 · gates · units], of the inputs and of the state; no name where there are none.
    fn biases(&mut self) -> String {
        let (operator, settings) = (self.recurrent.operator(), self.recurrent.settings());
        if !settings.use_bias {
            return String::new();
        }
        let columns = operator.gates.len() * settings.units;
        let mut biases = Vec::with_capacity(self.directions() * 2 * columns);
        for direction in 0..self.directions() {
            let values = self.graph.weight_values(self.layer, self.parameter(direction, 2));
            for bias in values.chunks_exact(columns) {
                for &gate in operator.gates {
                    biases.extend(&bias[gate * settings.units..(gate + 1) * settings.units]);
                }
            }
            biases.resize((direction + 1) * 2 * columns, 0.0);
        }
        let shape = [self.directions(), 2 * columns];
        self.graph.weights_made(self.layer, 2, &shape, &biases)
    }

    /// 1 where a step is padding, otherwise 0: [batch, steps].
    fn hidden(&mut self, mask: &str) -> String {
        let name = format!("{}_zero", self.graph.last());
        let zero = self.graph.constant_f32(&name, &[], &[0.0]);
        let padding = self.graph.node("Equal", &[mask, &zero], vec![]);
        self.cast(&padding, ElementType::Float)
    }

    /// The number of steps of each row that are not padding: [batch].
    fn lengths(&mut self, hidden: &str) -> String {
        let axes = self.constant("length_axes", &[1]);
        let name = format!("{}_steps", self.graph.last());
        let steps = self.graph.constant_f32(&name, &[], &[self.layer.input[0] as f32]);
        let no_dims = AttributeProto::int("keepdims", 0);
        let count = self.graph.node("ReduceSum", &[hidden, &axes], vec![no_dims]);
        let lengths = self.graph.node("Sub", &[&steps, &count], vec![]);
        self.cast(&lengths, ElementType::Int32)
    }

    /// Puts the last state where the steps are padding, for the walk from the first step.
    fn keep_last_state(&mut self, hidden: &str, last: &str) {
        let directions = self.directions();
        let forward: Vec<f32> = (0..directions).map(|at| if at == 0 { 1.0 } else { 0.0 }).collect();
        let name = format!("{last}_forward");
        let forward = self.graph.constant_f32(&name, &[directions, 1, 1], &forward);
        let kept = self.graph.node("Mul", &[last, &forward], vec![]);
        let shape = self.constant("hidden_shape", &[signed(self.layer.input[0]), 1, -1, 1]);
        let order = AttributeProto::ints("perm", &[1, 0]);
        let hidden = self.graph.node("Transpose", &[hidden], vec![order]);
        let hidden = self.graph.node("Reshape", &[&hidden, &shape], vec![]);
        let kept = self.graph.node("Mul", &[&hidden, &kept], vec![]);
        self.graph.chain("Add", &[&kept], vec![]);
    }

    fn cast(&mut self, value: &str, to: ElementType) -> String {
        let to = AttributeProto::int("to", i64::from(i32::from(to)));
        self.graph.node("Cast", &[value], vec![to])
    }

    fn transpose(&mut self, order: &[i64]) {
        self.graph.chain("Transpose", &[], vec![AttributeProto::ints("perm", order)]);
    }

    /// A list of whole numbers, named after the last value.
    fn constant(&mut self, name: &str, values: &[i64]) -> String {
        let name = format!("{}_{name}", self.graph.last());
        self.graph.constant_i64(&name, values)
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).expect("no dimension is larger than isize::MAX")
}
