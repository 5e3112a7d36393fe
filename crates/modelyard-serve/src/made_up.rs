//! Values that are made up, of any type: for probing a network and for warming it up.

use modelyard_types::{DataType, TensorData};

/// So many values: whole ones by `bit`, which gives 0 or 1 since a network may take them for indices, and real ones by
/// `wave`; both hear the value's place.
pub(crate) fn values(
    data_type: DataType,
    count: usize,
    bit: impl Fn(usize) -> usize,
    wave: impl Fn(usize) -> f64,
) -> TensorData {
    let (bits, waves) = ((0..count).map(bit), (0..count).map(wave));
    match data_type {
        DataType::Bool => TensorData::Bool(bits.map(|bit| bit == 1).collect()),
        DataType::U8 => TensorData::U8(bits.map(|bit| bit as u8).collect()),
        DataType::U16 => TensorData::U16(bits.map(|bit| bit as u16).collect()),
        DataType::U32 => TensorData::U32(bits.map(|bit| bit as u32).collect()),
        DataType::U64 => TensorData::U64(bits.map(|bit| bit as u64).collect()),
        DataType::I8 => TensorData::I8(bits.map(|bit| bit as i8).collect()),
        DataType::I16 => TensorData::I16(bits.map(|bit| bit as i16).collect()),
        DataType::I32 => TensorData::I32(bits.map(|bit| bit as i32).collect()),
        DataType::I64 => TensorData::I64(bits.map(|bit| bit as i64).collect()),
        // 0x3C00 is 1.0 in half precision.
        DataType::F16 => TensorData::F16(bits.map(|bit| bit as u16 * 0x3C00).collect()),
        DataType::F32 => TensorData::F32(waves.map(|wave| wave as f32).collect()),
        DataType::F64 => TensorData::F64(waves.collect()),
        DataType::Bytes => TensorData::Bytes(bits.map(|bit| vec![b'0' + bit as u8]).collect()),
    }
}
