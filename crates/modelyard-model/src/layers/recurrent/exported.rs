//! Recurrent layers as ONNX's LSTM, GRU and RNN.
//!
//! The operators know padding at a row's end only, as each row's length. Where steps are padding, wherever they stand,
//! the others are moved to the front first; and behind the operator each step takes the state that the walk had when
//! it came by, as Keras has it.

use super::Recurrent;
use crate::export::{Export, ExportedLayer, signed};
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

/// The names of values [batch, steps] of a sequence with padding.
struct Counting {
    /// 1 where a step is padding, otherwise 0.
    padding: String,
    /// 1 where a step counts, otherwise 0.
    counts: String,
    /// How many steps count up to each, that one included.
    so_far: String,
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
        let counting = self.layer.mask.as_deref().map(|mask| self.counting(mask));
        let lengths = counting.as_ref().map(|counting| self.bring_to_front(counting)).unwrap_or_default();
        self.transpose(&[1, 0, 2]);
        let sequence = self.graph.last();
        let mut inputs = vec![sequence.as_str(), &weights[0], &weights[1], &weights[2], &lengths];
        while inputs.last().is_some_and(|name| name.is_empty()) {
            inputs.pop();
        }
        let (all, last) = (format!("{sequence}_all"), format!("{sequence}_last"));
        self.graph.node_to(operator.name, &inputs, &[&all, &last], attributes);
        self.graph.set_last(if settings.return_sequences { all } else { last });
        if let (Some(counting), true) = (counting, settings.return_sequences) {
            self.put_back(&counting);
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

    /// Which steps count, and how many so far.
    fn counting(&mut self, mask: &str) -> Counting {
        let zero = self.number("zero", 0.0);
        let padding = self.graph.node("Equal", &[mask, &zero], vec![]);
        let padding = self.cast(&padding, ElementType::Float);
        let one = self.number("one", 1.0);
        let counts = self.graph.node("Sub", &[&one, &padding], vec![]);
        let steps = self.constant("step_axis", &[1]);
        let so_far = self.graph.node("CumSum", &[&counts, &steps], vec![]);
        Counting { padding, counts, so_far }
    }

    /// Moves the steps that count to the front of the sequence, in their order; gives how many they are: [batch].
    fn bring_to_front(&mut self, counting: &Counting) -> String {
        let [steps, features] = [self.layer.input[0], self.layer.input[1]];
        // Padding comes behind all else, and otherwise the step's own number decides.
        let name = format!("{}_steps", self.graph.last());
        let count = self.graph.constant_f32(&name, &[], &[steps as f32]);
        let numbers: Vec<f32> = (0..steps).map(|step| step as f32).collect();
        let numbers = self.graph.constant_f32(&name, &[1, steps], &numbers);
        let behind = self.graph.node("Mul", &[&counting.padding, &count], vec![]);
        let rank = self.graph.node("Add", &[&behind, &numbers], vec![]);
        let all = self.constant("all_steps", &[signed(steps)]);
        let (ranks, order) = (format!("{rank}_sorted"), format!("{rank}_order"));
        let ascending = vec![AttributeProto::int("axis", 1), AttributeProto::int("largest", 0)];
        self.graph.node_to("TopK", &[&rank, &all], &[&ranks, &order], ascending);
        let order = self.spread(&order, &[0, signed(steps), 1], &[1, 1, signed(features)]);
        self.graph.chain("GatherElements", &[&order], vec![AttributeProto::int("axis", 1)]);
        let axes = self.constant("length_axes", &[1]);
        let no_dims = AttributeProto::int("keepdims", 0);
        let lengths = self.graph.node("ReduceSum", &[&counting.counts, &axes], vec![no_dims]);
        self.cast(&lengths, ElementType::Int32)
    }

    /// From the states of the steps that count, [steps, directions, batch, units], to those of all steps. A walk from
    /// the first step has at padding the state of the step before, or none yet; one from the last that of the step
    /// behind, or none yet, where the operator gives zeros.
    fn put_back(&mut self, counting: &Counting) {
        let (steps, units) = (signed(self.layer.input[0]), signed(self.recurrent.settings().units));
        let [zero, one] = [("none", 0.0), ("one", 1.0)].map(|(name, value)| self.number(name, value));
        let before = self.graph.node("Sub", &[&counting.so_far, &one], vec![]);
        let forward = self.graph.node("Max", &[&before, &zero], vec![]);
        let begun = self.graph.node("Min", &[&counting.so_far, &one], vec![]);
        let backward = self.graph.node("Sub", &[&counting.so_far, &counting.counts], vec![]);
        let always = self.graph.node("Max", &[&begun, &one], vec![]);
        let ways = match self.way {
            Way::Forward => vec![(forward, begun)],
            Way::Reverse => vec![(backward, always)],
            Way::Bidirectional => vec![(forward, begun), (backward, always)],
        };
        let (places, shares): (Vec<String>, Vec<String>) = ways.into_iter().unzip();
        let [places, shares] = [places, shares].map(|values| {
            let values: Vec<String> = values.iter().map(|value| self.by_steps(value, steps)).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            self.graph.node("Concat", &values, vec![AttributeProto::int("axis", 1)])
        });
        let places = self.cast(&places, ElementType::Int64);
        let repeats = self.constant("units", &[1, 1, 1, units]);
        let places = self.graph.node("Tile", &[&places, &repeats], vec![]);
        self.graph.chain("GatherElements", &[&places], vec![AttributeProto::int("axis", 0)]);
        self.graph.chain("Mul", &[&shares], vec![]);
    }

    /// A value [batch, steps] as [steps, 1, batch, 1].
    fn by_steps(&mut self, value: &str, steps: i64) -> String {
        let value = self.graph.node("Transpose", &[value], vec![AttributeProto::ints("perm", &[1, 0])]);
        let shape = self.constant("by_steps", &[steps, 1, -1, 1]);
        self.graph.node("Reshape", &[&value, &shape], vec![])
    }

    /// A value in another shape, repeated along each axis.
    fn spread(&mut self, value: &str, shape: &[i64], repeats: &[i64]) -> String {
        let (shape, repeats) = (self.constant("spread_shape", shape), self.constant("spread", repeats));
        let value = self.graph.node("Reshape", &[value, &shape], vec![]);
        self.graph.node("Tile", &[&value, &repeats], vec![])
    }

    /// A single number, named after the last value.
    fn number(&mut self, name: &str, value: f32) -> String {
        let name = format!("{}_{name}", self.graph.last());
        self.graph.constant_f32(&name, &[], &[value])
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
