//! The one trait that every engine implements, and what goes in and out of it.

use std::sync::Arc;

use modelyard_types::{NamedTensor, Signature, Tensor};

use crate::RuntimeError;

/// The files of a model version that an engine may run, as bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelFiles<'a> {
    /// `model.onnx`
    pub onnx: Option<&'a [u8]>,
    /// `network.json`
    pub network: Option<&'a [u8]>,
    /// `weights.safetensors`
    pub weights: Option<&'a [u8]>,
}

/// How a model is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that one session may use for one call.
    pub threads: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: 1 }
    }
}

/// An engine.
pub trait Runtime: Send + Sync {
    /// Its name, as `modelyard doctor` and the config show it.
    fn name(&self) -> &'static str;

    /// Whether it runs these files, and runs them rightly. Nothing is handed to the engine yet.
    ///
    /// # Errors
    /// What it lacks, with a hint where there is a way out.
    fn check(&self, files: &ModelFiles<'_>) -> Result<(), RuntimeError>;

    /// Loads the network.
    ///
    /// # Errors
    /// As [`Runtime::check`], or what the engine itself finds wrong.
    fn load(
        &self,
        files: &ModelFiles<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError>;
}

/// A network in memory, from which sessions are made.
pub trait LoadedModel: Send + Sync {
    /// The name of the engine that loaded it.
    fn runtime(&self) -> &'static str;

    /// Its inputs and outputs.
    fn signature(&self) -> &Signature;

    /// A session of its own for one worker.
    ///
    /// # Errors
    /// Where the engine cannot make one more.
    fn session(&self) -> Result<Box<dyn Session>, RuntimeError>;

    /// The same network in a form that takes series in pieces, [rows, steps, …]: beside them goes in what is
    /// remembered of each row, the tensor [`PAST`], zeros at first; it comes out again, renewed.
    ///
    /// # Errors
    /// [`RuntimeError::Stepwise`] where it needs the whole of a series, or the engine keeps nothing.
    fn stepwise(&self) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let reason = format!("the engine {} keeps nothing between requests", self.runtime());
        let hint =
            "recurrent networks that were trained here take them; else send the whole series in one request";
        Err(RuntimeError::Stepwise { reason, hint: Some(hint.to_owned()) })
    }
}

/// The tensor of what is remembered between the pieces of a series: [rows, values].
pub const PAST: &str = "past";

/// What one worker calls; it serves one call at a time.
pub trait Session: Send {
    /// Computes the outputs, in the signature's order, from the inputs, in any order.
    ///
    /// # Errors
    /// Where the inputs do not fit the signature, or the engine fails on their values.
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError>;
}

/// Checks the inputs against the signature and puts them in its order. Tensors without elements are
/// refused, because engines differ on them.
pub(crate) fn order_inputs<'a>(
    runtime: &'static str,
    signature: &Signature,
    inputs: &'a [NamedTensor],
) -> Result<Vec<&'a Tensor>, RuntimeError> {
    signature.check_inputs(inputs)?;
    let find = |name: &str| {
        let found = inputs.iter().find(|input| input.name == name);
        &found.expect("every input of the signature was just found").tensor
    };
    let ordered: Vec<&Tensor> = signature.inputs.iter().map(|spec| find(&spec.name)).collect();
    match ordered.iter().position(|tensor| tensor.data().is_empty()) {
        Some(index) => Err(RuntimeError::InputValue {
            runtime,
            input: signature.inputs[index].name.clone(),
            reason: "it has no elements".to_owned(),
        }),
        None => Ok(ordered),
    }
}
