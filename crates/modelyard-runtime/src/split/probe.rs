//! Finds out the type and shape of a tensor that a file does not declare, by running the model up to it.

use modelyard_model::onnx::Message;
use modelyard_model::onnx::proto::{
    DimensionProto, ElementType, ModelProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    dimension_proto, type_proto,
};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorData};

use super::cannot;
use super::needs::{Maker, Needs};
use crate::inspect::Inspected;
use crate::runtimes::Runtimes;
use crate::{LoadOptions, LoadedModel, ModelFiles, RuntimeError};

/// Types that cross a cut, likeliest first. An engine loads the model only with the right one.
const CANDIDATES: [(ElementType, DataType); 5] = [
    (ElementType::Float, DataType::F32),
    (ElementType::Int64, DataType::I64),
    (ElementType::Bool, DataType::Bool),
    (ElementType::Int32, DataType::I32),
    (ElementType::Float16, DataType::F16),
];

/// What the free sizes of the inputs are, in one run each: small ones, which most models take, and larger ones,
/// which windows with strides do not all bring down to the same.
const FREE_SIZES: [usize; 4] = [1, 2, 16, 37];

/// The type of a tensor, sizes that follow the inputs' free ones left open.
///
/// # Errors
/// [`RuntimeError::CannotSplit`] where no engine runs the model up to there.
pub(super) fn probe(
    inspected: &Inspected,
    needs: &Needs<'_>,
    name: &str,
    runtimes: &Runtimes,
) -> Result<TypeProto, RuntimeError> {
    let signature = &inspected.summary.signature;
    let is_free = |dims: &[Dim]| dims.contains(&Dim::Any);
    // One run shows all where nothing is free, and a single one shows nothing of what is.
    let runs_min = if signature.inputs.iter().any(|input| is_free(&input.shape)) { 2 } else { 1 };
    // A window may bring any length that was tried down to 1, where more than the batch is free.
    let fixed_min =
        if signature.inputs.iter().any(|input| input.shape.get(1..).is_some_and(is_free)) { 2 } else { 1 };
    for (element, data_type) in CANDIDATES {
        let bytes = up_to(inspected.model(), needs, name, element);
        let shapes = shapes(runtimes, &bytes, signature, data_type).unwrap_or_default();
        if shapes.len() >= runs_min && shapes.iter().all(|shape| shape.len() == shapes[0].len()) {
            return Ok(tensor_type(element, &shapes, fixed_min));
        }
    }
    let hint = "let `onnx.shape_inference.infer_shapes` of the Python package onnx write the shapes into the file, \
                or cut at another tensor";
    Err(cannot(format!("the type and shape of {name:?} are not declared"), Some(hint.to_owned())))
}

/// The model with this tensor as its only output, and only the nodes that it needs.
fn up_to(model: &ModelProto, needs: &Needs<'_>, name: &str, element: ElementType) -> Vec<u8> {
    let mut model = model.clone();
    if let (Some(graph), Some(Maker::Node(maker))) = (&mut model.graph, needs.maker(name)) {
        let kept = needs.ancestors(&[maker]);
        graph.node = kept.into_iter().map(|node| std::mem::take(&mut graph.node[node])).collect();
        let tensor = TensorTypeProto { elem_type: element.into(), shape: None };
        let kind = TypeProto { value: Some(type_proto::Value::Tensor(tensor)) };
        graph.output = vec![ValueInfoProto { name: name.to_owned(), r#type: Some(kind) }];
    }
    model.encode_to_vec()
}

/// The shapes that the output has, one for each of the free sizes that the model takes.
fn shapes(
    runtimes: &Runtimes,
    bytes: &[u8],
    signature: &Signature,
    data_type: DataType,
) -> Option<Vec<Vec<usize>>> {
    let files = ModelFiles { onnx: Some(bytes), ..ModelFiles::default() };
    let loaded = runtimes.choose(&files).ok()?.load(&files, &LoadOptions::default()).ok()?;
    let shapes = FREE_SIZES.iter().filter_map(|&free| shape(loaded.as_ref(), signature, free, data_type));
    Some(shapes.collect())
}

/// The shape that the output has where all free sizes of the inputs are this.
fn shape(
    loaded: &dyn LoadedModel,
    signature: &Signature,
    free: usize,
    data_type: DataType,
) -> Option<Vec<usize>> {
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

/// The type with the sizes that all runs agree on, where they are at least `fixed_min`.
fn tensor_type(element: ElementType, shapes: &[Vec<usize>], fixed_min: usize) -> TypeProto {
    let dim = |(at, &size): (usize, &usize)| {
        let is_fixed = size >= fixed_min && shapes.iter().all(|shape| shape[at] == size);
        let value = i64::try_from(size).ok().filter(|_| is_fixed);
        DimensionProto { value: value.map(dimension_proto::Value::Fixed) }
    };
    let shape = TensorShapeProto { dim: shapes[0].iter().enumerate().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: element.into(), shape: Some(shape) };
    TypeProto { value: Some(type_proto::Value::Tensor(tensor)) }
}
