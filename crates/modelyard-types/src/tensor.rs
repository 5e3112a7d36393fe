//! A tensor at rest: an element type, a shape and the values in row-major order. It only carries values
//! between crates; arithmetic belongs to the engine.

use std::fmt;
use std::str::FromStr;

/// The element types of the Open Inference Protocol v2, by its names (`FP32`, `INT64`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// `BOOL`, one byte each.
    Bool,
    /// `UINT8`
    U8,
    /// `UINT16`
    U16,
    /// `UINT32`
    U32,
    /// `UINT64`
    U64,
    /// `INT8`
    I8,
    /// `INT16`
    I16,
    /// `INT32`
    I32,
    /// `INT64`
    I64,
    /// `FP16`, IEEE 754 half precision.
    F16,
    /// `FP32`
    F32,
    /// `FP64`
    F64,
    /// `BYTES`: text or other bytes of any length.
    Bytes,
}

impl DataType {
    /// Every type, in the order of the specification.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F16,
        Self::F32,
        Self::F64,
        Self::Bytes,
    ];

    /// The specification's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "UINT8",
            Self::U16 => "UINT16",
            Self::U32 => "UINT32",
            Self::U64 => "UINT64",
            Self::I8 => "INT8",
            Self::I16 => "INT16",
            Self::I32 => "INT32",
            Self::I64 => "INT64",
            Self::F16 => "FP16",
            Self::F32 => "FP32",
            Self::F64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// Bytes per element; none for [`DataType::Bytes`].
    pub fn size_bytes(self) -> Option<usize> {
        match self {
            Self::Bool | Self::U8 | Self::I8 => Some(1),
            Self::U16 | Self::I16 | Self::F16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Bytes => None,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DataType {
    type Err = TensorError;
    fn from_str(text: &str) -> Result<Self, TensorError> {
        Self::ALL
            .into_iter()
            .find(|data_type| data_type.as_str() == text)
            .ok_or_else(|| TensorError::UnknownType { text: text.chars().take(40).collect() })
    }
}

/// The values of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Booleans.
    Bool(Vec<bool>),
    /// Unsigned 8-bit.
    U8(Vec<u8>),
    /// Unsigned 16-bit.
    U16(Vec<u16>),
    /// Unsigned 32-bit.
    U32(Vec<u32>),
    /// Unsigned 64-bit.
    U64(Vec<u64>),
    /// Signed 8-bit.
    I8(Vec<i8>),
    /// Signed 16-bit.
    I16(Vec<i16>),
    /// Signed 32-bit.
    I32(Vec<i32>),
    /// Signed 64-bit.
    I64(Vec<i64>),
    /// Half precision, as its bits.
    F16(Vec<u16>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Byte strings.
    Bytes(Vec<Vec<u8>>),
}

/// Runs one expression for whichever vector a [`TensorData`] holds.
macro_rules! each {
    ($data:expr, $values:ident => $run:expr) => {
        match $data {
            TensorData::Bool($values) => $run,
            TensorData::U8($values) => $run,
            TensorData::U16($values) => $run,
            TensorData::U32($values) => $run,
            TensorData::U64($values) => $run,
            TensorData::I8($values) => $run,
            TensorData::I16($values) => $run,
            TensorData::I32($values) => $run,
            TensorData::I64($values) => $run,
            TensorData::F16($values) => $run,
            TensorData::F32($values) => $run,
            TensorData::F64($values) => $run,
            TensorData::Bytes($values) => $run,
        }
    };
}

/// Like [`each!`], with the result wrapped in the same variant again.
macro_rules! map_each {
    ($data:expr, $values:ident => $run:expr) => {
        match $data {
            TensorData::Bool($values) => TensorData::Bool($run),
            TensorData::U8($values) => TensorData::U8($run),
            TensorData::U16($values) => TensorData::U16($run),
            TensorData::U32($values) => TensorData::U32($run),
            TensorData::U64($values) => TensorData::U64($run),
            TensorData::I8($values) => TensorData::I8($run),
            TensorData::I16($values) => TensorData::I16($run),
            TensorData::I32($values) => TensorData::I32($run),
            TensorData::I64($values) => TensorData::I64($run),
            TensorData::F16($values) => TensorData::F16($run),
            TensorData::F32($values) => TensorData::F32($run),
            TensorData::F64($values) => TensorData::F64($run),
            TensorData::Bytes($values) => TensorData::Bytes($run),
        }
    };
}

impl TensorData {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        each!(self, values => values.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Bool,
            Self::U8(_) => DataType::U8,
            Self::U16(_) => DataType::U16,
            Self::U32(_) => DataType::U32,
            Self::U64(_) => DataType::U64,
            Self::I8(_) => DataType::I8,
            Self::I16(_) => DataType::I16,
            Self::I32(_) => DataType::I32,
            Self::I64(_) => DataType::I64,
            Self::F16(_) => DataType::F16,
            Self::F32(_) => DataType::F32,
            Self::F64(_) => DataType::F64,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        map_each!(self, values => values[from..to].to_vec())
    }

    fn append(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.extend_from_slice(b),
            (Self::U8(a), Self::U8(b)) => a.extend_from_slice(b),
            (Self::U16(a), Self::U16(b)) => a.extend_from_slice(b),
            (Self::U32(a), Self::U32(b)) => a.extend_from_slice(b),
            (Self::U64(a), Self::U64(b)) => a.extend_from_slice(b),
            (Self::I8(a), Self::I8(b)) => a.extend_from_slice(b),
            (Self::I16(a), Self::I16(b)) => a.extend_from_slice(b),
            (Self::I32(a), Self::I32(b)) => a.extend_from_slice(b),
            (Self::I64(a), Self::I64(b)) => a.extend_from_slice(b),
            (Self::F16(a), Self::F16(b)) => a.extend_from_slice(b),
            (Self::F32(a), Self::F32(b)) => a.extend_from_slice(b),
            (Self::F64(a), Self::F64(b)) => a.extend_from_slice(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.extend_from_slice(b),
            _ => return false,
        }
        true
    }
}

macro_rules! from_vec {
    ($($element:ty => $variant:ident),*) => {
        $(impl From<Vec<$element>> for TensorData {
            fn from(values: Vec<$element>) -> Self {
                Self::$variant(values)
            }
        })*
    };
}

from_vec!(bool => Bool, u8 => U8, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    f32 => F32, f64 => F64, Vec<u8> => Bytes);

/// Why a tensor could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// A type name that the protocol does not have.
    UnknownType {
        /// The text that was given.
        text: String,
    },
    /// More or fewer values than the shape asks for.
    WrongLength {
        /// The shape.
        shape: Vec<usize>,
        /// How many values there were.
        got: usize,
    },
    /// A shape whose number of elements does not fit into memory's address range.
    ShapeTooLarge {
        /// The shape.
        shape: Vec<usize>,
    },
    /// Tensors that cannot be joined along their first dimension.
    CannotJoin {
        /// The first one's type and shape.
        first: (DataType, Vec<usize>),
        /// The other's.
        other: (DataType, Vec<usize>),
    },
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType { text } => {
                let known: Vec<&str> = DataType::ALL.iter().map(|t| t.as_str()).collect();
                write!(f, "{text:?} is no data type; known are {}", known.join(", "))
            }
            Self::WrongLength { shape, got } => {
                write!(f, "shape {shape:?} needs {} values, got {got}", shape.iter().product::<usize>())
            }
            Self::ShapeTooLarge { shape } => write!(f, "shape {shape:?} has too many elements"),
            Self::CannotJoin { first, other } => {
                write!(f, "{} {:?} and {} {:?} cannot be joined", first.0, first.1, other.0, other.1)
            }
        }
    }
}

impl std::error::Error for TensorError {}

/// Values with a shape, row-major. The product of the shape always equals the number of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of this shape over these values.
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] or [`TensorError::ShapeTooLarge`].
    pub fn new(shape: Vec<usize>, data: TensorData) -> Result<Self, TensorError> {
        let Some(want) = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) else {
            return Err(TensorError::ShapeTooLarge { shape });
        };
        if want != data.len() {
            return Err(TensorError::WrongLength { got: data.len(), shape });
        }
        Ok(Self { shape, data })
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The element type.
    pub fn data_type(&self) -> DataType {
        self.data.data_type()
    }

    /// The shape and values, taken apart.
    pub fn into_parts(self) -> (Vec<usize>, TensorData) {
        (self.shape, self.data)
    }

    /// The values as `f32`, where they are.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The first dimension, or 1 for a scalar.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Joins tensors along the first dimension, in order.
    ///
    /// # Errors
    /// [`TensorError::CannotJoin`] where types or the other dimensions differ, or one is a scalar.
    pub fn join(tensors: &[&Self]) -> Result<Self, TensorError> {
        let describe = |t: &Self| (t.data_type(), t.shape.clone());
        let first = tensors.first().expect("the caller joins at least one tensor");
        let mut shape = first.shape.clone();
        let mut data = first.data.clone();
        for other in &tensors[1..] {
            let fits = !shape.is_empty() && !other.shape.is_empty() && shape[1..] == other.shape[1..];
            if !fits || !data.append(&other.data) {
                return Err(TensorError::CannotJoin { first: describe(first), other: describe(other) });
            }
            shape[0] += other.shape[0];
        }
        Ok(Self { shape, data })
    }

    /// Rows `from..to` of the first dimension, copied.
    ///
    /// # Panics
    /// Where the range is not inside the first dimension.
    pub fn slice_rows(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.rows() && !self.shape.is_empty(), "rows {from}..{to}");
        let row: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = to - from;
        Self { shape, data: self.data.slice(from * row, to * row) }
    }
}

/// A tensor with the name by which a network or a request knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name.
    pub name: String,
    /// The values.
    pub tensor: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_must_hold_the_values() {
        assert!(Tensor::new(vec![2, 3], vec![0f32; 6].into()).is_ok());
        assert!(Tensor::new(vec![], vec![1f32].into()).is_ok());
        let wrong = Tensor::new(vec![2, 3], vec![0f32; 5].into()).expect_err("too few");
        assert_eq!(wrong.to_string(), "shape [2, 3] needs 6 values, got 5");
        let huge = Tensor::new(vec![usize::MAX, 2], vec![0f32; 2].into()).expect_err("overflow");
        assert!(matches!(huge, TensorError::ShapeTooLarge { .. }));
    }

    #[test]
    fn what_is_joined_can_be_sliced_apart() {
        let a = Tensor::new(vec![1, 2], vec![1i64, 2].into()).expect("fits");
        let b = Tensor::new(vec![2, 2], vec![3i64, 4, 5, 6].into()).expect("fits");
        let both = Tensor::join(&[&a, &b]).expect("same type and row shape");
        assert_eq!(both.shape(), [3, 2]);
        assert_eq!(both.slice_rows(0, 1), a);
        assert_eq!(both.slice_rows(1, 3), b);
        let other = Tensor::new(vec![1, 2], vec![1f32, 2.0].into()).expect("fits");
        assert!(Tensor::join(&[&a, &other]).is_err());
    }

    #[test]
    fn every_type_name_reads_back() {
        for data_type in DataType::ALL {
            assert_eq!(data_type.as_str().parse(), Ok(data_type));
        }
        assert!("FLOAT".parse::<DataType>().is_err());
    }
}
