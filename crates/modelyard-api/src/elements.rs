//! JSON numbers straight into tensors: a visitor that fills the vector of the right element type, whether
//! the values come flat or nested as deep as the shape, and never builds a tree of them in between.

use std::fmt;
use std::marker::PhantomData;

use half::f16;
use modelyard_types::{DataType, TensorData};
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// One JSON scalar.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Unsigned(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "the text {:?}", text.chars().take(40).collect::<String>()),
        }
    }
}

/// How one data type reads a scalar; none where it cannot hold it.
trait Element {
    const TYPE: DataType;
    type Stored;
    fn take(scalar: Scalar<'_>) -> Option<Self::Stored>;
}

macro_rules! whole_numbers {
    ($($kind:ident $stored:ty),*) => {$(
        struct $kind;
        impl Element for $kind {
            const TYPE: DataType = DataType::$kind;
            type Stored = $stored;
            fn take(scalar: Scalar<'_>) -> Option<$stored> {
                match scalar {
                    Scalar::Unsigned(value) => value.try_into().ok(),
                    Scalar::Signed(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

whole_numbers!(U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64);

fn number(scalar: Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Unsigned(value) => Some(value as f64),
        Scalar::Signed(value) => Some(value as f64),
        Scalar::Float(value) => Some(value),
        Scalar::Bool(_) | Scalar::Text(_) => None,
    }
}

struct F16;
impl Element for F16 {
    const TYPE: DataType = DataType::F16;
    type Stored = u16;
    fn take(scalar: Scalar<'_>) -> Option<u16> {
        Some(f16::from_f64(number(scalar)?)).filter(|value| value.is_finite()).map(f16::to_bits)
    }
}

struct F32;
impl Element for F32 {
    const TYPE: DataType = DataType::F32;
    type Stored = f32;
    fn take(scalar: Scalar<'_>) -> Option<f32> {
        Some(number(scalar)? as f32).filter(|value| value.is_finite())
    }
}

struct F64;
impl Element for F64 {
    const TYPE: DataType = DataType::F64;
    type Stored = f64;
    fn take(scalar: Scalar<'_>) -> Option<f64> {
        number(scalar).filter(|value| value.is_finite())
    }
}

struct Bool;
impl Element for Bool {
    const TYPE: DataType = DataType::Bool;
    type Stored = bool;
    fn take(scalar: Scalar<'_>) -> Option<bool> {
        match scalar {
            Scalar::Bool(value) => Some(value),
            _ => None,
        }
    }
}

struct Text;
impl Element for Text {
    const TYPE: DataType = DataType::Bytes;
    type Stored = Vec<u8>;
    fn take(scalar: Scalar<'_>) -> Option<Vec<u8>> {
        match scalar {
            Scalar::Text(text) => Some(text.as_bytes().to_vec()),
            _ => None,
        }
    }
}

/// An empty vector of this type, with room for so many values.
pub(crate) fn empty(data_type: DataType, capacity: usize) -> TensorData {
    match data_type {
        DataType::Bool => TensorData::Bool(Vec::with_capacity(capacity)),
        DataType::U8 => TensorData::U8(Vec::with_capacity(capacity)),
        DataType::U16 => TensorData::U16(Vec::with_capacity(capacity)),
        DataType::U32 => TensorData::U32(Vec::with_capacity(capacity)),
        DataType::U64 => TensorData::U64(Vec::with_capacity(capacity)),
        DataType::I8 => TensorData::I8(Vec::with_capacity(capacity)),
        DataType::I16 => TensorData::I16(Vec::with_capacity(capacity)),
        DataType::I32 => TensorData::I32(Vec::with_capacity(capacity)),
        DataType::I64 => TensorData::I64(Vec::with_capacity(capacity)),
        DataType::F16 => TensorData::F16(Vec::with_capacity(capacity)),
        DataType::F32 => TensorData::F32(Vec::with_capacity(capacity)),
        DataType::F64 => TensorData::F64(Vec::with_capacity(capacity)),
        DataType::Bytes => TensorData::Bytes(Vec::with_capacity(capacity)),
    }
}

/// What is known of the nesting while values come in.
#[derive(Clone, Debug)]
pub(crate) struct Nesting {
    /// The sizes from the outside in; none where the first array that closes decides.
    pub(crate) sizes: Vec<Option<usize>>,
    /// Whether all values may also stand in one flat array.
    pub(crate) flat: bool,
    /// In how many arrays the values stand, once one was seen.
    depth: Option<usize>,
}

impl Nesting {
    /// Nested as deep as there are sizes, or flat where that is allowed.
    pub(crate) fn new(sizes: Vec<Option<usize>>, flat: bool) -> Self {
        Self { sizes, flat, depth: None }
    }

    #[inline]
    fn value<E: Error>(&mut self, depth: usize) -> Result<(), E> {
        if self.depth == Some(depth) { Ok(()) } else { self.first(depth) }
    }

    #[cold]
    fn first<E: Error>(&mut self, depth: usize) -> Result<(), E> {
        let fits = depth == self.sizes.len() || (self.flat && depth == 1);
        if self.depth.is_some() || !fits {
            let (got, want) = (depth, self.sizes.len());
            return Err(E::custom(format!(
                "a value stands in {got} nested arrays, the shape asks for {want}"
            )));
        }
        self.depth = Some(depth);
        Ok(())
    }

    fn close<E: Error>(&mut self, depth: usize, count: usize) -> Result<(), E> {
        let flat = self.flat && self.depth == Some(1) && self.sizes.len() != 1;
        if flat && depth == 1 {
            return Ok(());
        }
        match self.sizes.get_mut(depth - 1) {
            Some(Some(want)) if *want == count => Ok(()),
            Some(size @ None) => {
                *size = Some(count);
                Ok(())
            }
            Some(Some(want)) => {
                Err(E::custom(format!("an array has {count} elements, the shape asks for {want}")))
            }
            None => Err(E::custom(format!(
                "arrays are nested deeper than the shape, which has {} dimensions",
                self.sizes.len()
            ))),
        }
    }
}

/// Appends the values of one JSON value to a tensor's data.
pub(crate) struct Fill<'a> {
    pub(crate) data: &'a mut TensorData,
    pub(crate) nesting: &'a mut Nesting,
    /// In how many arrays this JSON value stands already.
    pub(crate) depth: usize,
}

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { data, nesting, depth } = self;
        macro_rules! node {
            ($kind:ty, $out:expr) => {
                Node::<$kind> { out: $out, nesting, depth, kind: PhantomData }.deserialize(deserializer)
            };
        }
        match data {
            TensorData::Bool(out) => node!(Bool, out),
            TensorData::U8(out) => node!(U8, out),
            TensorData::U16(out) => node!(U16, out),
            TensorData::U32(out) => node!(U32, out),
            TensorData::U64(out) => node!(U64, out),
            TensorData::I8(out) => node!(I8, out),
            TensorData::I16(out) => node!(I16, out),
            TensorData::I32(out) => node!(I32, out),
            TensorData::I64(out) => node!(I64, out),
            TensorData::F16(out) => node!(F16, out),
            TensorData::F32(out) => node!(F32, out),
            TensorData::F64(out) => node!(F64, out),
            TensorData::Bytes(out) => node!(Text, out),
        }
    }
}

struct Node<'a, K: Element> {
    out: &'a mut Vec<K::Stored>,
    nesting: &'a mut Nesting,
    depth: usize,
    kind: PhantomData<K>,
}

impl<K: Element> Node<'_, K> {
    #[inline]
    fn push<E: Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        self.nesting.value(self.depth)?;
        match K::take(scalar) {
            Some(value) => self.out.push(value),
            None => return Err(misfit(scalar, K::TYPE)),
        }
        Ok(())
    }
}

#[cold]
fn misfit<E: Error>(scalar: Scalar<'_>, data_type: DataType) -> E {
    E::custom(format!("{scalar} is no {data_type}"))
}

impl<'de, K: Element> DeserializeSeed<'de> for Node<'_, K> {
    type Value = ();
    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Element> Visitor<'de> for Node<'_, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "values of type {}, flat or nested as the shape", K::TYPE)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(Scalar::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Scalar::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        let mut count = 0;
        loop {
            let item = Node::<K> { out: self.out, nesting: self.nesting, depth, kind: PhantomData };
            match items.next_element_seed(item)? {
                Some(()) => count += 1,
                None => return self.nesting.close(depth, count),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, data_type: DataType, sizes: &[usize], flat: bool) -> Result<TensorData, String> {
        let mut data = empty(data_type, 0);
        let mut nesting = Nesting::new(sizes.iter().map(|&size| Some(size)).collect(), flat);
        let fill = Fill { data: &mut data, nesting: &mut nesting, depth: 0 };
        fill.deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|e| e.to_string())?;
        Ok(data)
    }

    #[test]
    fn flat_and_nested_read_alike() {
        let want = Ok(TensorData::F32(vec![1.0, -2.5, 3e2, 4.0]));
        assert_eq!(read("[1, -2.5, 3e2, 4]", DataType::F32, &[2, 2], true), want);
        assert_eq!(read("[[1, -2.5], [3e2, 4]]", DataType::F32, &[2, 2], true), want);
    }

    #[test]
    fn every_type_takes_what_it_can_hold() {
        for (data_type, json, want) in [
            (DataType::Bool, "[true, false]", TensorData::Bool(vec![true, false])),
            (DataType::U8, "[0, 255]", TensorData::U8(vec![0, 255])),
            (DataType::U16, "[0, 65535]", TensorData::U16(vec![0, 65535])),
            (DataType::U32, "[1, 4294967295]", TensorData::U32(vec![1, u32::MAX])),
            (DataType::U64, "[1, 18446744073709551615]", TensorData::U64(vec![1, u64::MAX])),
            (DataType::I8, "[-128, 127]", TensorData::I8(vec![-128, 127])),
            (DataType::I16, "[-1, 1]", TensorData::I16(vec![-1, 1])),
            (DataType::I32, "[-1, 1]", TensorData::I32(vec![-1, 1])),
            (DataType::I64, "[-9223372036854775808, 1]", TensorData::I64(vec![i64::MIN, 1])),
            (DataType::F16, "[1, -2]", TensorData::F16(vec![0x3C00, 0xC000])),
            (DataType::F64, "[1e300, 1]", TensorData::F64(vec![1e300, 1.0])),
            (DataType::Bytes, "[\"a\", \"é\"]", TensorData::Bytes(vec![b"a".to_vec(), "é".into()])),
        ] {
            assert_eq!(read(json, data_type, &[2], true), Ok(want), "{data_type}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (json, data_type, want) in [
            ("[1, 256, 3, 4]", DataType::U8, "256 is no UINT8"),
            ("[1, 1.5, 3, 4]", DataType::I64, "1.5 is no INT64"),
            ("[-1, 1, 1, 1]", DataType::U32, "-1 is no UINT32"),
            ("[1e39, 1, 1, 1]", DataType::F32, "is no FP32"),
            ("[1e999, 1, 1, 1]", DataType::F64, "number out of range"),
            ("[\"NaN\", 1, 1, 1]", DataType::F32, "the text \"NaN\" is no FP32"),
            ("[null, 1, 1, 1]", DataType::F32, "invalid type: null"),
            ("[NaN, 1, 1, 1]", DataType::F32, "expected"),
            ("[[1, 2], [3]]", DataType::F32, "an array has 1 elements, the shape asks for 2"),
            ("[[1, 2], 3, 4]", DataType::F32, "a value stands in 1 nested arrays, the shape asks for 2"),
            ("[1, 2, [3, 4]]", DataType::F32, "a value stands in 2 nested arrays"),
            ("[[[1, 2]], [[3, 4]]]", DataType::F32, "a value stands in 3 nested arrays"),
            ("[[[]]]", DataType::F32, "nested deeper"),
            ("7", DataType::F32, "a value stands in 0 nested arrays"),
            ("{}", DataType::F32, "invalid type: map"),
        ] {
            let error = read(json, data_type, &[2, 2], true).expect_err(json);
            assert!(error.contains(want), "{json}: {error}");
        }
    }
}
