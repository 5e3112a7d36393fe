//! Asks a running server: tensors by the Open Inference Protocol v2 over HTTP, raw or as JSON, and rows by name.
//!
//! Made for Modelyard's server; the tensors are spoken by NVIDIA's and KServe's as well. Calls are async and share
//! connections; a call that may be sent again is, within its time. `https` is left to a proxy beside the caller.
//!
//! ```no_run
//! use modelyard_client::{Client, ClientConfig, Inference};
//! use modelyard_types::{NamedTensor, Tensor};
//!
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new("http://127.0.0.1:8080", ClientConfig::default())?;
//! let tensor = Tensor::new(vec![1, 3], vec![0.7_f32, 1.0, 0.0].into())?;
//! let input = NamedTensor { name: "input".to_owned(), tensor };
//! let answer = client.infer(&Inference::new("pump", vec![input])).await?;
//! println!("version {}: {:?}", answer.version, answer.outputs[0].tensor.as_f32());
//! # Ok(())
//! # }
//! ```

mod about;
mod address;
mod client;
mod error;
mod http;
mod inference;
mod json_values;
pub mod raw;
mod sequence;

pub use about::{ModelMetadata, ServerMetadata};
pub use client::{Client, ClientConfig};
pub use error::ClientError;
pub use inference::{Form, Inference, InferenceAnswer, SequenceId, SequencePlace};
pub use sequence::ModelSequence;
