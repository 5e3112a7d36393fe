//! What rten 0.27 computes rightly. Everything else is refused by name before rten sees it: some operators
//! are missing, and a few give wrong numbers without an error.

use std::collections::HashSet;

use modelyard_model::onnx::proto::{
    ElementType, GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};
use modelyard_types::{DataType, Signature};

use crate::RuntimeError;
use crate::inspect::Inspected;
use crate::library::INSTALL_HINT;

/// The operators that may be used. Not on it although rten has them: `ConvInteger` (wrong numbers with
/// padding or batches), sequences and random numbers, and `com.microsoft`'s.
const OPERATORS: [&str; 122] = [
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Cosh",
    "CumSum",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "DynamicQuantizeLinear",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "EyeLike",
    "Flatten",
    "Floor",
    "GRU",
    "Gather",
    "GatherElements",
    "GatherND",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GridSample",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "If",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LSTM",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "Loop",
    "LpNormalization",
    "MatMul",
    "MatMulInteger",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "NonMaxSuppression",
    "NonZero",
    "Not",
    "OneHot",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "Tile",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Oldest operator set whose meaning rten follows.
const OPSET_MIN: i64 = 7;
/// From here on softmax works along one axis; before, it flattened all behind it, which rten does not do.
const OPSET_SOFTMAX: i64 = 13;

/// Element types that requests may send and get. 64-bit integers are computed in 32 bits; see [`Wide`].
const DATA_TYPES: [DataType; 6] =
    [DataType::F32, DataType::I32, DataType::I64, DataType::I8, DataType::U8, DataType::Bool];

/// Whether rten runs this model rightly.
pub(super) fn check(inspected: &Inspected) -> Result<(), RuntimeError> {
    check_types(&inspected.summary.signature)?;
    if inspected.summary.opset < OPSET_MIN {
        return Err(refused(format!(
            "operators of version {} are older than {OPSET_MIN}",
            inspected.summary.opset
        )));
    }
    for operator in inspected.summary.operators.keys() {
        if operator == "ConvInteger" {
            return Err(refused("it computes ConvInteger wrongly".to_owned()));
        }
        if !OPERATORS.contains(&operator.as_str()) {
            return Err(refused(format!("it has no operator {operator}")));
        }
        let softmax = matches!(operator.as_str(), "Softmax" | "LogSoftmax");
        if softmax && inspected.summary.opset < OPSET_SOFTMAX {
            return Err(refused(format!(
                "it computes {operator} of operator sets before {OPSET_SOFTMAX} wrongly"
            )));
        }
    }
    if let Some(node) = inspected.unbounded.first() {
        return Err(refused(format!(
            "the size of what {node} makes depends on values, which may exhaust memory"
        )));
    }
    check_graph(inspected.graph(), &HashSet::new())
}

fn refused(reason: String) -> RuntimeError {
    RuntimeError::Unsupported { runtime: super::NAME, reason, hint: Some(INSTALL_HINT.to_owned()) }
}

fn check_types(signature: &Signature) -> Result<(), RuntimeError> {
    for spec in signature.inputs.iter().chain(&signature.outputs) {
        if !DATA_TYPES.contains(&spec.data_type) {
            return Err(refused(format!("it cannot carry {} as {:?} has it", spec.data_type, spec.name)));
        }
    }
    Ok(())
}

/// The names of values that may hold integers beyond 32 bits.
type Wide<'a> = HashSet<&'a str>;

/// Follows 64-bit integers through a graph: rten computes them in 32 bits, so they may be moved, compared
/// and used as positions, but not computed with, and nothing that was cut off may come out.
fn check_graph<'a>(graph: &'a GraphProto, around: &Wide<'a>) -> Result<(), RuntimeError> {
    let mut wide = around.clone();
    let mut cut = HashSet::new();
    wide.extend(graph.input.iter().filter(|input| is_int64(input)).map(|input| input.name.as_str()));
    check_constants(graph)?;
    for node in &graph.node {
        let reads_wide = wide_data_inputs(node).any(|name| wide.contains(name));
        let casts = node.op_type == "Cast" && cast_target(node) == Some(ElementType::Int64);
        check_node(node)?;
        if reads_wide && is_arithmetic(&node.op_type) {
            return Err(refused(format!("it computes {} of 64-bit integers in 32 bits", node.op_type)));
        }
        if casts || (reads_wide && is_mover(&node.op_type)) {
            wide.extend(node.output.iter().map(String::as_str));
        }
        if casts || node.input.iter().any(|name| cut.contains(name.as_str())) && is_mover(&node.op_type) {
            cut.extend(node.output.iter().map(String::as_str));
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            check_graph(inner, &wide)?;
        }
    }
    match graph.output.iter().find(|output| cut.contains(output.name.as_str())) {
        Some(output) => {
            Err(refused(format!("the 64-bit integers of output {:?} are cut to 32 bits", output.name)))
        }
        None => Ok(()),
    }
}

fn is_int64(input: &ValueInfoProto) -> bool {
    let value = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    matches!(value, Some(type_proto::Value::Tensor(tensor)) if tensor.elem_type == i32::from(ElementType::Int64))
}

/// The inputs whose values end up in the result, as against positions and conditions.
fn wide_data_inputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    let positions_from = match node.op_type.as_str() {
        "Gather" | "GatherElements" | "GatherND" | "Slice" | "Reshape" | "Expand" | "Unsqueeze"
        | "Squeeze" => 1,
        "OneHot" | "Shape" | "Size" | "ConstantOfShape" | "Equal" | "Less" | "LessOrEqual" | "Greater"
        | "GreaterOrEqual" => 0,
        _ => usize::MAX,
    };
    node.input.iter().take(positions_from).map(String::as_str)
}

fn is_mover(operator: &str) -> bool {
    const MOVERS: [&str; 22] = [
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "If",
        "Loop",
        "Max",
        "Min",
        "Pad",
        "Reshape",
        "ScatterElements",
        "ScatterND",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Where",
    ];
    MOVERS.contains(&operator) || matches!(operator, "Unsqueeze" | "TopK" | "ReduceMax" | "ReduceMin")
}

fn is_arithmetic(operator: &str) -> bool {
    const ARITHMETIC: [&str; 19] = [
        "Abs",
        "Add",
        "CumSum",
        "Div",
        "Einsum",
        "MatMul",
        "Mean",
        "Mod",
        "Mul",
        "Neg",
        "Pow",
        "Range",
        "ReduceL1",
        "ReduceMean",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Sub",
        "Sum",
    ];
    ARITHMETIC.contains(&operator)
}

/// Attributes that ONNX lets a file leave out and rten does not.
fn check_node(node: &NodeProto) -> Result<(), RuntimeError> {
    let needs = match node.op_type.as_str() {
        "Cast" => return check_cast(node),
        "LSTM" | "GRU" => return check_recurrent(node),
        "MaxPool" | "AveragePool" => "strides",
        "Conv" | "ConvTranspose" => "kernel_shape",
        _ => return Ok(()),
    };
    if node.attribute.iter().any(|attribute| attribute.name == needs) {
        return Ok(());
    }
    Err(refused(format!("it does not run {} where the attribute {needs} is left out", node.op_type)))
}

/// rten reads lengths of sequences and peepholes and then does without them, and knows one order of axes only.
fn check_recurrent(node: &NodeProto) -> Result<(), RuntimeError> {
    const LENGTHS: usize = 4;
    const PEEPHOLES: usize = 7;
    let reads = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
    let is_set = |name: &str| {
        let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
        attribute.is_some_and(|attribute| attribute.i != Some(0))
    };
    let operator = &node.op_type;
    if reads(LENGTHS) {
        return Err(refused(format!("it ignores the lengths of sequences (padding) in {operator}")));
    }
    if reads(PEEPHOLES) {
        return Err(refused(format!("it ignores the peepholes of {operator}")));
    }
    if let Some(name) = ["clip", "layout"].into_iter().find(|name| is_set(name)) {
        return Err(refused(format!("it ignores the attribute {name} of {operator}")));
    }
    if operator == "GRU" && !is_set("linear_before_reset") {
        return Err(refused("it has GRU with linear_before_reset only".to_owned()));
    }
    Ok(())
}

fn cast_target(node: &NodeProto) -> Option<ElementType> {
    let to = node.attribute.iter().find(|attribute| attribute.name == "to")?.i?;
    ElementType::try_from(i32::try_from(to).ok()?).ok()
}

/// rten keeps booleans as integers, so a cast to them would leave 2 as 2 and make 0.5 a 0; halves and
/// doubles it keeps as 32-bit floats.
fn check_cast(node: &NodeProto) -> Result<(), RuntimeError> {
    match cast_target(node) {
        Some(ElementType::Float | ElementType::Int32 | ElementType::Int64) => Ok(()),
        Some(other) => Err(refused(format!("it does not cast to {other:?} as ONNX asks"))),
        None => Err(refused("a Cast does not say to what".to_owned())),
    }
}

/// rten cuts 64-bit constants to 32 bits; that is harmless only where they mean "to the end" of a Slice.
fn check_constants(graph: &GraphProto) -> Result<(), RuntimeError> {
    let of_nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
        Some((node.output.first()?.as_str(), tensor))
    });
    let constants = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).chain(of_nodes);
    for (name, tensor) in constants {
        if tensor.data_type == i32::from(ElementType::Double) {
            return Err(refused(format!("it keeps the 64-bit floats of constant {name:?} in 32 bits")));
        }
        let read_otherwise = || {
            graph
                .node
                .iter()
                .any(|node| node.op_type != "Slice" && node.input.iter().any(|input| input == name))
        };
        if has_wide_values(tensor) && read_otherwise() {
            return Err(refused(format!("it cuts the 64-bit integers of constant {name:?} to 32 bits")));
        }
    }
    Ok(())
}

fn has_wide_values(tensor: &TensorProto) -> bool {
    if tensor.data_type != i32::from(ElementType::Int64) {
        return false;
    }
    let is_wide = |value: i64| i32::try_from(value).is_err();
    match tensor.raw_data.as_deref() {
        Some(raw) => raw
            .chunks_exact(8)
            .any(|word| is_wide(i64::from_le_bytes(word.try_into().expect("the chunk has eight bytes")))),
        None => tensor.int64_data.iter().any(|&value| is_wide(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_nothing_twice() {
        assert!(OPERATORS.is_sorted());
        assert_eq!(HashSet::from(OPERATORS).len(), OPERATORS.len());
        assert!(!OPERATORS.contains(&"ConvInteger"));
    }
}
