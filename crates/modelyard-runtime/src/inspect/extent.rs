//! Follows the whole numbers that give tensors their sizes and loops their turns, so that a file of a
//! hundred bytes cannot ask for terabytes. Three things are known of such numbers: their values, or that
//! they come from shapes and small constants only, or nothing.

use modelyard_model::onnx::proto::{ElementType, NodeProto, TensorProto};

/// Longest constant whose values are kept: shapes, axes and the like.
const VALUES_MAX: usize = 64;
/// What a number taken from a shape weighs, and how heavy a product of such numbers and constants may get.
const SHAPE_WEIGHT: u64 = 16;
const WEIGHT_MAX: u64 = 1 << 16;

/// What is known of a tensor of whole numbers before running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Its values.
    Known(Vec<i64>),
    /// It is made from shapes of other tensors and from constants of about this weight.
    Shaped(u64),
    /// It depends on values that only a run shows.
    Data,
}

impl Extent {
    /// What a constant gives.
    pub(super) fn of_tensor(tensor: &TensorProto) -> Self {
        values(tensor).filter(|values| values.len() <= VALUES_MAX).map_or(Self::Data, Self::Known)
    }

    fn weight(&self) -> Option<u64> {
        match self {
            Self::Known(values) => {
                Some(values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0).max(1))
            }
            Self::Shaped(weight) => Some(*weight),
            Self::Data => None,
        }
    }

    fn shaped(weight: Option<u64>) -> Self {
        weight.filter(|&weight| weight <= WEIGHT_MAX).map_or(Self::Data, Self::Shaped)
    }

    /// The heaviest of several, for values that are only moved around.
    fn heaviest<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let weights: Option<Vec<u64>> = parts.into_iter().map(Self::weight).collect();
        Self::shaped(weights.and_then(|weights| weights.into_iter().max()))
    }

    /// The one number that it holds, where that is known.
    pub(super) fn scalar(&self) -> Option<i64> {
        match self {
            Self::Known(values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }
}

/// What is known of a node's first output, given what is known of its inputs.
pub(super) fn of_node(node: &NodeProto, inputs: &[Extent]) -> Extent {
    let first = inputs.first().unwrap_or(&Extent::Data);
    match node.op_type.as_str() {
        "Constant" => of_constant(node),
        "Shape" | "Size" => Extent::Shaped(SHAPE_WEIGHT),
        "Identity" | "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => first.clone(),
        "Concat" => concat(inputs),
        "Gather" | "Slice" | "Neg" | "Abs" | "Split" | "Expand" | "Tile" | "ReduceMax" | "ReduceMin" => {
            Extent::heaviest([first])
        }
        "Min" | "Max" => Extent::heaviest(inputs),
        "Where" => Extent::heaviest(inputs.get(1..).unwrap_or_default()),
        "ConstantOfShape" => filled(node),
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(&node.op_type, inputs),
        _ => Extent::Data,
    }
}

fn of_constant(node: &NodeProto) -> Extent {
    let Some(attribute) = node.attribute.first() else {
        return Extent::Data;
    };
    match (attribute.name.as_str(), &attribute.t, attribute.i) {
        ("value", Some(tensor), _) => Extent::of_tensor(tensor),
        ("value_int", _, Some(value)) => Extent::Known(vec![value]),
        ("value_ints", ..) if attribute.ints.len() <= VALUES_MAX => Extent::Known(attribute.ints.clone()),
        _ => Extent::Data,
    }
}

fn filled(node: &NodeProto) -> Extent {
    let value = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
    Extent::heaviest([&value.map_or(Extent::Known(vec![0]), Extent::of_tensor)])
}

fn concat(inputs: &[Extent]) -> Extent {
    let known: Option<Vec<&[i64]>> = inputs
        .iter()
        .map(|input| match input {
            Extent::Known(values) => Some(values.as_slice()),
            _ => None,
        })
        .collect();
    match known.map(|parts| parts.concat()) {
        Some(values) if values.len() <= VALUES_MAX => Extent::Known(values),
        _ => Extent::heaviest(inputs),
    }
}

fn arithmetic(operator: &str, inputs: &[Extent]) -> Extent {
    let [a, b] = inputs else {
        return Extent::Data;
    };
    if let (Some(a), Some(b)) = (a.scalar(), b.scalar()) {
        let value = match operator {
            "Add" => a.checked_add(b),
            "Sub" => a.checked_sub(b),
            "Mul" => a.checked_mul(b),
            _ => a.checked_div(b),
        };
        return value.map_or(Extent::Data, |value| Extent::Known(vec![value]));
    }
    let (Some(a), Some(b)) = (a.weight(), b.weight()) else {
        return Extent::Data;
    };
    Extent::shaped(match operator {
        "Add" | "Sub" => a.checked_add(b),
        "Mul" => a.checked_mul(b),
        _ => Some(a),
    })
}

/// The values of a small constant of whole numbers.
fn values(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = tensor.raw_data.as_deref();
    match ElementType::try_from(tensor.data_type).ok()? {
        ElementType::Int64 => Some(match raw {
            Some(raw) => words(raw).map(i64::from_le_bytes).collect(),
            None => tensor.int64_data.clone(),
        }),
        ElementType::Int32 => Some(match raw {
            Some(raw) => words(raw).map(|word| i32::from_le_bytes(word).into()).collect(),
            None => tensor.int32_data.iter().map(|&value| value.into()).collect(),
        }),
        _ => None,
    }
}

/// The values of a constant of 32-bit floats; empty for other types.
pub(super) fn floats(tensor: &TensorProto) -> Vec<f32> {
    if tensor.data_type != i32::from(ElementType::Float) {
        return Vec::new();
    }
    match tensor.raw_data.as_deref() {
        Some(raw) => words(raw).map(f32::from_le_bytes).collect(),
        None => tensor.float_data.clone(),
    }
}

fn words<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> {
    raw.chunks_exact(N).map(|word| word.try_into().expect("the chunk has N bytes"))
}
