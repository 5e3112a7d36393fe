//! Loads the network of a model version and runs it.
//!
//! Behind one trait stand: [`Native`] for networks that were trained here, [`NativeOnnx`] for ONNX from elsewhere
//! that is a chain of layers which our own engine has, [`OnnxRuntime`] for all other ONNX where its library
//! is installed, [`Rten`] for a part of ONNX in pure Rust where it is not. No engine sees outside bytes before [`inspect_onnx`] has walked them, and what an engine is
//! known to compute wrongly is refused by name. This crate never waits, reads no clock and no environment.

mod error;
mod guard;
mod inspect;
mod library;
mod native;
mod native_onnx;
mod onnxruntime;
mod parity;
mod rten;
mod runtime;
mod runtimes;
mod split;
mod stepwise;

pub use error::RuntimeError;
pub use inspect::{OnnxLimits, OnnxSummary, inspect_onnx};
pub use library::usual_onnxruntime_paths;
pub use native::Native;
pub use native_onnx::NativeOnnx;
pub use onnxruntime::OnnxRuntime;
pub use parity::{Difference, ParityReport, parity};
pub use rten::Rten;
pub use runtime::{LoadOptions, LoadedModel, ModelFiles, PAST, Runtime, Session};
pub use runtimes::{RuntimeConfig, RuntimeReport, Runtimes, instruction_sets};
pub use split::{SplitOnnx, Stage, split_onnx};
