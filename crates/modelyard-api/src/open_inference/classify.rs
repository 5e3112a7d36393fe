//! The classification extension: instead of an output's values, the likeliest classes of each row.
//!
//! Source: Triton's `docs/protocol/extension_classification.md`: elements of BYTES, `value:index` and, where
//! the class has a name, `:label`, the greatest value first.

use modelyard_types::{Dim, ErrorKind, NamedTensor, Tensor, TensorData, TensorSpec};

use crate::error::Failure;

/// The `classes` greatest values of each row of an output; all of them where there are fewer.
///
/// # Errors
/// An output whose elements are no numbers.
pub(super) fn classify(
    output: &NamedTensor,
    spec: Option<&TensorSpec>,
    classes: usize,
    labels: Option<&[String]>,
) -> Result<NamedTensor, Failure> {
    let values = numbers(output.tensor.data()).ok_or_else(|| {
        let message = format!("output {:?} holds no numbers that could be classes", output.name);
        Failure::new(ErrorKind::Unsupported, message)
    })?;
    let has_rows = spec.is_some_and(|spec| spec.shape.first() == Some(&Dim::Any));
    let rows = if has_rows { output.tensor.rows() } else { 1 };
    let width = values.len() / rows.max(1);
    let count = classes.min(width);
    // Labels that do not belong to this output are of another number.
    let labels = labels.filter(|labels| labels.len() == width);
    let mut elements = Vec::with_capacity(rows * count);
    for row in values.chunks_exact(width.max(1)) {
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        for &index in &order[..count] {
            let label = labels.map(|labels| format!(":{}", labels[index])).unwrap_or_default();
            elements.push(format!("{:.6}:{index}{label}", row[index]).into_bytes());
        }
    }
    let shape = if has_rows { vec![rows, count] } else { vec![count] };
    let tensor = Tensor::new(shape, TensorData::Bytes(elements)).expect("as many elements as counted");
    Ok(NamedTensor { name: output.name.clone(), tensor })
}

fn numbers(data: &TensorData) -> Option<Vec<f64>> {
    macro_rules! widened {
        ($values:expr) => {
            Some($values.iter().map(|&value| value as f64).collect())
        };
    }
    match data {
        TensorData::U8(values) => widened!(values),
        TensorData::U16(values) => widened!(values),
        TensorData::U32(values) => widened!(values),
        TensorData::U64(values) => widened!(values),
        TensorData::I8(values) => widened!(values),
        TensorData::I16(values) => widened!(values),
        TensorData::I32(values) => widened!(values),
        TensorData::I64(values) => widened!(values),
        TensorData::F16(bits) => Some(bits.iter().map(|&bits| half::f16::from_bits(bits).to_f64()).collect()),
        TensorData::F32(values) => widened!(values),
        TensorData::F64(values) => Some(values.clone()),
        TensorData::Bool(_) | TensorData::Bytes(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use modelyard_types::DataType;

    use super::*;

    fn check(shape: &[usize], dims: &[Dim], classes: usize, labels: Option<&[String]>, want: &[&str]) {
        let values = vec![0.1f32, 0.7, 0.2, 3.0, -1.0, 0.5];
        let tensor = Tensor::new(shape.to_vec(), values.into()).expect("fits");
        let output = NamedTensor { name: "p".to_owned(), tensor };
        let spec = TensorSpec { name: "p".to_owned(), data_type: DataType::F32, shape: dims.to_vec() };
        let told = classify(&output, Some(&spec), classes, labels).expect("numbers");
        let want = want.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(told.tensor.data(), &TensorData::Bytes(want));
    }

    #[test]
    fn each_row_names_its_likeliest_classes() {
        let rows = [Dim::Any, Dim::Fixed(3)];
        check(&[2, 3], &rows, 2, None, &["0.700000:1", "0.200000:2", "3.000000:0", "0.500000:2"]);
        let labels = ["a", "b", "c"].map(String::from);
        check(&[2, 3], &rows, 1, Some(&labels), &["0.700000:1:b", "3.000000:0:a"]);
        check(&[6], &[Dim::Fixed(6)], 1, Some(&labels), &["3.000000:3"]);
    }

    #[test]
    fn texts_are_no_classes() {
        let tensor = Tensor::new(vec![1], TensorData::Bytes(vec![Vec::new()])).expect("fits");
        let output = NamedTensor { name: "p".to_owned(), tensor };
        assert!(classify(&output, None, 1, None).is_err());
    }
}
