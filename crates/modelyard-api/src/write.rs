//! Writing JSON into a byte buffer: numbers in their shortest form that reads back to the same value.

use std::ops::Range;

use half::f16;
use modelyard_types::{ErrorKind, TensorData};
use serde::Serialize;

use crate::error::Failure;

/// Any value that always becomes JSON: texts, numbers, lists and structs of them.
pub(crate) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and finite numbers always become JSON");
}

/// A range of a tensor's values as one flat array.
///
/// # Errors
/// Where bytes are no UTF-8 text, which JSON cannot carry. NaN and infinity were refused before.
pub(crate) fn values(out: &mut Vec<u8>, data: &TensorData, range: Range<usize>) -> Result<(), Failure> {
    match data {
        TensorData::Bool(values) => json(out, &values[range]),
        TensorData::U8(values) => json(out, &values[range]),
        TensorData::U16(values) => json(out, &values[range]),
        TensorData::U32(values) => json(out, &values[range]),
        TensorData::U64(values) => json(out, &values[range]),
        TensorData::I8(values) => json(out, &values[range]),
        TensorData::I16(values) => json(out, &values[range]),
        TensorData::I32(values) => json(out, &values[range]),
        TensorData::I64(values) => json(out, &values[range]),
        TensorData::F16(bits) => {
            let values: Vec<f32> = bits[range].iter().map(|&bits| f16::from_bits(bits).to_f32()).collect();
            json(out, &values);
        }
        TensorData::F32(values) => json(out, &values[range]),
        TensorData::F64(values) => json(out, &values[range]),
        TensorData::Bytes(values) => {
            let texts: Result<Vec<&str>, _> =
                values[range].iter().map(|bytes| std::str::from_utf8(bytes)).collect();
            let unfit = |_| {
                Failure::new(
                    ErrorKind::Unsupported,
                    "an output holds bytes that are no text, which JSON cannot carry",
                )
            };
            json(out, &texts.map_err(unfit)?);
        }
    }
    Ok(())
}

/// A range of a tensor's values as arrays nested by `sizes`, the last of which are flat; a bare value where
/// there is no size.
///
/// # Errors
/// As [`values`].
pub(crate) fn nested(
    out: &mut Vec<u8>,
    data: &TensorData,
    start: usize,
    sizes: &[usize],
) -> Result<(), Failure> {
    match sizes {
        [] => {
            let from = out.len();
            values(out, data, start..start + 1)?;
            out.pop();
            out.remove(from);
        }
        [count] => values(out, data, start..start + count)?,
        [count, rest @ ..] => {
            let step: usize = rest.iter().product();
            out.push(b'[');
            for at in 0..*count {
                if at > 0 {
                    out.push(b',');
                }
                nested(out, data, start + at * step, rest)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data: impl Into<TensorData>, sizes: &[usize], want: &str) {
        let mut out = Vec::new();
        nested(&mut out, &data.into(), 0, sizes).expect("writes");
        assert_eq!(String::from_utf8(out).expect("JSON is text"), want);
    }

    #[test]
    fn values_nest_as_their_sizes_say() {
        check(vec![0.1f32, 1.0, -2.5e-8, 3e9], &[2, 2], "[[0.1,1.0],[-2.5e-8,3000000000.0]]");
        check(vec![7i64], &[], "7");
        check(vec![true, false], &[2], "[true,false]");
        check(TensorData::F16(vec![0x3C00, 0xC000]), &[1, 2], "[[1.0,-2.0]]");
        check(vec![b"a\"b".to_vec()], &[1, 1], "[[\"a\\\"b\"]]");
        check(Vec::<f32>::new(), &[0, 3], "[]");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let data = TensorData::Bytes(vec![vec![0xFF]]);
        assert!(values(&mut Vec::new(), &data, 0..1).is_err());
    }
}
