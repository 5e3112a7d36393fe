//! Loads the network of a model version and runs it.
//!
//! Three engines stand behind one trait: [`Native`] runs networks that were trained here, [`OnnxRuntime`]
//! runs ONNX from elsewhere where its library is installed, [`Rten`] runs a part of ONNX in pure Rust where
//! it is not. No engine sees outside bytes before [`inspect_onnx`] has walked them, and what an engine is
//! known to compute wrongly is refused by name. This crate never waits, reads no clock and no environment.

mod error;
mod guard;
mod inspect;
mod library;
mod native;
mod onnxruntime;
mod parity;
mod rten;
mod runtime;
mod runtimes;

pub use error::RuntimeError;
pub use inspect::{OnnxLimits, OnnxSummary, inspect_onnx};
pub use library::usual_onnxruntime_paths;
pub use native::Native;
pub use onnxruntime::OnnxRuntime;
pub use parity::{Difference, ParityReport, parity};
pub use rten::Rten;
pub use runtime::{LoadOptions, LoadedModel, ModelFiles, Runtime, Session};
pub use runtimes::{RuntimeConfig, RuntimeReport, Runtimes, instruction_sets};
