//! A network with its weights, and its two files: `network.json` and `weights.safetensors`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::shape_text;
use crate::layers::{Parameter, Role};
use crate::layout::{Layout, LayoutLayer};
use crate::rng::Rng;
use crate::{ModelError, NetworkSpec, export};

/// The format version of `network.json` that this program writes, and the newest that it reads.
pub const NETWORK_FORMAT_VERSION: u64 = 2;

/// A declared network and its weights.
#[derive(Clone, Debug)]
pub struct Network {
    spec: NetworkSpec,
    layout: Layout,
    parameters: Vec<f32>,
    state: Vec<f32>,
}

/// What became of a network's layers when it took over another's weights; layers without weights are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenWeights {
    /// The names of those whose weights were taken over.
    pub taken: Vec<String>,
    /// The names of those that the other network does not have, or has in another shape.
    pub left: Vec<String>,
}

/// One array of a network's weights, by its name (`0.dense.kernel`).
#[derive(Clone, Debug, PartialEq)]
pub struct WeightArray {
    /// The layer's name and the array's own, with a dot between.
    pub name: String,
    /// The shape, as the layer declares it.
    pub shape: Vec<usize>,
    /// The values, the last axis fastest.
    pub values: Vec<f32>,
}

/// `network.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    format_version: u64,
    network: Cow<'a, NetworkSpec>,
}

/// The part of `network.json` that every version has.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u64,
}

impl Network {
    /// Declares a network and draws its first weights; the same seed gives the same weights.
    ///
    /// # Errors
    /// Where the network cannot be: see [`NetworkSpec::shapes`].
    pub fn init(spec: NetworkSpec, seed: u64) -> Result<Self, ModelError> {
        let mut network = Self::zeros(spec)?;
        let Self { layout, parameters, state, .. } = &mut network;
        let all = layout.layers.iter().flat_map(|layer| layer.parameters.iter().zip(&layer.places));
        for ((parameter, place), stream) in all.zip(0..) {
            let weights = match parameter.role {
                Role::Trained => &mut parameters[place.clone()],
                Role::State => &mut state[place.clone()],
            };
            parameter.initializer.fill(weights, parameter.fans, &mut Rng::stream(seed, stream));
            weights[parameter.ones.clone()].fill(1.0);
        }
        Ok(network)
    }

    /// The declared network.
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// Number of weights, running statistics included.
    pub fn parameter_count(&self) -> usize {
        self.layout.parameter_count()
    }

    /// The network's description, with a format version.
    pub fn network_json(&self) -> String {
        let network = Cow::Borrowed(&self.spec);
        let document = Document { format_version: NETWORK_FORMAT_VERSION, network };
        serde_json::to_string_pretty(&document).expect("a network spec holds nothing that JSON cannot")
    }

    /// The weights by name (`0.dense.kernel`), as 32-bit floats.
    pub fn weights_safetensors(&self) -> Vec<u8> {
        let arrays: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .arrays()
            .map(|(layer, parameter, weights)| {
                let bytes = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
                (layer.parameter_name(parameter), parameter.shape.clone(), bytes)
            })
            .collect();
        let views = arrays.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name.as_str(), view.expect("the bytes were made for this shape"))
        });
        safetensors::serialize(views, None).expect("the tensors' sizes are those of arrays in memory")
    }

    /// Reads a network from its two files.
    ///
    /// # Errors
    /// Where a file is corrupt, written by a newer program, or the two do not go together.
    pub fn from_parts(network_json: &[u8], safetensors: &[u8]) -> Result<Self, ModelError> {
        let document = |source| ModelError::Document { source };
        let VersionOnly { format_version: found } = serde_json::from_slice(network_json).map_err(document)?;
        if found > NETWORK_FORMAT_VERSION {
            return Err(ModelError::FormatVersion { found, supported: NETWORK_FORMAT_VERSION });
        }
        let read: Document<'_> = serde_json::from_slice(network_json).map_err(document)?;
        let spec = read.network.into_owned();
        // Sizes are compared before memory is asked for: a small hostile file must not cost gigabytes.
        let tensors =
            SafeTensors::deserialize(safetensors).map_err(|source| ModelError::Weights { source })?;
        let wanted = spec.layout()?;
        let given = tensors.iter().map(|(name, tensor)| (name, tensor.shape().to_vec())).collect();
        check_arrays(&wanted, &given)?;
        if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| tensor.dtype() != Dtype::F32) {
            let message = format!("holds {:?}, the network has F32", tensor.dtype());
            return Err(ModelError::WeightTensor { name: name.to_owned(), message });
        }
        let mut network = Self::zeros(spec)?;
        for (layer, parameter, place) in places(&wanted) {
            let tensor = tensors.tensor(&layer.parameter_name(parameter)).expect("check_arrays has seen it");
            let weights = match parameter.role {
                Role::Trained => &mut network.parameters[place],
                Role::State => &mut network.state[place],
            };
            for (weight, bytes) in weights.iter_mut().zip(tensor.data().chunks_exact(4)) {
                *weight = f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
            }
        }
        Ok(network)
    }

    /// A network with these weights: all that it declares, in any order.
    ///
    /// # Errors
    /// Where the network cannot be, or an array is missing, extra or of another shape.
    pub fn from_arrays(spec: NetworkSpec, arrays: Vec<WeightArray>) -> Result<Self, ModelError> {
        let wanted = spec.layout()?;
        check_arrays(
            &wanted,
            &arrays.iter().map(|array| (array.name.as_str(), array.shape.clone())).collect(),
        )?;
        let mut network = Self::zeros(spec)?;
        let mut own: HashMap<String, (Role, std::ops::Range<usize>)> = places(&wanted)
            .map(|(layer, parameter, place)| (layer.parameter_name(parameter), (parameter.role, place)))
            .collect();
        for WeightArray { name, values, .. } in arrays {
            let message = match own.remove(&name) {
                Some((role, place)) if values.len() == place.len() => {
                    match role {
                        Role::Trained => network.parameters[place].copy_from_slice(&values),
                        Role::State => network.state[place].copy_from_slice(&values),
                    }
                    continue;
                }
                Some((_, place)) => format!("has {} values, its shape holds {}", values.len(), place.len()),
                None => "is given twice".to_owned(),
            };
            return Err(ModelError::WeightTensor { name, message });
        }
        Ok(network)
    }

    /// Takes over the weights of each layer that the other network has under the same name and in the same shapes:
    /// the start of fine-tuning.
    pub fn take_weights(&mut self, from: &Self) -> TakenWeights {
        let given: HashMap<String, (&[usize], &[f32])> = from
            .arrays()
            .map(|(layer, parameter, weights)| {
                (layer.parameter_name(parameter), (&*parameter.shape, weights))
            })
            .collect();
        let Self { layout, parameters, state, .. } = self;
        let mut result = TakenWeights::default();
        for layer in layout.layers.iter().filter(|layer| !layer.parameters.is_empty()) {
            let fitting = layer.parameters.iter().map(|parameter| {
                let (shape, weights) = given.get(&layer.parameter_name(parameter))?;
                (*shape == parameter.shape).then_some(*weights)
            });
            let Some(arrays) = fitting.collect::<Option<Vec<&[f32]>>>() else {
                result.left.push(layer.name.clone());
                continue;
            };
            for ((parameter, place), weights) in layer.parameters.iter().zip(&layer.places).zip(arrays) {
                let own = match parameter.role {
                    Role::Trained => &mut parameters[place.clone()],
                    Role::State => &mut state[place.clone()],
                };
                own.copy_from_slice(weights);
            }
            result.taken.push(layer.name.clone());
        }
        result
    }

    /// The names of the layers that have weights and are not trained.
    pub fn frozen_layers(&self) -> Vec<String> {
        let weighty = self.layout.layers.iter().filter(|layer| !layer.parameters.is_empty());
        weighty.filter(|layer| !layer.trainable).map(|layer| layer.name.clone()).collect()
    }

    /// Each array of weights with its shape, for messages: `0.dense.kernel [784, 32]`.
    pub fn weight_shapes(&self) -> Vec<String> {
        let text = |(layer, parameter, _): (&LayoutLayer, &Parameter, &[f32])| {
            format!("{} {}", layer.parameter_name(parameter), shape_text(&parameter.shape))
        };
        self.arrays().map(text).collect()
    }

    /// The network as an ONNX file: input `input` and output `output`, both with a first dimension `batch`;
    /// images go in as [batch, height, width, channels].
    ///
    /// # Errors
    /// None today; kept so that a layer without an ONNX form can say so.
    pub fn to_onnx(&self) -> Result<Vec<u8>, ModelError> {
        Ok(export::to_onnx(self))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All trained weights, laid out as [`Layout`] says.
    pub(crate) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// All running statistics.
    pub(crate) fn state(&self) -> &[f32] {
        &self.state
    }

    pub(crate) fn weights_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.parameters, &mut self.state)
    }

    /// One array of weights.
    pub(crate) fn array(&self, layer: usize, parameter: usize) -> &[f32] {
        let layer = &self.layout.layers[layer];
        let place = layer.places[parameter].clone();
        match layer.parameters[parameter].role {
            Role::Trained => &self.parameters[place],
            Role::State => &self.state[place],
        }
    }

    pub(crate) fn zeros(spec: NetworkSpec) -> Result<Self, ModelError> {
        let layout = spec.layout()?;
        let (parameters, state) = (vec![0.0; layout.trained_len], vec![0.0; layout.state_len]);
        Ok(Self { spec, layout, parameters, state })
    }

    fn arrays(&self) -> impl Iterator<Item = (&LayoutLayer, &Parameter, &[f32])> {
        places(&self.layout).map(|(layer, parameter, place)| match parameter.role {
            Role::Trained => (layer, parameter, &self.parameters[place]),
            Role::State => (layer, parameter, &self.state[place]),
        })
    }
}

/// Every array of weights of a layout with its place.
fn places(layout: &Layout) -> impl Iterator<Item = (&LayoutLayer, &Parameter, std::ops::Range<usize>)> {
    layout.layers.iter().flat_map(|layer| {
        let arrays = layer.parameters.iter().zip(&layer.places);
        arrays.map(move |(parameter, place)| (layer, parameter, place.clone()))
    })
}

/// Checks that exactly the declared arrays are there, by name and shape; names the first that differs.
fn check_arrays(layout: &Layout, given: &HashMap<&str, Vec<usize>>) -> Result<(), ModelError> {
    let error = |name: String, message: String| Err(ModelError::WeightTensor { name, message });
    let mut wanted = HashSet::new();
    for (layer, parameter, _) in places(layout) {
        let name = layer.parameter_name(parameter);
        let Some(shape) = given.get(name.as_str()) else {
            return error(name, "is missing".to_owned());
        };
        if *shape != parameter.shape {
            return error(name, format!("has shape {shape:?}, the network has {:?}", parameter.shape));
        }
        wanted.insert(name);
    }
    match given.keys().filter(|name| !wanted.contains(**name)).min() {
        None => Ok(()),
        Some(name) => error((*name).to_owned(), "is not part of the declared network".to_owned()),
    }
}
