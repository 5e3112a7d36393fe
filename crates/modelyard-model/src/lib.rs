//! Declared networks: what they are, how they are computed, trained, stored and written as ONNX.
//!
//! A network is a list of layers that is known before the first number is computed, so nothing is taped:
//! shapes are inferred once ([`NetworkSpec`]), buffers are laid out once, and [`Engine`] and [`Forward`]
//! then run without allocating. It is a *define, then run* engine and no general tensor library.

mod activation;
mod cpu;
mod engine;
mod engine_state;
mod error;
mod export;
mod forward;
mod inference;
mod initializer;
mod kernels;
mod layers;
mod learner;
mod losses;
mod names;
mod network;
pub mod onnx;
mod op;
mod optimizers;
mod plan;
mod rng;
mod shard;
mod spec;
mod targets;

pub use activation::Activation;
pub use engine::{Engine, EngineConfig, Step};
pub use error::ModelError;
pub use forward::Forward;
pub use initializer::Initializer;
pub use layers::{
    ActivationLayer, AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, LayerNorm, LayerSpec, MaxPool2d,
    MultiHeadAttention, Padding, PositionalEncoding, PositionalKind, Size2d, TransformerEncoder,
};
pub use losses::{BinaryCrossEntropy, CrossEntropy, Huber, LossSpec, MeanAbsoluteError, MeanSquaredError};
pub use names::name_or_table;
pub use network::{NETWORK_FORMAT_VERSION, Network};
pub use optimizers::{Adam, AdamW, OptimizerSpec, RmsProp, Sgd};
pub use rng::Rng;
pub use spec::{LayerSummary, NetworkSpec};
pub use targets::Targets;
