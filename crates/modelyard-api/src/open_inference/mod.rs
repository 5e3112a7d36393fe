//! The Open Inference Protocol, version 2, over HTTP and JSON.
//!
//! Source: <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md`.
//! No extension is announced: none works yet.

mod convert;
pub(crate) mod http;
#[cfg(test)]
mod tests;
mod wire;

pub use wire::{DecodedRequest, decode_json};
