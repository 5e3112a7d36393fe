//! The shared vocabulary: what a tensor, a signature, a name, a request and an error kind are.
//!
//! Every other crate stands on this one, so it has no serde, no async and no I/O, and a type enters
//! only when three crates need it.

mod clock;
mod error_kind;
mod names;
mod request;
mod signature;
mod tensor;

pub use clock::Clock;
pub use error_kind::ErrorKind;
pub use names::{Alias, ModelName, NameError, Version, VersionSelector};
pub use request::{Caller, Deadline, InferRequest, InferResponse};
pub use signature::{Dim, Signature, SignatureError, TensorSpec};
pub use tensor::{DataType, NamedTensor, Tensor, TensorData, TensorError};
