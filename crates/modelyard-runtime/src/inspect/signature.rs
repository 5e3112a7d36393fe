//! The inputs and outputs that a caller sees, from the graph's declarations.

use std::collections::HashSet;

use modelyard_model::onnx::proto::{
    GraphProto, TensorTypeProto, ValueInfoProto, dimension_proto, type_proto,
};
use modelyard_types::{DataType, Dim, Signature, TensorSpec};

use super::tensor::known_type;
use super::{OnnxLimits, check_max, shown};
use crate::RuntimeError;

pub(super) fn signature(graph: &GraphProto, limits: &OnnxLimits) -> Result<Signature, RuntimeError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<TensorSpec> = graph
        .input
        .iter()
        .filter(|input| !constants.contains(input.name.as_str()))
        .map(|input| input_spec(input, limits))
        .collect::<Result<_, _>>()?;
    if inputs.is_empty() {
        return Err(RuntimeError::refused("it takes no input, so there is nothing to ask it"));
    }
    let outputs: Vec<TensorSpec> =
        graph.output.iter().map(|output| output_spec(output, limits)).collect::<Result<_, _>>()?;
    if outputs.is_empty() {
        return Err(RuntimeError::invalid("it has no output"));
    }
    Ok(Signature { inputs, outputs })
}

fn input_spec(value: &ValueInfoProto, limits: &OnnxLimits) -> Result<TensorSpec, RuntimeError> {
    let tensor = tensor_type(value, "input")?;
    let data_type = data_type(value, tensor, "input")?;
    let Some(shape) = dims(tensor) else {
        return Err(RuntimeError::RefusedOnnx {
            reason: format!("the rank of input {} is not declared", shown(&value.name)),
            hint: Some(
                "export it again with a shape for each input; free dimensions may be named".to_owned(),
            ),
        });
    };
    check_max(format!("the rank of input {}", shown(&value.name)), shape.len(), limits.rank_max)?;
    let fixed: Vec<i64> = fixed_dims(&shape);
    super::tensor::elements(&fixed, limits)?;
    if fixed.contains(&0) {
        return Err(RuntimeError::invalid(format!("input {} has a dimension of 0", shown(&value.name))));
    }
    Ok(TensorSpec { name: value.name.clone(), data_type, shape })
}

fn output_spec(value: &ValueInfoProto, limits: &OnnxLimits) -> Result<TensorSpec, RuntimeError> {
    let tensor = tensor_type(value, "output")?;
    let data_type = data_type(value, tensor, "output")?;
    let shape = dims(tensor).unwrap_or_else(|| vec![Dim::Any]);
    super::tensor::elements(&fixed_dims(&shape), limits)?;
    Ok(TensorSpec { name: value.name.clone(), data_type, shape })
}

fn fixed_dims(shape: &[Dim]) -> Vec<i64> {
    let fixed = shape.iter().filter_map(|dim| match dim {
        Dim::Fixed(n) => Some(i64::try_from(*n).expect("it was an i64 in the file")),
        Dim::Any => None,
    });
    fixed.collect()
}

fn tensor_type<'a>(value: &'a ValueInfoProto, what: &str) -> Result<&'a TensorTypeProto, RuntimeError> {
    let name = shown(&value.name);
    match value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(type_proto::Value::Tensor(tensor)) => Ok(tensor),
        None => Err(RuntimeError::invalid(format!("{what} {name} has no type"))),
        Some(type_proto::Value::Sequence(_) | type_proto::Value::Map(_)) => Err(RuntimeError::RefusedOnnx {
            reason: format!("{what} {name} is no tensor but a list or table"),
            hint: Some(
                "scikit-learn: convert with `options={\"zipmap\": False}`, then probabilities come as a tensor"
                    .to_owned(),
            ),
        }),
        Some(type_proto::Value::SparseTensor(_) | type_proto::Value::Optional(_)) => {
            Err(RuntimeError::refused(format!("{what} {name} is no dense tensor")))
        }
    }
}

fn data_type(value: &ValueInfoProto, tensor: &TensorTypeProto, what: &str) -> Result<DataType, RuntimeError> {
    let name = shown(&value.name);
    let element_type = known_type(tensor.elem_type).ok_or_else(|| {
        RuntimeError::invalid(format!("{what} {name} has the unknown element type {}", tensor.elem_type))
    })?;
    element_type.data_type().ok_or_else(|| {
        RuntimeError::refused(format!(
            "{what} {name} has the element type {element_type:?}, which no request can carry"
        ))
    })
}

/// The declared dimensions; some exporters write -1 for a free one.
fn dims(tensor: &TensorTypeProto) -> Option<Vec<Dim>> {
    let shape = tensor.shape.as_ref()?;
    let dim = |value: &Option<dimension_proto::Value>| match value {
        Some(dimension_proto::Value::Fixed(n)) => usize::try_from(*n).map_or(Dim::Any, Dim::Fixed),
        Some(dimension_proto::Value::Symbol(_)) | None => Dim::Any,
    };
    Some(shape.dim.iter().map(|proto| dim(&proto.value)).collect())
}
