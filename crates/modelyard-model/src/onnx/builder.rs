//! Writes an ONNX file node by node: what export and tests use, so that neither touches protobuf fields.

use modelyard_types::{DataType, Dim};
use prost::Message;
use prost::bytes::Bytes;

use super::proto::{
    AttributeProto, DimensionProto, ElementType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, dimension_proto, type_proto,
};

/// The file format's version that we write; old enough for every runtime in use.
pub const IR_VERSION: i64 = 8;
/// The version of ONNX's own operators that we write.
pub const OPSET_VERSION: i64 = 17;

/// Collects a graph and turns it into the bytes of a model file.
///
/// ```
/// use modelyard_model::onnx::GraphBuilder;
/// use modelyard_types::{DataType, Dim};
///
/// let mut graph = GraphBuilder::new("double");
/// graph.input("x", DataType::F32, &[Dim::Any, Dim::Fixed(2)]);
/// let two = graph.initializer_f32("two", &[], &[2.0]);
/// graph.node_to("Mul", &["x", &two], &["y"], vec![]);
/// graph.output("y", DataType::F32, &[Dim::Any, Dim::Fixed(2)]);
/// assert!(graph.finish().len() > 40);
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    model: ModelProto,
    graph: GraphProto,
}

impl GraphBuilder {
    /// An empty graph of this name.
    pub fn new(name: &str) -> Self {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "modelyard".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET_VERSION }],
            ..ModelProto::default()
        };
        Self { model, graph: GraphProto { name: name.to_owned(), ..GraphProto::default() } }
    }

    /// Declares that operators of another set are used too, or another version of ONNX's own (`""`).
    pub fn operator_set(&mut self, domain: &str, version: i64) {
        self.model.opset_import.retain(|set| set.domain != domain);
        self.model.opset_import.push(OperatorSetIdProto { domain: domain.to_owned(), version });
    }

    /// Declares an input. A first [`Dim::Any`] is named `batch`.
    pub fn input(&mut self, name: &str, data_type: DataType, shape: &[Dim]) {
        self.graph.input.push(value_info(name, data_type, shape));
    }

    /// Declares an output. A first [`Dim::Any`] is named `batch`.
    pub fn output(&mut self, name: &str, data_type: DataType, shape: &[Dim]) {
        self.graph.output.push(value_info(name, data_type, shape));
    }

    /// Adds a constant and gives its name back.
    ///
    /// # Panics
    /// Where the shape does not hold the values.
    pub fn initializer_f32(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(tensor(name, ElementType::Float, shape, bytes))
    }

    /// Adds a constant and gives its name back.
    ///
    /// # Panics
    /// Where the shape does not hold the values.
    pub fn initializer_i64(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(tensor(name, ElementType::Int64, shape, bytes))
    }

    /// Adds a constant of any kind and gives its name back.
    pub fn initializer(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.graph.initializer.push(tensor);
        name
    }

    /// Adds a node with one output and gives that output's fresh name back.
    pub fn node(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{}_{}", op_type.to_lowercase(), self.graph.node.len());
        self.node_to(op_type, inputs, &[&output], attributes);
        output
    }

    /// Adds a node that writes to these names. `op_type` may carry a domain: `ai.onnx.ml::Scaler`.
    pub fn node_to(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let (domain, op_type) = op_type.split_once("::").unwrap_or(("", op_type));
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: format!("{op_type}_{}", self.graph.node.len()),
            op_type: op_type.to_owned(),
            attribute: attributes,
            domain: domain.to_owned(),
            overload: String::new(),
        });
    }

    /// The graph alone, as a branch or a loop's body needs it.
    pub fn into_graph(self) -> GraphProto {
        self.graph
    }

    /// The whole model, for whoever wants to change what the builder has no method for.
    pub fn into_model(self) -> ModelProto {
        ModelProto { graph: Some(self.graph), ..self.model }
    }

    /// The bytes of the file.
    pub fn finish(self) -> Vec<u8> {
        self.into_model().encode_to_vec()
    }
}

fn tensor(name: &str, element_type: ElementType, shape: &[usize], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&n| as_i64(n)).collect(),
        data_type: element_type.into(),
        name: name.to_owned(),
        raw_data: Some(Bytes::from(raw_data)),
        ..TensorProto::default()
    }
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).expect("no allocation is larger than isize::MAX, so no dimension is")
}

fn value_info(name: &str, data_type: DataType, shape: &[Dim]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .enumerate()
        .map(|(axis, dim)| match dim {
            Dim::Fixed(n) => dimension_proto::Value::Fixed(as_i64(*n)),
            Dim::Any if axis == 0 => dimension_proto::Value::Symbol("batch".to_owned()),
            Dim::Any => dimension_proto::Value::Symbol(format!("{name}_{axis}")),
        })
        .map(|value| DimensionProto { value: Some(value) })
        .collect();
    let tensor = TensorTypeProto {
        elem_type: ElementType::from(data_type).into(),
        shape: Some(TensorShapeProto { dim }),
    };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::Tensor(tensor)) });
    ValueInfoProto { name: name.to_owned(), r#type }
}

impl From<DataType> for ElementType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Bool => Self::Bool,
            DataType::U8 => Self::Uint8,
            DataType::U16 => Self::Uint16,
            DataType::U32 => Self::Uint32,
            DataType::U64 => Self::Uint64,
            DataType::I8 => Self::Int8,
            DataType::I16 => Self::Int16,
            DataType::I32 => Self::Int32,
            DataType::I64 => Self::Int64,
            DataType::F16 => Self::Float16,
            DataType::F32 => Self::Float,
            DataType::F64 => Self::Double,
            DataType::Bytes => Self::String,
        }
    }
}

impl ElementType {
    /// The tensor type that carries such elements here; none for those that no request can send.
    pub fn data_type(self) -> Option<DataType> {
        DataType::ALL.into_iter().find(|&data_type| Self::from(data_type) == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_reads_back() {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", DataType::F32, &[Dim::Any, Dim::Fixed(3)]);
        let axes = graph.initializer_i64("axes", &[1], &[1]);
        let sum = graph.node("ReduceSum", &["x", &axes], vec![AttributeProto::int("keepdims", 0)]);
        graph.node_to("Neg", &[&sum], &["y"], vec![]);
        graph.output("y", DataType::F32, &[Dim::Any]);
        let wanted = graph.clone().into_model();
        let read = ModelProto::decode(graph.finish().as_slice()).expect("our own bytes");
        assert_eq!(read, wanted);
        let graph = read.graph.expect("there is a graph");
        assert_eq!(graph.node[0].attribute[0].i, Some(0), "a zero is written, not left out");
        assert_eq!(graph.initializer[0].raw_data.as_deref(), Some(&1i64.to_le_bytes()[..]));
    }

    #[test]
    fn element_types_and_data_types_pair_up() {
        for data_type in DataType::ALL {
            assert_eq!(ElementType::from(data_type).data_type(), Some(data_type));
        }
        assert_eq!(ElementType::Bfloat16.data_type(), None);
    }
}
