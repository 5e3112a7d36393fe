//! An inference request and what may be asked of its answer, alike for JSON, binary tensors and gRPC.

use modelyard_serve::{SequenceId, SequenceStep};
use modelyard_types::NamedTensor;

use super::shared_memory::{Place, SharedInput};
use crate::error::Failure;

/// An inference request as any of the protocol's wires carried it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedRequest {
    /// The caller's own name for the request, given back with the answer.
    pub id: Option<String>,
    /// The inputs, in the request's order.
    pub inputs: Vec<NamedTensor>,
    /// Inputs whose values lie in memory that is shared with the caller, and are not read yet.
    pub shared: Vec<SharedInput>,
    /// The outputs asked for; empty means all.
    pub outputs: Vec<WantedOutput>,
    /// What was asked of the request as a whole.
    pub parameters: Parameters,
    /// Its place in a sequence, where it belongs to one.
    pub sequence: Option<SequenceStep>,
}

impl DecodedRequest {
    /// The names of the outputs asked for.
    pub(crate) fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// Where each of these outputs was asked to be written; nothing at all where none was.
    pub(crate) fn places(&self, outputs: &[NamedTensor]) -> Vec<Option<Place>> {
        if self.outputs.iter().all(|wanted| wanted.place.is_none()) {
            return Vec::new();
        }
        outputs.iter().map(|output| self.wanted(&output.name)?.place.clone()).collect()
    }

    /// How this output was asked for.
    pub(crate) fn wanted(&self, name: &str) -> Option<&WantedOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// An output that was asked for by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedOutput {
    /// Its name.
    pub name: String,
    /// Whether its values are to come behind the JSON as raw bytes; none where the request's
    /// [`Parameters::binary_data_output`] decides.
    pub binary: Option<bool>,
    /// How many of the likeliest classes are wanted in place of the values; 0 for the values.
    pub classes: usize,
    /// Where its values are to be written, where that is not the answer.
    pub place: Option<Place>,
}

/// The `parameters` of a request that mean something here; others are let pass unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Whether outputs come as raw bytes where they do not say so themselves.
    pub binary_data_output: bool,
    /// How long the answer may take, in microseconds; 0 leaves it to the server.
    pub timeout_us: u64,
    /// 1 goes first, greater numbers later; 0 is the priority of those that name none.
    pub priority: u32,
}

/// Most bytes of a sequence's name.
const SEQUENCE_NAME_BYTES_MAX: usize = 128;

/// A request's place in a sequence, by Triton's parameters: 0 and the empty text name none.
///
/// # Errors
/// A name that is too long, or a start or an end of no sequence.
pub(super) fn sequence(
    id: Option<SequenceId>,
    start: bool,
    end: bool,
) -> Result<Option<SequenceStep>, Failure> {
    match id {
        Some(SequenceId::Text(name)) if name.len() > SEQUENCE_NAME_BYTES_MAX => {
            let bytes = name.len();
            let message =
                format!("sequence_id has {bytes} bytes, at most {SEQUENCE_NAME_BYTES_MAX} are taken");
            Err(Failure::invalid(message))
        }
        None | Some(SequenceId::Number(0)) if start || end => {
            let message = "sequence_start and sequence_end need a sequence_id other than 0";
            Err(Failure::invalid(message).with_hint("give a number, or a text"))
        }
        None | Some(SequenceId::Number(0)) => Ok(None),
        Some(SequenceId::Text(name)) if name.is_empty() => sequence(None, start, end),
        Some(id) => Ok(Some(SequenceStep { id, start, end })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_has_a_name() {
        let text = |text: &str| Some(SequenceId::Text(text.to_owned()));
        let step = SequenceStep { id: SequenceId::Number(7), start: true, end: false };
        assert_eq!(sequence(Some(SequenceId::Number(7)), true, false), Ok(Some(step)));
        assert_eq!(sequence(Some(SequenceId::Number(0)), false, false), Ok(None));
        assert_eq!(sequence(text(""), false, false), Ok(None));
        for (id, want) in [
            (None, "need a sequence_id"),
            (text(""), "need a sequence_id"),
            (text(&"x".repeat(200)), "sequence_id has 200 bytes, at most 128"),
        ] {
            let failure = sequence(id, true, false).expect_err(want);
            assert!(failure.message().contains(want), "{}", failure.message());
        }
    }
}
