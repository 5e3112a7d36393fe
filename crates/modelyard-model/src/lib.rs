//! Declared networks: what they are, how they are computed, trained, stored and written as ONNX.
//!
//! A network is a list of layers, or a graph where they name whose values they take, that is known before the first number is computed, so nothing is taped:
//! shapes are inferred once ([`NetworkSpec`]), buffers are laid out once, and [`Engine`] and [`Forward`]
//! then run without allocating. It is a *define, then run* engine and no general tensor library.

mod activation;
mod cpu;
mod decoder;
mod ending;
mod engine;
mod engine_state;
mod error;
mod export;
mod forward;
mod generate;
mod inference;
mod initializer;
mod kernels;
mod layers;
mod layout;
mod learner;
mod losses;
mod masks;
mod memory;
mod names;
mod network;
mod node;
pub mod onnx;
mod op;
mod optimizers;
mod plan;
mod rng;
mod sampling;
mod shard;
mod spec;
mod stages;
mod stepwise;
mod targets;
mod token_steps;
mod tokens;
mod wiring;

pub use activation::Activation;
pub use decoder::standard_normal;
pub use engine::{Engine, EngineConfig, Step};
pub use error::ModelError;
pub use forward::Forward;
pub use generate::Generator;
pub use initializer::Initializer;
pub use layers::{
    ActivationLayer, Add, AvgPool1d, AvgPool2d, BatchNorm, Bidirectional, Concatenate, Conv1d, Conv2d,
    Conv2dTranspose, Dense, DepthwiseConv2d, Dropout, Embedding, Ends, Flatten, GaussianSample,
    GlobalAvgPool1d, GlobalAvgPool2d, GlobalMaxPool1d, GlobalMaxPool2d, GroupNorm, Gru, Interpolation,
    LayerNorm, LayerSpec, Lstm, MaxPool1d, MaxPool2d, Merge, MultiHeadAttention, Multiply, Padding,
    PositionalEncoding, PositionalKind, RecurrentSpec, Repeat, Reshape, RnnActivation, SeparableConv2d,
    Sides2d, SimpleRnn, Size2d, StepPadding, TimeDistributed, TransformerDecoder, TransformerEncoder,
    Upsample2d, ZeroPad1d, ZeroPad2d,
};
pub use losses::{
    BinaryCrossEntropy, CrossEntropy, Focal, Huber, LossSpec, MeanAbsoluteError, MeanSquaredError, Quantile,
};
pub use names::name_or_table;
pub use network::{NETWORK_FORMAT_VERSION, Network, TakenWeights, WeightArray};
pub use node::{InputPart, Node};
pub use optimizers::{Adam, AdamW, OptimizerSpec, RmsProp, Sgd};
pub use rng::Rng;
pub use sampling::{Sampler, Sampling};
pub use spec::{LayerSummary, NetworkSpec};
pub use stepwise::Stepwise;
pub use targets::{NO_CLASS, Targets};
pub use tokens::TokenInput;
