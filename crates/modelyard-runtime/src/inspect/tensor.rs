//! Constants: their sizes are multiplied with care, and the data must be there and as long as the shape says.

use modelyard_model::onnx::proto::{ElementType, TensorProto};

use super::{OnnxLimits, check_max, shown};
use crate::RuntimeError;

/// Elements and bytes of a constant that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) elements: u64,
    pub(super) bytes: u64,
}

/// Checks one constant.
pub(super) fn check_tensor(tensor: &TensorProto, limits: &OnnxLimits) -> Result<Size, RuntimeError> {
    let name = shown(&tensor.name);
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err(RuntimeError::RefusedOnnx {
            reason: format!("the data of constant {name} is in another file"),
            hint: Some(
                "save it in one file: `onnx.save(onnx.load(\"model.onnx\"), \"one.onnx\")`".to_owned(),
            ),
        });
    }
    let elements = elements(&tensor.dims, limits).map_err(|error| match error {
        RuntimeError::TooLarge { what, got, max } => {
            RuntimeError::TooLarge { what: format!("{what} of constant {name}"), got, max }
        }
        RuntimeError::InvalidOnnx { reason } => RuntimeError::invalid(format!("constant {name}: {reason}")),
        other => other,
    })?;
    let element_type = known_type(tensor.data_type).ok_or_else(|| {
        RuntimeError::invalid(format!("constant {name} has the unknown element type {}", tensor.data_type))
    })?;
    check_length(tensor, element_type, elements)?;
    Ok(Size { elements, bytes: elements.saturating_mul(bits(element_type)).div_ceil(8) })
}

/// The element type of this number, where ONNX has one.
pub(super) fn known_type(number: i32) -> Option<ElementType> {
    ElementType::try_from(number).ok().filter(|&element_type| element_type != ElementType::Undefined)
}

/// The product of a shape.
pub(super) fn elements(dims: &[i64], limits: &OnnxLimits) -> Result<u64, RuntimeError> {
    check_max("the rank", dims.len(), limits.rank_max)?;
    let mut product = 1u128;
    for &dim in dims {
        let dim =
            u64::try_from(dim).map_err(|_| RuntimeError::invalid(format!("dimension {dim} is negative")))?;
        product = product.saturating_mul(u128::from(dim));
    }
    check_max("the number of elements", product, limits.elements_max)?;
    Ok(u64::try_from(product).expect("the limit is a u64"))
}

fn bits(element_type: ElementType) -> u64 {
    match element_type {
        ElementType::Undefined => 0,
        ElementType::Uint4 | ElementType::Int4 | ElementType::Float4e2m1 => 4,
        ElementType::Uint8
        | ElementType::Int8
        | ElementType::Bool
        | ElementType::Float8e4m3fn
        | ElementType::Float8e4m3fnuz
        | ElementType::Float8e5m2
        | ElementType::Float8e5m2fnuz => 8,
        ElementType::Uint16 | ElementType::Int16 | ElementType::Float16 | ElementType::Bfloat16 => 16,
        ElementType::Float | ElementType::Int32 | ElementType::Uint32 => 32,
        ElementType::Int64 | ElementType::Uint64 | ElementType::Double | ElementType::Complex64 => 64,
        ElementType::Complex128 | ElementType::String => 128,
    }
}

/// Raw bytes must be as many as the shape asks for; typed fields must hold as many values.
fn check_length(tensor: &TensorProto, element_type: ElementType, elements: u64) -> Result<(), RuntimeError> {
    let differ = |got: usize, want: u64, unit: &str| {
        Err(RuntimeError::invalid(format!(
            "constant {} of shape {:?} needs {want} {unit}, it has {got}",
            shown(&tensor.name),
            tensor.dims
        )))
    };
    if let Some(raw) = &tensor.raw_data {
        if element_type == ElementType::String {
            return Err(RuntimeError::invalid(format!(
                "constant {} keeps texts as raw bytes",
                shown(&tensor.name)
            )));
        }
        let want = elements.saturating_mul(bits(element_type)).div_ceil(8);
        if raw.len() as u64 != want {
            return differ(raw.len(), want, "bytes");
        }
        return Ok(());
    }
    let (got, want) = match element_type {
        ElementType::Float => (tensor.float_data.len(), elements),
        ElementType::Complex64 => (tensor.float_data.len(), elements.saturating_mul(2)),
        ElementType::Double => (tensor.double_data.len(), elements),
        ElementType::Complex128 => (tensor.double_data.len(), elements.saturating_mul(2)),
        ElementType::Int64 => (tensor.int64_data.len(), elements),
        ElementType::Uint32 | ElementType::Uint64 => (tensor.uint64_data.len(), elements),
        ElementType::String => (tensor.string_data.len(), elements),
        ElementType::Uint4 | ElementType::Int4 | ElementType::Float4e2m1 => {
            (tensor.int32_data.len(), elements.div_ceil(2))
        }
        _ => (tensor.int32_data.len(), elements),
    };
    if got as u64 != want {
        return differ(got, want, "values");
    }
    Ok(())
}
