//! One inference as it travels through the server, free of any protocol.

use std::time::Instant;

use crate::{ModelName, NamedTensor, Version, VersionSelector};

/// Who asks, opaque to everything below the front ends; it rides along for the audit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Caller(pub String);

/// The instant after which an answer is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// Whether it has passed at `now`.
    pub fn is_past(self, now: Instant) -> bool {
        now >= self.0
    }
}

/// Named tensors for one model.
#[derive(Clone, Debug)]
pub struct InferRequest {
    /// The model asked.
    pub model: ModelName,
    /// Which version; none means the alias `live`.
    pub version: Option<VersionSelector>,
    /// The inputs, in any order.
    pub inputs: Vec<NamedTensor>,
    /// The outputs wanted; empty means all.
    pub outputs: Vec<String>,
    /// When the answer stops being of use.
    pub deadline: Deadline,
    /// Who asks.
    pub caller: Caller,
}

/// The answer to an [`InferRequest`].
#[derive(Clone, Debug)]
pub struct InferResponse {
    /// The model that answered.
    pub model: ModelName,
    /// The version that answered.
    pub version: Version,
    /// The outputs, in the signature's order (or the order asked for).
    pub outputs: Vec<NamedTensor>,
}
