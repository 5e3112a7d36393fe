//! Finds out the type and shape of a tensor that a file does not declare, by running the model up to it.

use modelyard_model::onnx::Message;
use modelyard_model::onnx::proto::{
    DimensionProto, ElementType, ModelProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    dimension_proto, type_proto,
};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorData};

use super::cannot;
use crate::inspect::Inspected;
use crate::runtimes::Runtimes;
use crate::{LoadOptions, ModelFiles, RuntimeError};

/// Types that cross a cut, likeliest first. An engine loads the model only with the right one.
const CANDIDATES: [(ElementType, DataType); 5] = [
    (ElementType::Float, DataType::F32),
    (ElementType::Int64, DataType::I64),
    (ElementType::Bool, DataType::Bool),
    (ElementType::Int32, DataType::I32),
    (ElementType::Float16, DataType::F16),
];

/// The type of a tensor, sizes that follow the inputs' free ones left open.
///
/// # Errors
/// [`RuntimeError::CannotSplit`] where no engine runs the model up to there.
pub(super) fn probe(
    inspected: &Inspected,
    name: &str,
    runtimes: &Runtimes,
) -> Result<TypeProto, RuntimeError> {
    let signature = &inspected.summary.signature;
    for (element, data_type) in CANDIDATES {
        let bytes = up_to(inspected.model(), name, element);
        // Where all sizes are fixed, the second run shows the same as the first.
        let shapes = shape(runtimes, &bytes, signature, 1, data_type)
            .and_then(|one| Some((shape(runtimes, &bytes, signature, 2, data_type)?, one)));
        if let Some((two, one)) = shapes.filter(|(two, one)| two.len() == one.len()) {
            return Ok(tensor_type(element, &one, &two));
        }
    }
    let hint = "let `onnx.shape_inference.infer_shapes` of the Python package onnx write the shapes into the file, \
                or cut at another tensor";
    Err(cannot(format!("the type and shape of {name:?} are not declared"), Some(hint.to_owned())))
}

/// The model with this tensor as its only output.
fn up_to(model: &ModelProto, name: &str, element: ElementType) -> Vec<u8> {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        let tensor = TensorTypeProto { elem_type: element.into(), shape: None };
        let kind = TypeProto { value: Some(type_proto::Value::Tensor(tensor)) };
        graph.output = vec![ValueInfoProto { name: name.to_owned(), r#type: Some(kind) }];
    }
    model.encode_to_vec()
}

/// The shape that the output has where all free sizes of the inputs are this.
fn shape(
    runtimes: &Runtimes,
    bytes: &[u8],
    signature: &Signature,
    free: usize,
    data_type: DataType,
) -> Option<Vec<usize>> {
    let files = ModelFiles { onnx: Some(bytes), ..ModelFiles::default() };
    let loaded = runtimes.choose(&files).ok()?.load(&files, &LoadOptions::default()).ok()?;
    let inputs: Vec<NamedTensor> = signature
        .inputs
        .iter()
        .map(|spec| zeros(&spec.name, spec.data_type, &spec.shape, free))
        .collect::<Option<_>>()?;
    let outputs = loaded.session().ok()?.run(&inputs).ok()?;
    let tensor = &outputs.first()?.tensor;
    (tensor.data_type() == data_type).then(|| tensor.shape().to_vec())
}

fn zeros(name: &str, data_type: DataType, shape: &[Dim], free: usize) -> Option<NamedTensor> {
    let sizes: Vec<usize> =
        shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { free }).collect();
    let count: usize = sizes.iter().product();
    let data = match data_type {
        DataType::Bool => TensorData::Bool(vec![false; count]),
        DataType::U8 => TensorData::U8(vec![0; count]),
        DataType::U16 => TensorData::U16(vec![0; count]),
        DataType::U32 => TensorData::U32(vec![0; count]),
        DataType::U64 => TensorData::U64(vec![0; count]),
        DataType::I8 => TensorData::I8(vec![0; count]),
        DataType::I16 => TensorData::I16(vec![0; count]),
        DataType::I32 => TensorData::I32(vec![0; count]),
        DataType::I64 => TensorData::I64(vec![0; count]),
        DataType::F16 => TensorData::F16(vec![0; count]),
        DataType::F32 => TensorData::F32(vec![0.0; count]),
        DataType::F64 => TensorData::F64(vec![0.0; count]),
        DataType::Bytes => TensorData::Bytes(vec![Vec::new(); count]),
    };
    Some(NamedTensor { name: name.to_owned(), tensor: Tensor::new(sizes, data).ok()? })
}

fn tensor_type(element: ElementType, one: &[usize], two: &[usize]) -> TypeProto {
    let dim = |(&one, &two): (&usize, &usize)| DimensionProto {
        value: i64::try_from(one).ok().filter(|_| one == two).map(dimension_proto::Value::Fixed),
    };
    let shape = TensorShapeProto { dim: one.iter().zip(two).map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: element.into(), shape: Some(shape) };
    TypeProto { value: Some(type_proto::Value::Tensor(tensor)) }
}
