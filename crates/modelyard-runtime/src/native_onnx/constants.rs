//! The constants of a graph: initializers and Constant nodes, as numbers.

use std::collections::HashMap;

use modelyard_model::onnx::proto::{ElementType, GraphProto, TensorProto};

/// The constants by name.
pub(super) struct Constants<'a> {
    tensors: HashMap<&'a str, &'a TensorProto>,
}

/// One constant of 32-bit floats.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl<'a> Constants<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
        let mut tensors: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
            let value = node.attribute.iter().find(|attribute| attribute.name == "value");
            if let (Some(tensor), Some(name)) =
                (value.and_then(|value| value.t.as_ref()), node.output.first())
            {
                tensors.insert(name, tensor);
            }
        }
        Self { tensors }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A constant of floats.
    pub(super) fn floats(&self, name: &str) -> Result<Array, String> {
        let tensor = self.tensors.get(name).ok_or_else(|| "an operator of two computed values".to_owned())?;
        if tensor.data_type != ElementType::Float as i32 {
            return Err("constants that are not float32".to_owned());
        }
        let values: Vec<f32> = match &tensor.raw_data {
            Some(bytes) => bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four")))
                .collect(),
            None => tensor.float_data.clone(),
        };
        let shape = shape(tensor)?;
        if shape.iter().product::<usize>() != values.len() {
            return Err("a constant whose shape does not hold its values".to_owned());
        }
        Ok(Array { shape, values })
    }

    /// A constant list of whole numbers: the shape of a Reshape.
    pub(super) fn whole_numbers(&self, name: &str) -> Result<Vec<i64>, String> {
        let tensor = self.tensors.get(name).ok_or_else(|| "a shape that is computed".to_owned())?;
        if tensor.data_type != ElementType::Int64 as i32 {
            return Err("a shape that is not int64".to_owned());
        }
        Ok(match &tensor.raw_data {
            Some(bytes) => bytes
                .chunks_exact(8)
                .map(|bytes| i64::from_le_bytes(bytes.try_into().expect("chunks of eight")))
                .collect(),
            None => tensor.int64_data.clone(),
        })
    }
}

fn shape(tensor: &TensorProto) -> Result<Vec<usize>, String> {
    let sizes = tensor.dims.iter().map(|&dim| usize::try_from(dim));
    sizes.collect::<Result<_, _>>().map_err(|_| "a constant with a negative size".to_owned())
}
