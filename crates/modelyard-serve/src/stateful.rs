//! What a network from elsewhere wants of sequences: inputs that tell it of a request's place in one, and outputs
//! that come back as inputs with the sequence's next request.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/user_guide/model_configuration.md`, stateful
//! models.

use std::time::Duration;

use modelyard_types::{DataType, TensorData, TensorSpec};

use crate::sequence::{SequenceId, SequenceStep};

/// A network that answers requests of sequences only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceSettings {
    /// How long a sequence lives without a request; the server's own limit where none is said.
    pub idle: Option<Duration>,
    /// Whether its tensors have rows first, of which a request of a sequence has one.
    pub has_rows: bool,
    /// The inputs that the server fills.
    pub controls: Vec<Control>,
    /// What is kept between the requests of one sequence.
    pub states: Vec<KeptState>,
}

/// An input of one element a row, by which the network is told of a request's place in its sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// The input.
    pub input: String,
    /// What it tells.
    pub tells: Tells,
}

/// What a control tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tells {
    /// Whether the sequence begins with this request.
    Start(Flag),
    /// Whether there is a request, as there always is.
    Ready(Flag),
    /// Whether the sequence ends with this request.
    End(Flag),
    /// The sequence's name as an element of this type: a text for BYTES, else a whole number.
    Id(DataType),
}

/// The elements that stand for no and yes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flag {
    /// As INT32.
    I32([i32; 2]),
    /// As FP32.
    F32([f32; 2]),
    /// As BOOL.
    Bool([bool; 2]),
}

/// An output whose values are the input of the sequence's next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptState {
    /// The input: its name, type and sizes, with the rows where there are any.
    pub input: TensorSpec,
    /// The name of the output.
    pub output: String,
    /// The sizes of the zeros, or empty texts, that a sequence begins with.
    pub initial: Vec<usize>,
}

impl Tells {
    /// The type of the input's element.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Start(flag) | Self::Ready(flag) | Self::End(flag) => match flag {
                Flag::I32(_) => DataType::I32,
                Flag::F32(_) => DataType::F32,
                Flag::Bool(_) => DataType::Bool,
            },
            Self::Id(data_type) => data_type,
        }
    }

    /// The element for a request; none where the sequence's name has no such form.
    pub(crate) fn element(self, step: &SequenceStep) -> Option<TensorData> {
        match self {
            Self::Start(flag) => Some(flag.element(step.start)),
            Self::Ready(flag) => Some(flag.element(true)),
            Self::End(flag) => Some(flag.element(step.end)),
            Self::Id(data_type) => name(&step.id, data_type),
        }
    }
}

impl Flag {
    fn element(self, truth: bool) -> TensorData {
        let at = usize::from(truth);
        match self {
            Self::I32(values) => TensorData::I32(vec![values[at]]),
            Self::F32(values) => TensorData::F32(vec![values[at]]),
            Self::Bool(values) => TensorData::Bool(vec![values[at]]),
        }
    }
}

fn name(id: &SequenceId, data_type: DataType) -> Option<TensorData> {
    match (id, data_type) {
        (SequenceId::Text(text), DataType::Bytes) => Some(TensorData::Bytes(vec![text.clone().into_bytes()])),
        (SequenceId::Number(number), DataType::U64) => Some(TensorData::U64(vec![*number])),
        (SequenceId::Number(number), DataType::I64) => {
            Some(TensorData::I64(vec![(*number).try_into().ok()?]))
        }
        (SequenceId::Number(number), DataType::U32) => {
            Some(TensorData::U32(vec![(*number).try_into().ok()?]))
        }
        (SequenceId::Number(number), DataType::I32) => {
            Some(TensorData::I32(vec![(*number).try_into().ok()?]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_tells_of_the_requests_place() {
        let step = SequenceStep { id: SequenceId::Number(1 << 40), start: true, end: false };
        assert_eq!(Tells::Start(Flag::I32([0, 7])).element(&step), Some(TensorData::I32(vec![7])));
        assert_eq!(Tells::End(Flag::F32([0.5, 1.0])).element(&step), Some(TensorData::F32(vec![0.5])));
        assert_eq!(
            Tells::Ready(Flag::Bool([true, false])).element(&step),
            Some(TensorData::Bool(vec![false]))
        );
        assert_eq!(Tells::Id(DataType::I64).element(&step), Some(TensorData::I64(vec![1 << 40])));
        for unfit in [DataType::I32, DataType::U32, DataType::Bytes] {
            assert_eq!(Tells::Id(unfit).element(&step), None, "{unfit}");
        }
        let text = SequenceStep { id: SequenceId::Text("a".to_owned()), ..step };
        assert_eq!(Tells::Id(DataType::Bytes).element(&text), Some(TensorData::Bytes(vec![b"a".to_vec()])));
        assert_eq!(Tells::Id(DataType::U64).element(&text), None);
    }
}
