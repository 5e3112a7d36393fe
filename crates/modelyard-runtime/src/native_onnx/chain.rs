//! The walk along the chain: which layer each node is, in which order an image's numbers lie between them,
//! and the network that they make.

use modelyard_model::onnx::proto::{GraphProto, NodeProto};
use modelyard_model::{NetworkSpec, WeightArray};
use serde_json::{Value, json};

use super::constants::{Array, Constants};
use super::layers;

/// More nodes than this are no chain of ours, and are not tried.
const NODES_MAX: usize = 1000;

/// A network being read.
pub(super) struct Chain<'a> {
    pub(super) constants: Constants<'a>,
    pub(super) opset: i64,
    /// The shape of the network's input row, as our engine has it.
    input: Vec<usize>,
    /// [channels, height, width] where the input must be turned to channels last.
    pub(super) turn: Option<[usize; 3]>,
    layers: Vec<Layer>,
    /// The form of the value at the end of the chain.
    pub(super) form: Form,
}

/// One layer with its weights.
pub(super) struct Layer {
    pub(super) config: Value,
    pub(super) weights: Vec<(&'static str, Array)>,
}

/// How the numbers of one row lie in ONNX at this place. Our engine always has images channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A row of numbers; `turned` holds [height, width, channels] where ONNX has them channels first and our
    /// engine channels last.
    Row { len: usize, turned: Option<[usize; 3]> },
    /// An image [height, width, channels].
    Image { shape: [usize; 3], channels_last: bool },
}

impl<'a> Chain<'a> {
    /// Reads the whole graph, or says what in it is no layer of ours.
    pub(super) fn read(graph: &'a GraphProto, opset: i64, input: &[usize]) -> Result<Self, String> {
        if graph.node.len() > NODES_MAX {
            return Err(format!("{} nodes are more than a chain of layers has", graph.node.len()));
        }
        let constants = Constants::new(graph);
        let nodes: Vec<&NodeProto> = graph.node.iter().filter(|node| node.op_type != "Constant").collect();
        let channels_last = nodes.first().is_some_and(|node| layers::is_turn_to_channels_first(node));
        let form = Form::of_input(input, channels_last)?;
        let mut chain = Chain { constants, opset, input: Vec::new(), turn: None, layers: Vec::new(), form };
        match form {
            Form::Row { len, .. } => chain.input = vec![len],
            Form::Image { shape: [height, width, channels], .. } => {
                chain.input = vec![height, width, channels];
                let same = channels_last || channels == 1 || height * width == 1;
                chain.turn = (!same).then_some([channels, height, width]);
            }
        }
        let input = graph.input.iter().find(|input| !chain.constants.has(&input.name));
        let mut value = input.map(|input| input.name.as_str()).unwrap_or_default();
        for node in nodes {
            value = chain.node(node, value)?;
        }
        match graph.output.first() {
            Some(output) if output.name == value => chain.end(),
            _ => Err("its output is not the end of one chain".to_owned()),
        }
    }

    /// Takes one node that reads `value`; gives the name of what comes out.
    fn node(&mut self, node: &'a NodeProto, value: &str) -> Result<&'a str, String> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(format!("{}::{}", node.domain, node.op_type));
        }
        let mut others = node.input.clone();
        let reads = node.input.iter().position(|name| name == value);
        let Some(at) = reads else { return Err("a graph with branches".to_owned()) };
        if others[at + 1..].iter().any(|name| name == value) {
            return Err("an operator that reads one value twice".to_owned());
        }
        others.remove(at);
        while others.last().is_some_and(String::is_empty) {
            others.pop();
        }
        if at != 0 && node.op_type != "Add" {
            return Err(format!("{} of a constant and a value", node.op_type));
        }
        layers::read(self, node, &others)?;
        match node.output.iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().as_slice() {
            [output] => Ok(output),
            _ => Err(format!("{} with several outputs", node.op_type)),
        }
    }

    pub(super) fn push(&mut self, config: Value, weights: Vec<(&'static str, Array)>) {
        self.layers.push(Layer { config, weights });
    }

    /// The last layer, where its kind is one of these.
    pub(super) fn last(&mut self, kinds: &[&str]) -> Option<&mut Layer> {
        self.layers.last_mut().filter(|layer| kinds.iter().any(|kind| layer.config["type"] == *kind))
    }

    fn end(self) -> Result<Self, String> {
        match self.form {
            Form::Row { turned: None, .. } if !self.layers.is_empty() => Ok(self),
            Form::Row { turned: None, .. } => Err("it has no layers".to_owned()),
            _ => Err("it ends in an image".to_owned()),
        }
    }

    /// The declared network.
    pub(super) fn spec(&self) -> Result<NetworkSpec, String> {
        let layers: Vec<&Value> = self.layers.iter().map(|layer| &layer.config).collect();
        let spec = json!({ "input": self.input, "layers": layers });
        serde_json::from_value(spec).map_err(|error| error.to_string())
    }

    /// Its weights.
    pub(super) fn weights(self) -> Vec<WeightArray> {
        let layers = self.layers.into_iter().enumerate();
        let arrays = layers.flat_map(|(index, Layer { config, weights })| {
            weights.into_iter().map(move |(name, Array { shape, values })| {
                let kind = config["type"].as_str().expect("every layer says its kind");
                WeightArray { name: format!("{index}.{kind}.{name}"), shape, values }
            })
        });
        arrays.collect()
    }
}

impl Form {
    fn of_input(input: &[usize], channels_last: bool) -> Result<Self, String> {
        match *input {
            [len] => Ok(Self::Row { len, turned: None }),
            [a, b, c] => {
                let shape = if channels_last { [a, b, c] } else { [b, c, a] };
                Ok(Self::Image { shape, channels_last })
            }
            _ => Err(format!("an input of {} dimensions", input.len() + 1)),
        }
    }
}
