//! Writes a network as ONNX.
//!
//! Images go in as [batch, h, w, c] like everywhere here; ONNX computes them as [batch, c, h, w]: every value
//! of three dimensions is kept so, and one Transpose stands where it comes in, and one where it is flattened.

use modelyard_types::{DataType, Dim};

use crate::activation::LEAKY_SLOPE;
use crate::layers::window::{Axis, Window};
use crate::onnx::GraphBuilder;
use crate::onnx::proto::AttributeProto;
use crate::wiring::Value;
use crate::{Activation, Network};

/// A layer being written.
pub(crate) struct ExportedLayer<'a> {
    index: usize,
    /// The shape that goes in, as the network has it: [h, w, c]. Of several inputs the first one's, which is
    /// the last value of the graph.
    pub(crate) input: &'a [usize],
    /// The names of the values of the second input and those after it.
    pub(crate) others: Vec<String>,
    /// The shapes of all inputs.
    pub(crate) inputs: &'a [Vec<usize>],
    /// The name of the value, [batch, steps], that is 0 where the input is padding.
    pub(crate) mask: Option<String>,
    /// The same for a memory.
    pub(crate) memory_mask: Option<String>,
}

impl ExportedLayer<'_> {
    /// A layer inside this one that has the same weights and takes one input of the first of these shapes.
    pub(crate) fn inner<'b>(&self, inputs: &'b [Vec<usize>]) -> ExportedLayer<'b> {
        ExportedLayer {
            index: self.index,
            input: &inputs[0],
            inputs,
            others: Vec::new(),
            mask: None,
            memory_mask: None,
        }
    }
}

/// The graph being written. Within a layer it is a chain, each node taking what the last one gave.
pub(crate) struct Export<'a> {
    network: &'a Network,
    graph: GraphBuilder,
    /// The name of the last value.
    last: String,
    /// Whether the last value is an image.
    is_image: bool,
    /// How many constants there are beside the weights.
    constants: usize,
}

/// The whole file.
pub(crate) fn to_onnx(network: &Network) -> Vec<u8> {
    let layout = network.layout();
    let dims = |shape: &[usize]| -> Vec<Dim> {
        std::iter::once(Dim::Any).chain(shape.iter().map(|&n| Dim::Fixed(n))).collect()
    };
    let mut graph = GraphBuilder::new("network");
    graph.input("input", DataType::F32, &dims(&layout.input));
    graph.output("output", DataType::F32, &dims(&layout.output));
    let mut export = Export { network, graph, last: String::new(), is_image: false, constants: 0 };
    let parts = export.input_parts();
    let mut given: Vec<String> = Vec::with_capacity(layout.layers.len());
    for (node, layer) in network.spec().layers.iter().zip(&layout.layers) {
        let name = |value: &Value| match *value {
            Value::Input(part) => parts[part].clone(),
            Value::Layer(index) => given[index].clone(),
        };
        let mut sources = layer.sources.iter().map(name);
        export.last = sources.next().expect("a layer takes at least one value");
        export.is_image = layer.input().len() == 3;
        let exported = ExportedLayer {
            index: layer.index,
            input: layer.input(),
            inputs: &layer.inputs,
            others: sources.collect(),
            mask: layer.masks[0].as_ref().map(name),
            memory_mask: layer.masks[1].as_ref().map(name),
        };
        node.layer.layer().export(&exported, &mut export);
        given.push(export.last.clone());
    }
    if layout.output.len() == 3 {
        export.transpose(&FROM_IMAGE);
    }
    let last = export.last.clone();
    export.graph.node_to("Identity", &[&last], &["output"], vec![]);
    export.graph.finish()
}

/// From [batch, h, w, c] to [batch, c, h, w].
const TO_IMAGE: [i64; 4] = [0, 3, 1, 2];
/// And back.
const FROM_IMAGE: [i64; 4] = [0, 2, 3, 1];

impl Export<'_> {
    /// Adds a node that takes the last value, then these, and gives the new last value.
    pub(crate) fn chain(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        let last = self.last.clone();
        let inputs: Vec<&str> = std::iter::once(last.as_str()).chain(inputs.iter().copied()).collect();
        self.last = self.graph.node(op, &inputs, attributes);
    }

    /// An array of a layer's weights.
    pub(crate) fn weight_values(&self, layer: &ExportedLayer<'_>, parameter: usize) -> &[f32] {
        self.network.array(layer.index, parameter)
    }

    /// Adds an array of a layer's weights as it is, and gives its name.
    pub(crate) fn weights(&mut self, layer: &ExportedLayer<'_>, parameter: usize) -> String {
        let shape = &self.network.layout().layers[layer.index].parameters[parameter].shape;
        self.weights_made(layer, parameter, shape, self.network.array(layer.index, parameter))
    }

    /// Adds an array that was made of a layer's weights, under the name of one of them, and gives that.
    pub(crate) fn weights_made(
        &mut self,
        layer: &ExportedLayer<'_>,
        parameter: usize,
        shape: &[usize],
        values: &[f32],
    ) -> String {
        let declared = &self.network.layout().layers[layer.index];
        let name = declared.parameter_name(&declared.parameters[parameter]);
        self.graph.initializer_f32(&name, shape, values)
    }

    /// The name of the last value.
    pub(crate) fn last(&self) -> String {
        self.last.clone()
    }

    /// Makes another value the last one.
    pub(crate) fn set_last(&mut self, name: String) {
        self.last = name;
    }

    /// Adds a node beside the chain and gives its output's fresh name.
    pub(crate) fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.graph.node(op, inputs, attributes)
    }

    /// Adds a node of several outputs beside the chain.
    pub(crate) fn node_to(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        self.graph.node_to(op, inputs, outputs, attributes);
    }

    /// Adds an array that is no weight; gives the name that it got: this one with a number of its own.
    pub(crate) fn constant_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.fresh(name);
        self.graph.initializer_f32(&name, shape, values)
    }

    /// Adds a list of whole numbers; gives the name that it got: this one with a number of its own.
    pub(crate) fn constant_i64(&mut self, name: &str, values: &[i64]) -> String {
        let name = self.fresh(name);
        self.graph.initializer_i64(&name, &[values.len()], values)
    }

    /// Two layers may take one value and name their constants after it: the number tells them apart.
    fn fresh(&mut self, name: &str) -> String {
        self.constants += 1;
        format!("{name}_{}", self.constants)
    }

    /// Adds a convolution's kernel, turned from [window…, channels, filters] to [filters, channels, window…].
    pub(crate) fn convolution_kernel(&mut self, layer: &ExportedLayer<'_>, parameter: usize) -> String {
        let shape = self.weights_shape(layer, parameter);
        let window = shape.len() - 2;
        let order: Vec<usize> = [window + 1, window].into_iter().chain(0..window).collect();
        let turned: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        self.turned_weights(layer, parameter, &order, &turned)
    }

    /// Adds an array of a layer's weights with its axes in another order, and calls it `shape`.
    pub(crate) fn turned_weights(
        &mut self,
        layer: &ExportedLayer<'_>,
        parameter: usize,
        order: &[usize],
        shape: &[usize],
    ) -> String {
        let declared = &self.network.layout().layers[layer.index];
        let spec = &declared.parameters[parameter];
        let values = turn(self.network.array(layer.index, parameter), &spec.shape, order);
        let name = declared.parameter_name(spec);
        self.graph.initializer_f32(&name, shape, &values)
    }

    /// The shape of an array of a layer's weights.
    pub(crate) fn weights_shape(&self, layer: &ExportedLayer<'_>, parameter: usize) -> Vec<usize> {
        self.network.layout().layers[layer.index].parameters[parameter].shape.clone()
    }

    /// A name for a constant of the layer being written; `what` need only be unlike the layer's others.
    pub(crate) fn name_of(&self, what: &str) -> String {
        format!("{}_{what}", self.last)
    }

    /// Adds an operator over the steps of a series, which ONNX computes as [batch, features, steps].
    pub(crate) fn chain_over_steps(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        self.transpose(&[0, 2, 1]);
        self.chain(op, inputs, attributes);
        self.transpose(&[0, 2, 1]);
    }

    /// Adds nodes that take and give values of this shape with the channels right behind the batch, where ONNX has
    /// them; `body` gets the shape of what stands behind them.
    pub(crate) fn channels_second(&mut self, shape: &[usize], body: impl FnOnce(&mut Self, &[usize])) {
        let (&channels, positions) = shape.split_last().expect("a shape has at least one dimension");
        if self.is_image || positions.is_empty() {
            return body(self, positions);
        }
        let series = [positions.iter().product(), channels];
        if positions.len() > 1 {
            self.reshape_values(&series);
        }
        self.transpose(&[0, 2, 1]);
        body(self, &series[..1]);
        self.transpose(&[0, 2, 1]);
        if positions.len() > 1 {
            self.reshape_values(shape);
        }
    }

    /// Kernel, strides and padding along the steps of a series, as Conv, MaxPool and AveragePool name them.
    pub(crate) fn steps_attributes(&self, steps: Axis) -> Vec<AttributeProto> {
        vec![
            AttributeProto::ints("kernel_shape", &[signed(steps.size)]),
            AttributeProto::ints("strides", &[signed(steps.stride)]),
            AttributeProto::ints("pads", &[signed(steps.before), signed(steps.after())]),
        ]
    }

    /// Kernel, strides and padding, as Conv, MaxPool and AveragePool name them; dilations where there are any.
    pub(crate) fn window_attributes(&self, window: &Window) -> Vec<AttributeProto> {
        let (rows, columns) = (window.rows, window.columns);
        let pads = [rows.before, columns.before, rows.after(), columns.after()].map(signed);
        let mut attributes = vec![
            AttributeProto::ints("kernel_shape", &[signed(rows.size), signed(columns.size)]),
            AttributeProto::ints("strides", &[signed(rows.stride), signed(columns.stride)]),
            AttributeProto::ints("pads", &pads),
        ];
        if !window.is_dense() {
            attributes
                .push(AttributeProto::ints("dilations", &[signed(rows.dilation), signed(columns.dilation)]));
        }
        attributes
    }

    /// Adds an activation, where there is one.
    pub(crate) fn activation(&mut self, activation: Option<Activation>) {
        match activation {
            None => {}
            Some(Activation::Relu) => self.chain("Relu", &[], vec![]),
            Some(Activation::LeakyRelu) => {
                self.chain("LeakyRelu", &[], vec![AttributeProto::float("alpha", LEAKY_SLOPE)]);
            }
            Some(Activation::Elu) => self.chain("Elu", &[], vec![AttributeProto::float("alpha", 1.0)]),
            Some(Activation::Gelu) => self.gelu(),
            Some(Activation::Silu) => {
                let x = self.last.clone();
                self.chain("Sigmoid", &[], vec![]);
                self.chain("Mul", &[&x], vec![]);
            }
            Some(Activation::Sigmoid) => self.chain("Sigmoid", &[], vec![]),
            Some(Activation::Tanh) => self.chain("Tanh", &[], vec![]),
            Some(Activation::Softmax) => {
                let axis = if self.is_image { 1 } else { -1 };
                self.chain("Softmax", &[], vec![AttributeProto::int("axis", axis)]);
            }
        }
    }

    /// Adds normalisation with fixed statistics: gamma, beta, mean, variance.
    pub(crate) fn batch_normalization(&mut self, weights: &[&str], epsilon: f32) {
        self.chain("BatchNormalization", weights, vec![AttributeProto::float("epsilon", epsilon)]);
    }

    /// Turns an image of this shape (or anything) into rows of values, in the network's own order.
    pub(crate) fn flatten(&mut self, shape: &[usize]) {
        self.leave_image(shape);
        self.chain("Flatten", &[], vec![AttributeProto::int("axis", 1)]);
    }

    /// Gives the last value, of this shape, another one, in the network's own order of values.
    pub(crate) fn reshape(&mut self, shape: &[usize], target: &[usize]) {
        self.leave_image(shape);
        self.shape_as(target);
    }

    /// Repeats a row of this many features at each of `times` steps.
    pub(crate) fn repeat(&mut self, features: usize, times: usize) {
        self.shape_as(&[1, features]);
        let repeats = format!("{}_repeats", self.last);
        let repeats = self.constant_i64(&repeats, &[1, signed(times), 1]);
        self.chain("Tile", &[&repeats], vec![]);
    }

    /// Keeps the first values of a row.
    pub(crate) fn first_values(&mut self, count: usize) {
        let start = self.constant_i64("first_values", &[0]);
        let end = self.constant_i64("first_values", &[signed(count)]);
        let axis = self.constant_i64("first_values", &[1]);
        self.chain("Slice", &[&start, &end, &axis], vec![]);
    }

    /// Joins the last value and others along an axis of a row's shape.
    pub(crate) fn concatenate(&mut self, axis: usize, others: &[&str]) {
        // The places of height, width and channels in [batch, c, h, w].
        let axis = if self.is_image { [2, 3, 1][axis] } else { signed(axis + 1) };
        self.chain("Concat", others, vec![AttributeProto::int("axis", axis)]);
    }

    /// The value of each input part: the whole input, or what is cut out of it.
    fn input_parts(&mut self) -> Vec<String> {
        let network = self.network;
        let parts = &network.layout().parts;
        let mut names = Vec::with_capacity(parts.len());
        for (shape, range) in parts {
            self.last = "input".to_owned();
            if !network.spec().inputs.is_empty() {
                let mut bound = |name: &str, value: usize| {
                    let name = format!("part{}_{name}", names.len());
                    self.constant_i64(&name, &[signed(value)])
                };
                let bounds = [bound("start", range.start), bound("end", range.end), bound("axis", 1)];
                self.chain("Slice", &bounds.each_ref().map(String::as_str), vec![]);
                if shape.len() > 1 {
                    self.reshape_values(shape);
                }
            }
            if shape.len() == 3 {
                self.transpose(&TO_IMAGE);
            }
            names.push(self.last.clone());
        }
        names
    }

    /// Brings an image of this shape into the order of a row's values.
    fn leave_image(&mut self, shape: &[usize]) {
        if self.is_image && shape[2] > 1 && shape[0] * shape[1] > 1 {
            self.transpose(&FROM_IMAGE);
        }
        self.is_image = false;
    }

    /// Gives values that lie in a row's own order a shape, images turned.
    fn shape_as(&mut self, target: &[usize]) {
        self.reshape_values(target);
        self.is_image = target.len() == 3;
        if self.is_image {
            self.transpose(&TO_IMAGE);
        }
    }

    fn reshape_values(&mut self, target: &[usize]) {
        let shape: Vec<i64> = std::iter::once(-1).chain(target.iter().map(|&n| signed(n))).collect();
        let name = format!("{}_shape", self.last);
        let shape = self.constant_i64(&name, &shape);
        self.chain("Reshape", &[&shape], vec![]);
    }

    /// Puts the last value's axes, the batch's included, in this order.
    pub(crate) fn transpose(&mut self, order: &[i64]) {
        self.chain("Transpose", &[], vec![AttributeProto::ints("perm", order)]);
    }

    /// x/2 · (1 + erf(x/√2)): the operator of its own came with opset 20.
    fn gelu(&mut self) {
        let x = self.last.clone();
        let at = self.last.clone();
        let scale = self.constant_f32(&format!("{at}_root"), &[], &[std::f32::consts::FRAC_1_SQRT_2]);
        let one = self.constant_f32(&format!("{at}_one"), &[], &[1.0]);
        let half = self.constant_f32(&format!("{at}_half"), &[], &[0.5]);
        self.chain("Mul", &[&scale], vec![]);
        self.chain("Erf", &[], vec![]);
        self.chain("Add", &[&one], vec![]);
        self.chain("Mul", &[&x], vec![]);
        self.chain("Mul", &[&half], vec![]);
    }
}

/// The values of an array with its axes in another order.
fn turn(values: &[f32], shape: &[usize], order: &[usize]) -> Vec<f32> {
    let strides: Vec<usize> = order.iter().map(|&axis| shape[axis + 1..].iter().product::<usize>()).collect();
    let turned: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let place = |mut at: usize| {
        let mut from = 0;
        for (&extent, &stride) in turned.iter().zip(&strides).rev() {
            from += at % extent * stride;
            at /= extent;
        }
        from
    };
    (0..values.len()).map(|at| values[place(at)]).collect()
}

pub(crate) fn signed(n: usize) -> i64 {
    i64::try_from(n).expect("no dimension is larger than isize::MAX")
}
