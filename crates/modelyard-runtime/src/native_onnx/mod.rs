//! ONNX from elsewhere on our own engine: a chain of layers that the engine has is read back into a declared
//! network, which then runs with its speed and without a foreign library. Whatever is not exactly such a
//! chain is left to the other engines.

mod attributes;
mod chain;
mod constants;
mod layers;

use std::sync::Arc;

use modelyard_model::{Forward, Network, NetworkSpec, WeightArray};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor};

use crate::inspect::{Inspected, inspect};
use crate::runtime::order_inputs;
use crate::{LoadOptions, LoadedModel, ModelFiles, OnnxLimits, Runtime, RuntimeError, Session};
use chain::Chain;

const NAME: &str = "native-onnx";

/// Our own engine, for ONNX whose graph is a chain of its layers.
#[derive(Clone, Debug, Default)]
pub struct NativeOnnx {
    limits: OnnxLimits,
}

struct NativeOnnxModel {
    network: Arc<Network>,
    signature: Arc<Signature>,
    turn: Option<[usize; 3]>,
}

struct NativeOnnxSession {
    forward: Forward,
    signature: Arc<Signature>,
    /// [channels, height, width] of images that come channels first.
    turn: Option<[usize; 3]>,
    turned: Vec<f32>,
}

/// What was read of a model.
struct Read {
    spec: NetworkSpec,
    weights: Vec<WeightArray>,
    signature: Signature,
    turn: Option<[usize; 3]>,
}

impl NativeOnnx {
    /// Takes models in up to these limits.
    pub fn new(limits: OnnxLimits) -> Self {
        Self { limits }
    }

    /// Reads a model as a declared network with its weights; nothing is turned over to the engine yet.
    fn read(&self, files: &ModelFiles<'_>) -> Result<Read, RuntimeError> {
        let onnx = files.onnx.ok_or(RuntimeError::MissingFiles { runtime: NAME, needs: "model.onnx" })?;
        let inspected = inspect(onnx, &self.limits)?;
        let input = input_shape(&inspected).map_err(unsupported)?;
        let chain = Chain::read(inspected.graph(), inspected.summary.opset, &input).map_err(unsupported)?;
        let spec = chain.spec().map_err(unsupported)?;
        let signature = inspected.summary.signature.clone();
        check_output(&spec, &signature).map_err(unsupported)?;
        Ok(Read { spec, signature, turn: chain.turn, weights: chain.weights() })
    }
}

fn unsupported(reason: String) -> RuntimeError {
    RuntimeError::Unsupported { runtime: NAME, reason, hint: None }
}

/// One float input [batch, …] whose other sizes are known.
fn input_shape(inspected: &Inspected) -> Result<Vec<usize>, String> {
    let [input] = inspected.summary.signature.inputs.as_slice() else {
        return Err("it takes several inputs".to_owned());
    };
    row_shape(input.data_type, &input.shape).ok_or_else(|| "its input is no float32 [batch, …]".to_owned())
}

/// What a row holds: the shape behind a free first dimension.
fn row_shape(data_type: DataType, shape: &[Dim]) -> Option<Vec<usize>> {
    let (Dim::Any, rest) = shape.split_first()? else { return None };
    if data_type != DataType::F32 {
        return None;
    }
    rest.iter().map(|dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None }).collect()
}

/// The declared output must be what the network gives.
fn check_output(spec: &NetworkSpec, signature: &Signature) -> Result<(), String> {
    let given = spec.output_shape().map_err(|error| error.to_string())?;
    let [output] = signature.outputs.as_slice() else {
        return Err("it gives several outputs".to_owned());
    };
    let fits = output.data_type == DataType::F32
        && output.shape.len() == given.len() + 1
        && output.shape[1..]
            .iter()
            .zip(&given)
            .all(|(dim, &n)| matches!(dim, Dim::Any) || *dim == Dim::Fixed(n))
        && output.shape[0] == Dim::Any;
    if fits { Ok(()) } else { Err("its output is not declared as [batch, numbers]".to_owned()) }
}

impl Runtime for NativeOnnx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, files: &ModelFiles<'_>) -> Result<(), RuntimeError> {
        self.read(files).map(|_| ())
    }

    fn load(
        &self,
        files: &ModelFiles<'_>,
        _options: &LoadOptions,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let Read { spec, weights, signature, turn } = self.read(files)?;
        let network = Network::from_arrays(spec, weights).map_err(RuntimeError::network)?;
        Ok(Arc::new(NativeOnnxModel { network: Arc::new(network), signature: Arc::new(signature), turn }))
    }
}

impl LoadedModel for NativeOnnxModel {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        Ok(Box::new(NativeOnnxSession {
            forward: Forward::new(&self.network),
            signature: Arc::clone(&self.signature),
            turn: self.turn,
            turned: Vec::new(),
        }))
    }
}

impl Session for NativeOnnxSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let input = order_inputs(NAME, &self.signature, inputs)?[0];
        let rows = input.rows();
        let mut values = input.as_f32().expect("the signature was checked: it is f32");
        if let Some(shape) = self.turn {
            turn(values, shape, &mut self.turned);
            values = &self.turned;
        }
        let mut outputs = Vec::new();
        self.forward.run(values, rows, &mut outputs).map_err(RuntimeError::network)?;
        let shape = vec![rows, self.forward.output_len()];
        let tensor = Tensor::new(shape, outputs.into()).expect("the engine gives rows × outputs");
        Ok(vec![NamedTensor { name: self.signature.outputs[0].name.clone(), tensor }])
    }
}

/// Images [channels, height, width], one after the other, as [height, width, channels].
fn turn(images: &[f32], [channels, height, width]: [usize; 3], turned: &mut Vec<f32>) {
    turned.clear();
    let area = height * width;
    for image in images.chunks_exact(channels * area) {
        for at in 0..area {
            turned.extend((0..channels).map(|channel| image[channel * area + at]));
        }
    }
}
