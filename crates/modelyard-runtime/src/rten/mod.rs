//! rten: a part of ONNX in pure Rust, for where ONNX Runtime is not installed. [`rules`] says which part.

mod rules;

use std::sync::Arc;

use ::rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use modelyard_types::{DataType, NamedTensor, Signature, Tensor, TensorData, TensorSpec};
use rten_tensor::{AsView, Layout};

use crate::guard::guarded;
use crate::inspect::{Inspected, inspect};
use crate::runtime::order_inputs;
use crate::{LoadOptions, LoadedModel, ModelFiles, OnnxLimits, Runtime, RuntimeError, Session};

const NAME: &str = "rten";

/// The rten engine.
#[derive(Clone, Debug, Default)]
pub struct Rten {
    limits: OnnxLimits,
}

struct RtenModel {
    model: Arc<Model>,
    signature: Arc<Signature>,
    inputs: Arc<[NodeId]>,
    outputs: Arc<[NodeId]>,
    threads: usize,
}

struct RtenSession {
    model: Arc<Model>,
    signature: Arc<Signature>,
    inputs: Arc<[NodeId]>,
    outputs: Arc<[NodeId]>,
    pool: Arc<ThreadPool>,
}

impl Rten {
    /// rten with these limits on what it is given.
    pub fn new(limits: OnnxLimits) -> Self {
        Self { limits }
    }

    fn inspected(&self, files: &ModelFiles<'_>) -> Result<Inspected, RuntimeError> {
        let bytes = files.onnx.ok_or(RuntimeError::MissingFiles { runtime: NAME, needs: "model.onnx" })?;
        let inspected = inspect(bytes, &self.limits)?;
        rules::check(&inspected)?;
        Ok(inspected)
    }
}

impl Runtime for Rten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, files: &ModelFiles<'_>) -> Result<(), RuntimeError> {
        self.inspected(files).map(|_| ())
    }

    fn load(
        &self,
        files: &ModelFiles<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let inspected = self.inspected(files)?;
        let bytes = inspected.to_bytes();
        guarded(NAME, "loading a model", || {
            let mut load = ModelOptions::with_all_ops();
            load.prepack_weights(true);
            let model = load.load(bytes).map_err(failed_load)?;
            let ids = |specs: &[TensorSpec]| -> Result<Arc<[NodeId]>, RuntimeError> {
                specs.iter().map(|spec| model.node_id(&spec.name).map_err(failed_load)).collect()
            };
            let signature = inspected.summary.signature;
            let (inputs, outputs) = (ids(&signature.inputs)?, ids(&signature.outputs)?);
            let threads = options.threads.max(1);
            let model = Arc::new(model);
            Ok(Arc::new(RtenModel { model, signature: Arc::new(signature), inputs, outputs, threads })
                as Arc<dyn LoadedModel>)
        })
    }
}

fn failed_load(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Load { runtime: NAME, message: error.to_string() }
}

impl LoadedModel for RtenModel {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Each session has a thread pool of its own, so that sessions do not wait for each other. (rten also
    /// starts a pool for the whole process at the first call, which then stays idle.)
    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        Ok(Box::new(RtenSession {
            model: Arc::clone(&self.model),
            signature: Arc::clone(&self.signature),
            inputs: Arc::clone(&self.inputs),
            outputs: Arc::clone(&self.outputs),
            pool: Arc::new(ThreadPool::with_num_threads(self.threads)),
        }))
    }
}

impl Session for RtenSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let ordered = order_inputs(NAME, &self.signature, inputs)?;
        guarded(NAME, "running a model", || {
            let values = self
                .inputs
                .iter()
                .zip(self.signature.inputs.iter().zip(ordered))
                .map(|(&id, (spec, tensor))| Ok((id, to_rten(spec, tensor)?)))
                .collect::<Result<Vec<_>, RuntimeError>>()?;
            // The pool is entered once here; inside it, rten's own hand-overs find it entered already.
            let results = self.pool.run(|| {
                let mut options = RunOptions::default();
                options.thread_pool = Some(Arc::clone(&self.pool));
                self.model.run(values, &self.outputs, Some(options))
            });
            let results =
                results.map_err(|error| RuntimeError::Run { runtime: NAME, message: error.to_string() })?;
            self.signature.outputs.iter().zip(results).map(|(spec, value)| from_rten(spec, value)).collect()
        })
    }
}

fn to_rten<'a>(spec: &TensorSpec, tensor: &'a Tensor) -> Result<ValueOrView<'a>, RuntimeError> {
    const FITS: &str = "a tensor's shape holds its values";
    let shape = tensor.shape();
    let value = match tensor.data() {
        TensorData::F32(values) => ValueView::from_shape(shape, values).expect(FITS).into(),
        TensorData::I32(values) => ValueView::from_shape(shape, values).expect(FITS).into(),
        TensorData::I8(values) => ValueView::from_shape(shape, values).expect(FITS).into(),
        TensorData::U8(values) => ValueView::from_shape(shape, values).expect(FITS).into(),
        TensorData::Bool(values) => {
            let values: Vec<i32> = values.iter().map(|&value| value.into()).collect();
            Value::from_shape(shape, values).expect(FITS).into()
        }
        TensorData::I64(values) => {
            let values: Vec<i32> =
                values.iter().map(|&value| narrow(spec, value)).collect::<Result<_, _>>()?;
            Value::from_shape(shape, values).expect(FITS).into()
        }
        _ => unreachable!("models with other input types are refused at loading"),
    };
    Ok(value)
}

/// rten computes in 32 bits.
fn narrow(spec: &TensorSpec, value: i64) -> Result<i32, RuntimeError> {
    i32::try_from(value).map_err(|_| RuntimeError::InputValue {
        runtime: NAME,
        input: spec.name.clone(),
        reason: format!("{value} does not fit into 32 bits, in which it computes"),
    })
}

fn from_rten(spec: &TensorSpec, value: Value) -> Result<NamedTensor, RuntimeError> {
    let (shape, data) = match (spec.data_type, value) {
        (DataType::F32, Value::FloatTensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::F32(tensor.to_vec()))
        }
        (DataType::I32, Value::Int32Tensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::I32(tensor.to_vec()))
        }
        (DataType::I64, Value::Int32Tensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::I64(tensor.iter().map(|&n| n.into()).collect()))
        }
        (DataType::Bool, Value::Int32Tensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::Bool(tensor.iter().map(|&n| n != 0).collect()))
        }
        (DataType::I8, Value::Int8Tensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::I8(tensor.to_vec()))
        }
        (DataType::U8, Value::UInt8Tensor(tensor)) => {
            (tensor.shape().to_vec(), TensorData::U8(tensor.to_vec()))
        }
        (want, got) => {
            let message = format!("output {:?} is declared as {want}, it came as {}", spec.name, got.dtype());
            return Err(RuntimeError::Run { runtime: NAME, message });
        }
    };
    let tensor = Tensor::new(shape, data)
        .map_err(|error| RuntimeError::Run { runtime: NAME, message: error.to_string() })?;
    Ok(NamedTensor { name: spec.name.clone(), tensor })
}
