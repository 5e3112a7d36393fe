//! Tensors to and from ONNX Runtime. Inputs are lent, not copied; outputs are copied once.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use modelyard_types::{DataType, NamedTensor, Tensor, TensorData, TensorSpec};
use ort::AsPointer;
use ort::session::SessionInputValue;
use ort::value::{PrimitiveTensorElementType, Shape, TensorRef, ValueRef};

use super::NAME;
use crate::RuntimeError;

pub(super) fn to_ort<'a>(
    spec: &TensorSpec,
    tensor: &'a Tensor,
) -> Result<SessionInputValue<'a>, RuntimeError> {
    let shape = tensor.shape();
    match tensor.data() {
        TensorData::Bool(values) => lend(shape, values),
        TensorData::U8(values) => lend(shape, values),
        TensorData::U16(values) => lend(shape, values),
        TensorData::U32(values) => lend(shape, values),
        TensorData::U64(values) => lend(shape, values),
        TensorData::I8(values) => lend(shape, values),
        TensorData::I16(values) => lend(shape, values),
        TensorData::I32(values) => lend(shape, values),
        TensorData::I64(values) => lend(shape, values),
        TensorData::F16(bits) => {
            lend(shape, HalfBitsSliceExt::reinterpret_cast::<half::f16>(bits.as_slice()))
        }
        TensorData::F32(values) => lend(shape, values),
        TensorData::F64(values) => lend(shape, values),
        TensorData::Bytes(values) => texts(spec, shape, values),
    }
}

fn lend<'a, T>(shape: &'a [usize], values: &'a [T]) -> Result<SessionInputValue<'a>, RuntimeError>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Ok(TensorRef::from_array_view((shape, values)).map_err(failed)?.into())
}

/// ONNX has texts, not bytes: what is sent must be UTF-8.
fn texts<'a>(
    spec: &TensorSpec,
    shape: &[usize],
    values: &[Vec<u8>],
) -> Result<SessionInputValue<'a>, RuntimeError> {
    let text = |bytes: &'_ Vec<u8>| {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| RuntimeError::InputValue {
            runtime: NAME,
            input: spec.name.clone(),
            reason: "an element is no UTF-8 text".to_owned(),
        })
    };
    let mut texts = values.iter().map(text).collect::<Result<Vec<String>, _>>()?;
    // The library takes whole arrays of texts only by their ends, which are zero bytes.
    let mut apart = Vec::new();
    for (at, text) in texts.iter_mut().enumerate().filter(|(_, text)| text.contains('\0')) {
        apart.push((at, std::mem::take(text)));
    }
    let mut tensor = ort::value::Tensor::from_string_array((shape, texts.as_slice())).map_err(failed)?;
    for (at, text) in apart {
        put(&mut tensor, at, &text)?;
    }
    Ok(tensor.into())
}

/// Writes one text by its length.
fn put(tensor: &mut ort::value::Tensor<String>, at: usize, text: &str) -> Result<(), RuntimeError> {
    let (api, mut buffer) = (ort::api(), std::ptr::null_mut());
    // SAFETY: the tensor is one of texts and lives through the call; `buffer` is a place for the answer.
    let status = unsafe {
        (api.GetResizedStringTensorElementBuffer)(tensor.ptr_mut(), at, text.len(), &raw mut buffer)
    };
    if !status.0.is_null() || buffer.is_null() {
        // SAFETY: a status is the caller's to release, once; none is released as nothing.
        unsafe { (api.ReleaseStatus)(status.0) };
        return Err(failed("a text with a zero byte was not taken"));
    }
    // SAFETY: the library made room for this many bytes there, which nothing else knows of.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), text.len()) };
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Run { runtime: NAME, message: error.to_string() }
}

pub(super) fn from_ort(spec: &TensorSpec, value: &ValueRef<'_>) -> Result<NamedTensor, RuntimeError> {
    let (shape, data) = match spec.data_type {
        DataType::Bool => copy::<bool>(value)?,
        DataType::U8 => copy::<u8>(value)?,
        DataType::U16 => {
            let (shape, values) = take::<u16>(value)?;
            (shape, TensorData::U16(values.to_vec()))
        }
        DataType::U32 => copy::<u32>(value)?,
        DataType::U64 => copy::<u64>(value)?,
        DataType::I8 => copy::<i8>(value)?,
        DataType::I16 => copy::<i16>(value)?,
        DataType::I32 => copy::<i32>(value)?,
        DataType::I64 => copy::<i64>(value)?,
        DataType::F16 => {
            let (shape, values) = take::<half::f16>(value)?;
            (shape, TensorData::F16(values.reinterpret_cast().to_vec()))
        }
        DataType::F32 => copy::<f32>(value)?,
        DataType::F64 => copy::<f64>(value)?,
        DataType::Bytes => {
            let (shape, texts) = value.try_extract_strings().map_err(failed)?;
            (shape, TensorData::Bytes(texts.into_iter().map(String::into_bytes).collect()))
        }
    };
    let shape = shape.iter().map(|&dim| usize::try_from(dim).map_err(failed)).collect::<Result<_, _>>()?;
    let tensor = Tensor::new(shape, data).map_err(failed)?;
    Ok(NamedTensor { name: spec.name.clone(), tensor })
}

fn take<'v, T: PrimitiveTensorElementType>(
    value: &'v ValueRef<'_>,
) -> Result<(&'v Shape, &'v [T]), RuntimeError> {
    value.try_extract_tensor::<T>().map_err(failed)
}

fn copy<'v, T>(value: &'v ValueRef<'_>) -> Result<(&'v Shape, TensorData), RuntimeError>
where
    T: PrimitiveTensorElementType + Clone + 'v,
    TensorData: From<Vec<T>>,
{
    let (shape, values) = take::<T>(value)?;
    Ok((shape, values.to_vec().into()))
}
