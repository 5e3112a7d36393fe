//! Tensors as JSON: numbers and truth values as they are, BYTES as texts.

use modelyard_types::{DataType, TensorData};
use serde::Serialize;
use serde_json::Value;

/// The values of a tensor, flat.
///
/// # Errors
/// Half-precision values, which JSON has no form for, and bytes that are no text.
pub(crate) fn write(data: &TensorData) -> Result<Value, String> {
    fn all<T: Serialize>(values: &[T]) -> Result<Value, String> {
        serde_json::to_value(values).map_err(|error| error.to_string())
    }
    match data {
        TensorData::Bool(values) => all(values),
        TensorData::U8(values) => all(values),
        TensorData::U16(values) => all(values),
        TensorData::U32(values) => all(values),
        TensorData::U64(values) => all(values),
        TensorData::I8(values) => all(values),
        TensorData::I16(values) => all(values),
        TensorData::I32(values) => all(values),
        TensorData::I64(values) => all(values),
        TensorData::F32(values) => all(values),
        TensorData::F64(values) => all(values),
        TensorData::F16(_) => Err("FP16 has no form in JSON; send it raw".to_owned()),
        TensorData::Bytes(values) => {
            let texts: Result<Vec<&str>, _> = values.iter().map(|value| std::str::from_utf8(value)).collect();
            all(&texts.map_err(|_| "an element of BYTES is no UTF-8; send it raw".to_owned())?)
        }
    }
}

/// The values of a tensor of this type, flat or nested.
///
/// # Errors
/// A value that is not of the type.
pub(crate) fn read(data_type: DataType, value: &Value) -> Result<TensorData, String> {
    let mut flat = Vec::new();
    flatten(value, &mut flat);
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {
            TensorData::$variant(each(data_type, &flat, |value| <$number>::try_from(value.as_i64()?).ok())?)
        };
    }
    Ok(match data_type {
        DataType::Bool => TensorData::Bool(each(data_type, &flat, Value::as_bool)?),
        DataType::U8 => numbers!(U8, u8),
        DataType::U16 => numbers!(U16, u16),
        DataType::U32 => numbers!(U32, u32),
        DataType::U64 => TensorData::U64(each(data_type, &flat, Value::as_u64)?),
        DataType::I8 => numbers!(I8, i8),
        DataType::I16 => numbers!(I16, i16),
        DataType::I32 => numbers!(I32, i32),
        DataType::I64 => TensorData::I64(each(data_type, &flat, Value::as_i64)?),
        DataType::F32 => TensorData::F32(each(data_type, &flat, |value| Some(value.as_f64()? as f32))?),
        DataType::F64 => TensorData::F64(each(data_type, &flat, Value::as_f64)?),
        DataType::F16 => return Err("FP16 has no form in JSON".to_owned()),
        DataType::Bytes => {
            TensorData::Bytes(each(data_type, &flat, |value| Some(value.as_str()?.as_bytes().to_vec()))?)
        }
    })
}

fn flatten<'v>(value: &'v Value, flat: &mut Vec<&'v Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, flat)),
        other => flat.push(other),
    }
}

fn each<T>(
    data_type: DataType,
    values: &[&Value],
    one: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, String> {
    values.iter().map(|value| one(value).ok_or_else(|| format!("{value} is no {data_type}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_but_half_precision_reads_back_what_was_written() {
        for data in [
            TensorData::Bool(vec![true, false]),
            TensorData::U8(vec![0, 255]),
            TensorData::U64(vec![u64::MAX]),
            TensorData::I64(vec![i64::MIN]),
            TensorData::I8(vec![-128]),
            TensorData::F32(vec![0.1, -1e-30]),
            TensorData::F64(vec![0.1]),
            TensorData::Bytes(vec![b"".to_vec(), "höllo".into()]),
        ] {
            let json = write(&data).expect("it has a form");
            assert_eq!(read(data.data_type(), &json), Ok(data));
        }
        assert!(write(&TensorData::F16(vec![0])).is_err());
        assert!(write(&TensorData::Bytes(vec![vec![0xFF]])).is_err());
        let nested = serde_json::json!([[1, 2], [3, 256]]);
        assert_eq!(read(DataType::I32, &nested), Ok(TensorData::I32(vec![1, 2, 3, 256])));
        assert_eq!(read(DataType::U8, &nested), Err("256 is no UINT8".to_owned()));
    }
}
