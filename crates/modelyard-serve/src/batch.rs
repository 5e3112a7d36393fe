//! Joining the tensors of several requests into one batch and taking the answer apart again.

use modelyard_types::{Dim, NamedTensor, Signature, Tensor};

/// The sizes that a request chose for every [`Dim::Any`] behind the first: requests are joined only where
/// these agree, so ragged rows are never padded. Empty, and without an allocation, for fixed shapes.
pub(crate) type RowShape = Vec<usize>;

/// Whether the signature lets requests be joined at all: all inputs and outputs have rows first.
pub(crate) fn rows_first(signature: &Signature) -> bool {
    let tensors = || signature.inputs.iter().chain(&signature.outputs);
    tensors().next().is_some() && tensors().all(|spec| spec.shape.first() == Some(&Dim::Any))
}

/// Puts inputs, already checked against the signature, into its order.
pub(crate) fn order_inputs(signature: &Signature, inputs: &mut [NamedTensor]) {
    for (at, spec) in signature.inputs.iter().enumerate() {
        if let Some(from) = inputs[at..].iter().position(|sent| sent.name == spec.name) {
            inputs.swap(at, at + from);
        }
    }
}

/// The free sizes of ordered inputs.
pub(crate) fn row_shape(signature: &Signature, inputs: &[NamedTensor]) -> RowShape {
    let mut free = RowShape::new();
    for (spec, sent) in signature.inputs.iter().zip(inputs) {
        for (dim, &size) in spec.shape.iter().zip(sent.tensor.shape()).skip(1) {
            if *dim == Dim::Any {
                free.push(size);
            }
        }
    }
    free
}

/// The inputs of all members end to end. Their row shapes are equal, so they always fit.
pub(crate) fn join(members: &[&[NamedTensor]]) -> Vec<NamedTensor> {
    let first = members.first().expect("a batch has members");
    let column = |at: usize| {
        let tensors: Vec<&Tensor> = members.iter().map(|inputs| &inputs[at].tensor).collect();
        let tensor = Tensor::join(&tensors).expect("the scheduler joins equal row shapes only");
        NamedTensor { name: first[at].name.clone(), tensor }
    };
    (0..first.len()).map(column).collect()
}

/// The outputs of each member, by its number of rows.
///
/// # Errors
/// The output whose rows are not those of the batch.
pub(crate) fn split(outputs: &[NamedTensor], rows: &[usize]) -> Result<Vec<Vec<NamedTensor>>, String> {
    let want: usize = rows.iter().sum();
    for output in outputs {
        if output.tensor.shape().first() != Some(&want) {
            let shape = output.tensor.shape();
            return Err(format!("output {:?} of shape {shape:?} for a batch of {want} rows", output.name));
        }
    }
    let mut from = 0;
    let parts = rows.iter().map(|&rows| {
        let part = |output: &NamedTensor| NamedTensor {
            name: output.name.clone(),
            tensor: output.tensor.slice_rows(from, from + rows),
        };
        let parts = outputs.iter().map(part).collect();
        from += rows;
        parts
    });
    Ok(parts.collect())
}

#[cfg(test)]
mod tests {
    use modelyard_types::{DataType, TensorSpec};

    use super::*;

    fn spec(name: &str, shape: &[Dim]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), data_type: DataType::F32, shape: shape.to_vec() }
    }

    fn tensor(name: &str, shape: &[usize], from: f32) -> NamedTensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| from + i as f32).collect();
        let tensor = Tensor::new(shape.to_vec(), values.into()).expect("fits");
        NamedTensor { name: name.to_owned(), tensor }
    }

    #[test]
    fn only_sizes_behind_the_rows_make_a_row_shape() {
        let signature = Signature {
            inputs: vec![spec("a", &[Dim::Any, Dim::Any, Dim::Fixed(2)]), spec("b", &[Dim::Any])],
            outputs: vec![spec("c", &[Dim::Any])],
        };
        assert!(rows_first(&signature));
        let mut inputs = vec![tensor("b", &[3], 0.0), tensor("a", &[3, 5, 2], 0.0)];
        order_inputs(&signature, &mut inputs);
        assert_eq!((inputs[0].name.as_str(), row_shape(&signature, &inputs)), ("a", vec![5]));
        let fixed = Signature { outputs: vec![spec("c", &[Dim::Fixed(1)])], ..signature };
        assert!(!rows_first(&fixed));
    }

    #[test]
    fn what_is_joined_comes_apart_in_the_same_order() {
        let (a, b) = (vec![tensor("x", &[1, 2], 0.0)], vec![tensor("x", &[2, 2], 10.0)]);
        let joined = join(&[&a, &b]);
        assert_eq!(joined[0].tensor.shape(), [3, 2]);
        assert_eq!(split(&joined, &[1, 2]), Ok(vec![a, b]));
        let wrong = split(&joined, &[1, 1]).expect_err("3 rows are not 2");
        assert_eq!(wrong, "output \"x\" of shape [3, 2] for a batch of 2 rows");
    }
}
