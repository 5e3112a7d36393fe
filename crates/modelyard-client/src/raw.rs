//! Raw tensors, as the binary tensor extension and gRPC's raw contents carry them: values one after the
//! other, little-endian, row-major; booleans a byte each; each element of BYTES behind its length in four bytes.
//!
//! Source: <https://github.com/kserve/open-inference-protocol>, `specification/protocol/binary_data.md`.

use modelyard_types::{DataType, TensorData};

/// Bytes before each element of BYTES.
const LENGTH_BYTES: usize = 4;

/// Reads so many values. Needs memory in proportion to `bytes` only.
///
/// # Errors
/// Where the bytes are not exactly so many values, in words that follow "tensor".
pub fn read(data_type: DataType, count: usize, bytes: &[u8]) -> Result<TensorData, String> {
    if let Some(size) = data_type.size_bytes()
        && count.checked_mul(size) != Some(bytes.len())
    {
        return Err(format!("{count} values of {data_type} are not {} bytes", bytes.len()));
    }
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {{
            let (numbers, _) = bytes.as_chunks::<{ size_of::<$number>() }>();
            TensorData::$variant(numbers.iter().map(|bytes| <$number>::from_le_bytes(*bytes)).collect())
        }};
    }
    Ok(match data_type {
        DataType::Bool => match bytes.iter().find(|byte| **byte > 1) {
            Some(byte) => return Err(format!("a BOOL is 0 or 1, not {byte}")),
            None => TensorData::Bool(bytes.iter().map(|byte| *byte == 1).collect()),
        },
        DataType::U8 => TensorData::U8(bytes.to_vec()),
        DataType::U16 => numbers!(U16, u16),
        DataType::U32 => numbers!(U32, u32),
        DataType::U64 => numbers!(U64, u64),
        DataType::I8 => numbers!(I8, i8),
        DataType::I16 => numbers!(I16, i16),
        DataType::I32 => numbers!(I32, i32),
        DataType::I64 => numbers!(I64, i64),
        DataType::F16 => numbers!(F16, u16),
        DataType::F32 => numbers!(F32, f32),
        DataType::F64 => numbers!(F64, f64),
        DataType::Bytes => TensorData::Bytes(read_bytes(count, bytes)?),
    })
}

fn read_bytes(count: usize, mut rest: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut elements = Vec::with_capacity(count.min(rest.len() / LENGTH_BYTES));
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((element, behind)) = behind.split_at_checked(length) else {
            return Err(format!("element {} of BYTES is longer than what is left", elements.len()));
        };
        elements.push(element.to_vec());
        rest = behind;
    }
    match (elements.len(), rest.len()) {
        (got, 0) if got == count => Ok(elements),
        (got, 0) => Err(format!("{count} elements of BYTES were to come, there are {got}")),
        (_, left) => Err(format!("{left} bytes are left that are no element of BYTES")),
    }
}

/// Appends all values.
pub fn write(out: &mut Vec<u8>, data: &TensorData) {
    macro_rules! numbers {
        ($values:expr) => {
            $values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()))
        };
    }
    match data {
        TensorData::Bool(values) => out.extend(values.iter().map(|value| u8::from(*value))),
        TensorData::U8(values) => out.extend_from_slice(values),
        TensorData::U16(values) | TensorData::F16(values) => numbers!(values),
        TensorData::U32(values) => numbers!(values),
        TensorData::U64(values) => numbers!(values),
        TensorData::I8(values) => numbers!(values),
        TensorData::I16(values) => numbers!(values),
        TensorData::I32(values) => numbers!(values),
        TensorData::I64(values) => numbers!(values),
        TensorData::F32(values) => numbers!(values),
        TensorData::F64(values) => numbers!(values),
        TensorData::Bytes(values) => {
            for value in values {
                // A body of 4 GiB is refused long before its elements could be so long.
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(value);
            }
        }
    }
}

/// How many bytes [`write`] appends.
pub fn size(data: &TensorData) -> usize {
    match data {
        TensorData::Bytes(values) => values.iter().map(|value| LENGTH_BYTES + value.len()).sum(),
        fixed => fixed.len() * fixed.data_type().size_bytes().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_what_was_written() {
        for data in [
            TensorData::Bool(vec![true, false]),
            TensorData::U8(vec![0, 255]),
            TensorData::U16(vec![1, 0xFFFE]),
            TensorData::U32(vec![1, u32::MAX]),
            TensorData::U64(vec![1, u64::MAX]),
            TensorData::I8(vec![-128, 127]),
            TensorData::I16(vec![-2, 3]),
            TensorData::I32(vec![-2, 3]),
            TensorData::I64(vec![i64::MIN, 3]),
            TensorData::F16(vec![0x3C00, 0xC000]),
            TensorData::F32(vec![0.1, -2.5e-8]),
            TensorData::F64(vec![0.1, -2.5e-300]),
            TensorData::Bytes(vec![b"".to_vec(), vec![0xFF, 0, 1]]),
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, &data);
            assert_eq!(bytes.len(), size(&data));
            assert_eq!(read(data.data_type(), 2, &bytes), Ok(data));
        }
    }

    #[test]
    fn the_bytes_stand_as_the_specification_says() {
        let mut bytes = Vec::new();
        write(&mut bytes, &TensorData::I16(vec![1, -2]));
        write(&mut bytes, &TensorData::Bytes(vec![b"ab".to_vec()]));
        write(&mut bytes, &TensorData::F16(vec![0x3C00]));
        assert_eq!(bytes, [1, 0, 0xFE, 0xFF, 2, 0, 0, 0, b'a', b'b', 0x00, 0x3C]);
    }

    #[test]
    fn bytes_that_are_not_the_values_are_refused() {
        for (data_type, count, bytes, want) in [
            (DataType::F32, 2, &[0; 7][..], "2 values of FP32 are not 7 bytes"),
            (DataType::F32, usize::MAX, &[0; 8], "are not 8 bytes"),
            (DataType::Bool, 2, &[1, 2], "a BOOL is 0 or 1, not 2"),
            (DataType::Bytes, 1, &[9, 0, 0, 0, 1], "element 0 of BYTES is longer than what is left"),
            (DataType::Bytes, 1, &[0xFF; 4], "longer than what is left"),
            (DataType::Bytes, 2, &[0; 4], "2 elements of BYTES were to come, there are 1"),
            (DataType::Bytes, usize::MAX, &[0; 8], "there are 2"),
            (DataType::Bytes, 1, &[0, 0, 0, 0, 7], "1 bytes are left"),
        ] {
            let told = read(data_type, count, bytes).expect_err(want);
            assert!(told.contains(want), "{told}");
        }
    }
}
