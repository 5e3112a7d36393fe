//! The Open Inference Protocol, version 2, over HTTP and gRPC, with raw tensors and Triton's extensions.
//!
//! Sources: <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md`
//! and `binary_data.md`; <https://github.com/triton-inference-server/server>, `docs/protocol/`.
//! An extension is announced once it works.

mod about;
mod answer;
mod classify;
mod convert;
pub(crate) mod grpc;
pub(crate) mod http;
mod infer;
mod repository;
mod request;
mod settings;
pub(crate) mod shared_memory;
#[cfg(test)]
mod tests;
mod wire;

pub use grpc::{GrpcServers, decode_grpc, decode_grpc_answer, decode_grpc_metadata};
pub use request::{DecodedRequest, Parameters, WantedOutput};
pub use shared_memory::{Place, SharedInput};
pub use wire::{decode_binary, decode_json};
