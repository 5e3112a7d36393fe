//! Everything that can be wrong with a declared network, its files, or the numbers handed to it.

use modelyard_types::ErrorKind;
use thiserror::Error;

/// Why a network could not be declared, read, planned or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The list of layers or the input shape is empty or holds a zero.
    #[error("the network cannot be built: {message}")]
    Spec {
        /// What is missing or zero.
        message: String,
    },
    /// A layer does not accept the shapes that those before it give.
    #[error("layer {index} ({kind}) takes {wanted}, but {given}")]
    Shape {
        /// The layer's place, counted from 0.
        index: usize,
        /// The layer's kind as the project file names it.
        kind: &'static str,
        /// What the layer takes, in words.
        wanted: String,
        /// Who gives which shape, without the batch dimension: `layer 1 (conv2d) gives [6, 6, 4]`.
        given: String,
        /// What would make it fit.
        hint: String,
    },
    /// One setting of a layer can never work.
    #[error("layer {index} ({kind}): {field} {message}")]
    Layer {
        /// The layer's place, counted from 0.
        index: usize,
        /// The layer's kind as the project file names it.
        kind: &'static str,
        /// The setting.
        field: &'static str,
        /// What it must be and what it is.
        message: String,
        /// A way out, where there is one.
        hint: Option<String>,
    },
    /// More memory than we are ready to ask for.
    #[error("{what} would need {needed} values, the limit is {limit}")]
    TooLarge {
        /// What would be too large.
        what: String,
        /// How many 4-byte values; `u64::MAX` where even the count overflows.
        needed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The network needs the whole of a series at once.
    #[error("the network cannot be fed a series in pieces: {message}")]
    Stepwise {
        /// What needs it.
        message: String,
    },
    /// A setting of the training engine can never work.
    #[error("training setting {field} {message}")]
    Config {
        /// The setting's name.
        field: &'static str,
        /// What it must be and what it is.
        message: String,
        /// A way out, where there is one.
        hint: Option<String>,
    },
    /// The loss and the network's output or the targets do not go together.
    #[error("the loss {loss} {message}")]
    Loss {
        /// The loss as the project file names it.
        loss: &'static str,
        /// What does not fit.
        message: String,
        /// A way out, where there is one.
        hint: Option<String>,
    },
    /// A slice handed to the engine has the wrong length.
    #[error("{what}: {got} values where {wanted} are needed")]
    Length {
        /// Which slice.
        what: &'static str,
        /// How many values it should have.
        wanted: usize,
        /// How many it has.
        got: usize,
    },
    /// A target or weight in a slice handed to the engine cannot be used.
    #[error("{what} of row {row} is {got}, it must be {wanted}")]
    Value {
        /// Which slice.
        what: &'static str,
        /// The row in the mini-batch, counted from 0.
        row: usize,
        /// The value.
        got: String,
        /// What it must be.
        wanted: String,
    },
    /// A number that an embedding has no row for.
    #[error("row {row}, step {step}: {got} is no token of layer {layer} (embedding)")]
    Token {
        /// The embedding's place, counted from 0.
        layer: usize,
        /// The row, counted from 0.
        row: usize,
        /// The step, counted from 0.
        step: usize,
        /// The number.
        got: f32,
        /// How many tokens the embedding knows.
        tokens: usize,
    },
    /// A network cannot continue a sequence of tokens.
    #[error("the sequence cannot be continued: {message}")]
    Sequence {
        /// What is in the way.
        message: String,
        /// A way out, where there is one.
        hint: Option<&'static str>,
    },
    /// A network from which no samples can be drawn.
    #[error("the network draws no samples: {message}")]
    NoDecoder {
        /// What is in the way.
        message: String,
        /// The way out.
        hint: &'static str,
    },
    /// The operating system gave no threads.
    #[error("cannot start {threads} training threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
    /// `network.json` is not a network's description.
    #[error("network.json cannot be read")]
    Document {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// `network.json` was written by a newer program.
    #[error("network.json has format version {found}, this program reads up to {supported}")]
    FormatVersion {
        /// The version in the file.
        found: u64,
        /// The newest version that we read.
        supported: u64,
    },
    /// `weights.safetensors` is not a safetensors file.
    #[error("weights.safetensors cannot be read")]
    Weights {
        /// Why not.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A tensor in `weights.safetensors` is missing, extra, or not as the network declares it.
    #[error("weights.safetensors: tensor '{name}' {message}")]
    WeightTensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The saved state of an engine is damaged, or not that of this engine.
    #[error("the engine's saved state cannot be used: {message}")]
    EngineState {
        /// What is wrong with it.
        message: String,
    },
}

impl ModelError {
    pub(crate) fn sequence(message: impl Into<String>, hint: Option<&'static str>) -> Self {
        Self::Sequence { message: message.into(), hint }
    }

    /// The coarse kind that every protocol has a code for.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spec { .. }
            | Self::Shape { .. }
            | Self::Layer { .. }
            | Self::Config { .. }
            | Self::Loss { .. }
            | Self::Sequence { .. }
            | Self::Token { .. }
            | Self::Length { .. }
            | Self::Value { .. } => ErrorKind::InvalidArgument,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Threads { .. } => ErrorKind::ResourceExhausted,
            Self::FormatVersion { .. } | Self::NoDecoder { .. } | Self::Stepwise { .. } => {
                ErrorKind::Unsupported
            }
            Self::Document { .. }
            | Self::Weights { .. }
            | Self::WeightTensor { .. }
            | Self::EngineState { .. } => ErrorKind::DataCorrupt,
        }
    }

    /// The way out, where we know one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Shape { hint, .. } => Some(hint.clone()),
            Self::Layer { hint, .. } | Self::Config { hint, .. } | Self::Loss { hint, .. } => hint.clone(),
            Self::Token { tokens, .. } => Some(format!(
                "it takes whole numbers from 0 to {}; the embedding's input_dim is {tokens}",
                tokens - 1
            )),
            Self::Sequence { hint, .. } => hint.map(str::to_owned),
            Self::NoDecoder { hint, .. } => Some((*hint).to_owned()),
            Self::FormatVersion { .. } => Some("use a newer modelyard to read this version".to_owned()),
            Self::TooLarge { .. } => Some(
                "use fewer units or filters, pool before a dense layer, or a smaller mini-batch".to_owned(),
            ),
            Self::Stepwise { .. } => Some(
                "lstm, gru and simple_rnn layers that walk forwards can be, with layers between them that take \
                 each step alone; else send the whole series in one request"
                    .to_owned(),
            ),
            Self::Threads { .. } => Some("set fewer threads".to_owned()),
            _ => None,
        }
    }
}

/// A shape as people write it: `[28, 28, 1]`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    format!("{shape:?}")
}
