//! Walks an ONNX file before any engine sees it: limits, forbidden features, names and order, tensor sizes,
//! and the signature. Engines get bytes that we wrote again from what was checked here, so that two parsers
//! reading one file differently cannot smuggle anything past this walk.

mod extent;
mod model;
mod scan;
mod signature;
mod size;
mod tensor;
mod walk;

use std::collections::BTreeMap;

use modelyard_model::onnx::proto::{GraphProto, ModelProto};
use modelyard_model::onnx::{Bytes, Message};
use modelyard_types::Signature;

use crate::RuntimeError;

/// What is taken in at most. The defaults let every model through that one machine can serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxLimits {
    /// Bytes of the file.
    pub file_bytes_max: usize,
    /// Protobuf messages and texts in the file.
    pub messages_max: usize,
    /// Nodes, over all graphs.
    pub nodes_max: usize,
    /// Graphs inside graphs (branches, loop bodies).
    pub depth_max: usize,
    /// Elements of one tensor, constant or of a size that constants give.
    pub elements_max: u64,
    /// Bytes of all constants together.
    pub constant_bytes_max: u64,
    /// Dimensions of one tensor.
    pub rank_max: usize,
    /// Padding, kernel, stride or dilation along one axis.
    pub window_max: i64,
    /// Turns of a loop, with those of the loops around it multiplied.
    pub loop_turns_max: i64,
}

impl Default for OnnxLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 2 << 30,
            messages_max: 4_000_000,
            nodes_max: 200_000,
            depth_max: 8,
            elements_max: 1 << 29,
            constant_bytes_max: 2 << 30,
            rank_max: 16,
            window_max: 4096,
            loop_turns_max: 100_000,
        }
    }
}

/// What was found in an ONNX file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxSummary {
    /// The version of the file format.
    pub ir_version: i64,
    /// The version of ONNX's own operators.
    pub opset: i64,
    /// The program that wrote the file, with its version.
    pub producer: String,
    /// Nodes, over all graphs.
    pub nodes: usize,
    /// Elements of all constants of the main graph: about the number of parameters.
    pub parameters: u64,
    /// How often each operator is used; those outside ONNX's own set carry their domain (`ai.onnx.ml::Scaler`).
    pub operators: BTreeMap<String, usize>,
    /// Inputs that are no constants, and outputs. An output whose rank the file does not tell is shown as `[-1]`.
    pub signature: Signature,
}

/// A model that passed, for the engines of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    pub(crate) summary: OnnxSummary,
    model: ModelProto,
    /// Where the size of a tensor depends on values that only a run shows, told for people.
    pub(crate) unbounded: Vec<String>,
}

impl Inspected {
    pub(crate) fn graph(&self) -> &GraphProto {
        self.model.graph.as_ref().expect("a model without a graph does not pass the inspection")
    }

    /// The file as it was read.
    pub(crate) fn model(&self) -> &ModelProto {
        &self.model
    }

    /// The file written again from the fields that were checked.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

/// Walks an ONNX file without running it.
///
/// Refused with the reason: what is no ONNX; IR versions that no engine here takes; data in other files;
/// operators outside `ai.onnx`, `ai.onnx.ml` and `com.microsoft`; functions local to the model; sparse
/// constants; sizes beyond the limits; values used before they are made (and so cycles), missing or made
/// twice; loops without a bound; empty graphs; inputs that are no tensors or whose rank is not known.
///
/// ```
/// use modelyard_runtime::{OnnxLimits, inspect_onnx};
///
/// let error = inspect_onnx(b"no model", &OnnxLimits::default()).expect_err("it is none");
/// assert!(error.to_string().starts_with("not a valid ONNX model"));
/// ```
///
/// # Errors
/// [`RuntimeError::InvalidOnnx`], [`RuntimeError::RefusedOnnx`] or [`RuntimeError::TooLarge`].
pub fn inspect_onnx(bytes: &[u8], limits: &OnnxLimits) -> Result<OnnxSummary, RuntimeError> {
    inspect(bytes, limits).map(|inspected| inspected.summary)
}

pub(crate) fn inspect(bytes: &[u8], limits: &OnnxLimits) -> Result<Inspected, RuntimeError> {
    check_max("the file's size in bytes", bytes.len(), limits.file_bytes_max)?;
    scan::scan(bytes, limits)?;
    let model = ModelProto::decode(Bytes::copy_from_slice(bytes))
        .map_err(|error| RuntimeError::invalid(format!("it cannot be decoded: {error}")))?;
    let opset = model::check_header(&model)?;
    let graph = model.graph.as_ref().ok_or_else(|| RuntimeError::invalid("the model has no graph"))?;
    let signature = signature::signature(graph, limits)?;
    let found = walk::walk(graph, limits)?;
    let summary = OnnxSummary {
        ir_version: model.ir_version,
        opset,
        producer: [model.producer_name.as_str(), &model.producer_version].join(" ").trim().to_owned(),
        nodes: found.nodes,
        parameters: found.parameters,
        operators: found.operators,
        signature,
    };
    Ok(Inspected { summary, model, unbounded: found.unbounded })
}

fn check_max(
    what: impl Into<String>,
    got: impl TryInto<u128>,
    max: impl TryInto<u128>,
) -> Result<(), RuntimeError> {
    let got = got.try_into().unwrap_or(u128::MAX);
    let max = max.try_into().unwrap_or(u128::MAX);
    if got <= max {
        return Ok(());
    }
    Err(RuntimeError::TooLarge { what: what.into(), got, max })
}

/// A name from the file, short and printable enough for a message.
fn shown(name: &str) -> String {
    const CHARS_MAX: usize = 60;
    let short: String = name.chars().take(CHARS_MAX).collect();
    let dots = if name.chars().count() > CHARS_MAX { "…" } else { "" };
    format!("{short:?}{dots}")
}
