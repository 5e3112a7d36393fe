//! Counts what a protobuf decoder would build, without building it: a file of empty messages two bytes each
//! would otherwise take two hundred times its size in memory.

use super::{OnnxLimits, check_max};
use crate::RuntimeError;

/// Nesting of messages of any kind; protobuf decoders stop at 100 as well.
const NESTING_MAX: usize = 90;
/// Numbers stored one by one (shapes, attribute lists), whose decoded form is larger than their bytes.
const NUMBERS_MAX: usize = 64_000_000;

/// The messages that hold other messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    NestedType,
    MapType,
    Shape,
    Function,
    Leaf,
}

/// Which message stands in a field, if any.
fn child(kind: Kind, field: u64) -> Option<Kind> {
    let child = match (kind, field) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Model, 25) => Kind::Function,
        (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
        (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
        (Kind::Graph, 11..=13) => Kind::ValueInfo,
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Kind::Sparse,
        (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
        (Kind::Attribute, 6 | 11) => Kind::Graph,
        (Kind::Attribute, 14) | (Kind::ValueInfo, 2) => Kind::Type,
        (Kind::NestedType, 1) | (Kind::MapType, 2) => Kind::Type,
        (Kind::Type, 1 | 8) => Kind::TensorType,
        (Kind::Type, 4 | 9) => Kind::NestedType,
        (Kind::Type, 5) => Kind::MapType,
        (Kind::TensorType, 2) => Kind::Shape,
        (Kind::Model, 8 | 14) | (Kind::Function, 9) | (Kind::Tensor, 13) | (Kind::Shape, 1) => Kind::Leaf,
        _ => return None,
    };
    Some(child)
}

struct Scan<'a> {
    limits: &'a OnnxLimits,
    messages: usize,
    numbers: usize,
}

/// Checks that the bytes are well-formed protobuf and within the limits on counts and nesting.
pub(super) fn scan(bytes: &[u8], limits: &OnnxLimits) -> Result<(), RuntimeError> {
    if bytes.get(4..8) == Some(b"ORTM") {
        return Err(RuntimeError::RefusedOnnx {
            reason: "it is a file in ONNX Runtime's own ORT format".to_owned(),
            hint: Some("bring the .onnx file that it was made from".to_owned()),
        });
    }
    Scan { limits, messages: 0, numbers: 0 }.message(bytes, Kind::Model, 0)
}

impl Scan<'_> {
    fn message(&mut self, mut bytes: &[u8], kind: Kind, nesting: usize) -> Result<(), RuntimeError> {
        check_max("the nesting of its messages", nesting, NESTING_MAX)?;
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    self.count_number()?;
                }
                1 => {
                    take(&mut bytes, 8)?;
                    self.count_number()?;
                }
                2 => {
                    let length = varint(&mut bytes)?;
                    let body = take(&mut bytes, length)?;
                    self.body(body, kind, key >> 3, nesting)?;
                }
                5 => {
                    take(&mut bytes, 4)?;
                    self.count_number()?;
                }
                other => {
                    return Err(RuntimeError::invalid(format!("a field has the unknown wire type {other}")));
                }
            }
        }
        Ok(())
    }

    fn body(&mut self, body: &[u8], kind: Kind, field: u64, nesting: usize) -> Result<(), RuntimeError> {
        self.messages += 1;
        check_max("the number of its messages and texts", self.messages, self.limits.messages_max)?;
        match child(kind, field) {
            Some(child) => self.message(body, child, nesting + 1),
            None => Ok(()),
        }
    }

    fn count_number(&mut self) -> Result<(), RuntimeError> {
        self.numbers += 1;
        check_max("the number of its single numbers", self.numbers, NUMBERS_MAX)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, RuntimeError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RuntimeError::invalid("a number in it has more than ten bytes"))
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], RuntimeError> {
    let taken = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let Some((head, tail)) = taken else {
        return Err(RuntimeError::invalid(format!(
            "it ends {} bytes too early: is the file cut short?",
            length.saturating_sub(bytes.len() as u64)
        )));
    };
    *bytes = tail;
    Ok(head)
}
