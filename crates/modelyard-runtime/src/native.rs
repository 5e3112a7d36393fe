//! Our own engine: networks that were trained here, from `network.json` and `weights.safetensors`, forward
//! only and on one thread a session.

use std::sync::Arc;

use modelyard_model::{Forward, Network};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorSpec};

use crate::runtime::order_inputs;
use crate::stepwise::StepwiseModel;
use crate::{LoadOptions, LoadedModel, ModelFiles, Runtime, RuntimeError, Session};

pub(crate) const NAME: &str = "native";

/// Names of the one input and the one output, the same as in the exported ONNX.
pub(crate) const INPUT: &str = "input";
pub(crate) const OUTPUT: &str = "output";

/// The engine that networks are trained with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

struct NativeModel {
    network: Arc<Network>,
    signature: Signature,
}

struct NativeSession {
    forward: Forward,
    signature: Signature,
}

impl Runtime for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, files: &ModelFiles<'_>) -> Result<(), RuntimeError> {
        parts(files).map(|_| ())
    }

    fn load(
        &self,
        files: &ModelFiles<'_>,
        _options: &LoadOptions,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let (network, weights) = parts(files)?;
        let network = Network::from_parts(network, weights).map_err(RuntimeError::network)?;
        let signature = signature(&network)?;
        Ok(Arc::new(NativeModel { network: Arc::new(network), signature }))
    }
}

fn parts<'a>(files: &ModelFiles<'a>) -> Result<(&'a [u8], &'a [u8]), RuntimeError> {
    files
        .network
        .zip(files.weights)
        .ok_or(RuntimeError::MissingFiles { runtime: NAME, needs: "network.json and weights.safetensors" })
}

fn signature(network: &Network) -> Result<Signature, RuntimeError> {
    let output = network.spec().output_shape().map_err(RuntimeError::network)?;
    let spec = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: std::iter::once(Dim::Any).chain(shape.iter().map(|&n| Dim::Fixed(n))).collect(),
    };
    Ok(Signature { inputs: vec![spec(INPUT, &network.spec().input)], outputs: vec![spec(OUTPUT, &output)] })
}

impl LoadedModel for NativeModel {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        let forward = Forward::new(&self.network);
        Ok(Box::new(NativeSession { forward, signature: self.signature.clone() }))
    }

    fn stepwise(&self) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        Ok(Arc::new(StepwiseModel::new(&self.network)?))
    }
}

impl Session for NativeSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let input = order_inputs(NAME, &self.signature, inputs)?[0];
        let rows = input.rows();
        let values = input.as_f32().expect("the signature was checked: it is f32");
        let mut outputs = Vec::new();
        self.forward.run(values, rows, &mut outputs).map_err(RuntimeError::network)?;
        let shape = self.signature.outputs[0].shape.iter().map(|dim| match dim {
            Dim::Any => rows,
            Dim::Fixed(n) => *n,
        });
        let tensor = Tensor::new(shape.collect(), outputs.into()).expect("the engine gives rows × outputs");
        Ok(vec![NamedTensor { name: OUTPUT.to_owned(), tensor }])
    }
}
