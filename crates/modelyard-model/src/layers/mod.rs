//! The layers: one file each, one trait, and the one list that names them.

mod activation;
mod add;
mod attention;
mod attention_export;
mod avg_pool1d;
mod avg_pool2d;
mod batch_norm;
mod bidirectional;
mod concatenate;
#[cfg(test)]
pub(crate) mod contract;
mod conv1d;
mod conv2d;
mod conv2d_transpose;
mod convolution;
mod dense;
mod depthwise_conv2d;
mod dropout;
mod embedding;
mod feed_forward;
mod flatten;
mod gaussian_sample;
mod global_avg_pool1d;
mod global_avg_pool2d;
mod global_max_pool1d;
mod global_max_pool2d;
mod group_norm;
mod gru;
mod layer_norm;
mod linear;
mod lstm;
mod masked_export;
mod max_pool1d;
mod max_pool2d;
mod multi_head_attention;
mod multiply;
mod positional_encoding;
mod recurrent;
mod repeat;
mod reshape;
mod residual;
mod separable_conv2d;
mod series;
mod simple_rnn;
mod time_distributed;
mod transformer_decoder;
mod transformer_encoder;
mod upsample2d;
pub(crate) mod window;
mod zero_pad1d;
mod zero_pad2d;

use std::ops::{Range, RangeInclusive};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use activation::ActivationLayer;
pub use add::Add;
pub use avg_pool1d::AvgPool1d;
pub use avg_pool2d::AvgPool2d;
pub use batch_norm::BatchNorm;
pub use bidirectional::{Bidirectional, Merge, RecurrentSpec};
pub use concatenate::Concatenate;
pub use conv1d::Conv1d;
pub use conv2d::Conv2d;
pub use conv2d_transpose::Conv2dTranspose;
pub use dense::Dense;
pub use depthwise_conv2d::DepthwiseConv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use gaussian_sample::GaussianSample;
pub use global_avg_pool1d::GlobalAvgPool1d;
pub use global_avg_pool2d::GlobalAvgPool2d;
pub use global_max_pool1d::GlobalMaxPool1d;
pub use global_max_pool2d::GlobalMaxPool2d;
pub use group_norm::GroupNorm;
pub use gru::Gru;
pub use layer_norm::LayerNorm;
pub use lstm::Lstm;
pub use max_pool1d::MaxPool1d;
pub use max_pool2d::MaxPool2d;
pub use multi_head_attention::MultiHeadAttention;
pub use multiply::Multiply;
pub use positional_encoding::{PositionalEncoding, PositionalKind};
pub use repeat::Repeat;
pub use reshape::Reshape;
pub use separable_conv2d::SeparableConv2d;
pub use series::StepPadding;
pub use simple_rnn::{RnnActivation, SimpleRnn};
pub use time_distributed::TimeDistributed;
pub use transformer_decoder::TransformerDecoder;
pub use transformer_encoder::TransformerEncoder;
pub use upsample2d::{Interpolation, Upsample2d};
pub use window::{Padding, Size2d};
pub use zero_pad1d::{Ends, ZeroPad1d};
pub use zero_pad2d::{Sides2d, ZeroPad2d};

use crate::Activation;
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::memory::Hidden;
use crate::op::{Op, Place, Purpose};

/// One layer of a network, by Keras's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LayerSpec {
    /// Every output from every input.
    Dense(Dense),
    /// A convolution over height and width.
    Conv2d(Conv2d),
    /// The largest value of each window.
    MaxPool2d(MaxPool2d),
    /// The mean of each window.
    AvgPool2d(AvgPool2d),
    /// Any shape as one row of values.
    Flatten(Flatten),
    /// Values dropped at random while training.
    Dropout(Dropout),
    /// Values brought to mean 0 and deviation 1 over the mini-batch.
    BatchNorm(BatchNorm),
    /// The values of each step brought to mean 0 and deviation 1.
    LayerNorm(LayerNorm),
    /// Where in the sequence each step stands, added to its values.
    PositionalEncoding(PositionalEncoding),
    /// Every step takes from every other step what fits it.
    MultiHeadAttention(MultiHeadAttention),
    /// Self-attention and two dense layers for each step, each with a way past it.
    TransformerEncoder(TransformerEncoder),
    /// A convolution along the steps of a series.
    Conv1d(Conv1d),
    /// A convolution of each channel by itself.
    DepthwiseConv2d(DepthwiseConv2d),
    /// A convolution of each channel by itself, then one over channels.
    SeparableConv2d(SeparableConv2d),
    /// A convolution's way back: images grow.
    Conv2dTranspose(Conv2dTranspose),
    /// The largest value of each window of steps.
    MaxPool1d(MaxPool1d),
    /// The mean of each window of steps.
    AvgPool1d(AvgPool1d),
    /// The largest value over all steps.
    GlobalMaxPool1d(GlobalMaxPool1d),
    /// The mean over all steps.
    GlobalAvgPool1d(GlobalAvgPool1d),
    /// The largest value over the whole image.
    GlobalMaxPool2d(GlobalMaxPool2d),
    /// The mean over the whole image.
    GlobalAvgPool2d(GlobalAvgPool2d),
    /// An image stretched by whole factors.
    Upsample2d(Upsample2d),
    /// Zeros before and after a series.
    ZeroPad1d(ZeroPad1d),
    /// Zeros around an image.
    ZeroPad2d(ZeroPad2d),
    /// Groups of channels brought to mean 0 and deviation 1, row by row.
    GroupNorm(GroupNorm),
    /// Causal self-attention, attention to a memory and two dense layers for each step, each with a way past it.
    TransformerDecoder(TransformerDecoder),
    /// Any layer over each step alone.
    TimeDistributed(TimeDistributed),
    /// An activation function on its own.
    Activation(ActivationLayer),
    /// Numbers drawn from a described distribution while training, for variational autoencoders.
    GaussianSample(GaussianSample),
    /// The sum of several values.
    Add(Add),
    /// The product of several values.
    Multiply(Multiply),
    /// Several values side by side.
    Concatenate(Concatenate),
    /// The same values in another shape.
    Reshape(Reshape),
    /// The same row at each step of a sequence.
    Repeat(Repeat),
    /// Token numbers as vectors that are learned.
    Embedding(Embedding),
    /// Long short-term memory over a sequence.
    Lstm(Lstm),
    /// Gated recurrent units over a sequence.
    Gru(Gru),
    /// The plain recurrent layer over a sequence.
    SimpleRnn(SimpleRnn),
    /// A recurrent layer from both ends of a sequence.
    Bidirectional(Bidirectional),
}

impl LayerSpec {
    /// The list of kinds.
    pub(crate) fn layer(&self) -> &dyn Layer {
        match self {
            Self::Dense(layer) => layer,
            Self::Conv2d(layer) => layer,
            Self::MaxPool2d(layer) => layer,
            Self::AvgPool2d(layer) => layer,
            Self::Flatten(layer) => layer,
            Self::Dropout(layer) => layer,
            Self::BatchNorm(layer) => layer,
            Self::LayerNorm(layer) => layer,
            Self::PositionalEncoding(layer) => layer,
            Self::MultiHeadAttention(layer) => layer,
            Self::TransformerEncoder(layer) => layer,
            Self::Conv1d(layer) => layer,
            Self::DepthwiseConv2d(layer) => layer,
            Self::SeparableConv2d(layer) => layer,
            Self::Conv2dTranspose(layer) => layer,
            Self::MaxPool1d(layer) => layer,
            Self::AvgPool1d(layer) => layer,
            Self::GlobalMaxPool1d(layer) => layer,
            Self::GlobalAvgPool1d(layer) => layer,
            Self::GlobalMaxPool2d(layer) => layer,
            Self::GlobalAvgPool2d(layer) => layer,
            Self::Upsample2d(layer) => layer,
            Self::ZeroPad1d(layer) => layer,
            Self::ZeroPad2d(layer) => layer,
            Self::GroupNorm(layer) => layer,
            Self::TransformerDecoder(layer) => layer,
            Self::TimeDistributed(layer) => layer,
            Self::Activation(layer) => layer,
            Self::GaussianSample(layer) => layer,
            Self::Add(layer) => layer,
            Self::Multiply(layer) => layer,
            Self::Concatenate(layer) => layer,
            Self::Reshape(layer) => layer,
            Self::Repeat(layer) => layer,
            Self::Embedding(layer) => layer,
            Self::Lstm(layer) => layer,
            Self::Gru(layer) => layer,
            Self::SimpleRnn(layer) => layer,
            Self::Bidirectional(layer) => layer,
        }
    }

    /// The layer's kind as the project file names it.
    pub fn kind(&self) -> &'static str {
        self.layer().kind()
    }

    /// The layer itself, or the one that it applies to each step.
    pub(crate) fn innermost(&self) -> &Self {
        match self {
            Self::TimeDistributed(each) => each.layer.innermost(),
            other => other,
        }
    }

    /// The activation that the layer ends in.
    pub(crate) fn activation(&self) -> Option<Activation> {
        match self.innermost() {
            Self::Dense(layer) => layer.activation,
            Self::Conv2d(layer) => layer.activation,
            Self::Conv1d(layer) => layer.activation,
            Self::DepthwiseConv2d(layer) => layer.activation,
            Self::SeparableConv2d(layer) => layer.activation,
            Self::Conv2dTranspose(layer) => layer.activation,
            Self::Activation(layer) => Some(layer.activation),
            _ => None,
        }
    }

    /// The slot for an activation inside the layer, for those that have one.
    pub(crate) fn activation_mut(&mut self) -> Option<&mut Option<Activation>> {
        match self {
            Self::Dense(layer) => Some(&mut layer.activation),
            Self::Conv2d(layer) => Some(&mut layer.activation),
            Self::Conv1d(layer) => Some(&mut layer.activation),
            Self::DepthwiseConv2d(layer) => Some(&mut layer.activation),
            Self::SeparableConv2d(layer) => Some(&mut layer.activation),
            Self::Conv2dTranspose(layer) => Some(&mut layer.activation),
            Self::TimeDistributed(each) => each.layer.activation_mut(),
            _ => None,
        }
    }
}

/// What a kind of layer must know about itself.
pub(crate) trait Layer {
    /// The kind as the project file names it.
    fn kind(&self) -> &'static str;

    /// The shape that comes out, without the batch dimension. Also checks the layer's own settings.
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit>;

    /// How many inputs the layer joins.
    fn joins(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// The shape that comes out of several inputs, for layers that join them.
    fn joined_shape(&self, inputs: &[Vec<usize>]) -> Result<Vec<usize>, Misfit> {
        self.output_shape(&inputs[0])
    }

    /// What becomes of a mask that tells padding apart.
    fn mask_rule(&self) -> MaskRule {
        MaskRule::Ends
    }

    /// The weights for an input shape that `output_shape` has accepted.
    fn parameters(&self, _input: &[usize]) -> Vec<Parameter> {
        Vec::new()
    }

    /// The weights for input shapes that `joined_shape` has accepted.
    fn joined_parameters(&self, inputs: &[Vec<usize>]) -> Vec<Parameter> {
        self.parameters(&inputs[0])
    }

    /// What `plan` will keep beside inputs and outputs, for input shapes that were accepted; need not be told where
    /// it is no more than these and the weights.
    fn hidden(&self, _inputs: &[Vec<usize>], _purpose: Purpose) -> Hidden {
        Hidden::default()
    }

    /// The layer with its buffers, ready to run; `None` where nothing is to be computed.
    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>>;

    /// Adds the layer's ONNX nodes to the graph, which computes images as [batch, channels, h, w].
    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export);
}

/// What becomes, behind a layer, of the mask that tells a sequence's padding apart, as in Keras.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaskRule {
    /// Steps stay what they were: the mask goes on.
    Keeps,
    /// Steps are gone, or no longer the same.
    Ends,
    /// The layer reads the masks of its first input and of its second, a memory; that of the first goes on.
    Crosses,
    /// Inputs lie side by side along this axis, counted as Keras does: steps stay what they were unless they are
    /// what is joined.
    Joins { axis: i32 },
    /// The layer's own input, [steps] of numbers, is the mask: 0 is padding.
    Begins,
}

/// Why a layer cannot stand where it stands.
#[derive(Debug)]
pub(crate) enum Misfit {
    /// The input's shape is not what the layer takes.
    Shape { wanted: String, hint: String },
    /// One of the layer's own settings can never work.
    Field { field: &'static str, message: String, hint: Option<String> },
}

impl Misfit {
    pub(crate) fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field, message: message.into(), hint: None }
    }
}

/// One array of weights.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// `kernel`, `bias`, `gamma`, …: the last part of the stored name.
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) initializer: Initializer,
    pub(crate) fans: Fans,
    pub(crate) role: Role,
    /// The values that start at 1 whatever the initializer says.
    pub(crate) ones: Range<usize>,
}

/// Who changes an array of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The optimizer, by its gradient.
    Trained,
    /// The layer itself, while training: running statistics.
    State,
}

impl Parameter {
    pub(crate) fn trained(
        name: &'static str,
        shape: Vec<usize>,
        initializer: Initializer,
        fans: Fans,
    ) -> Self {
        Self { name, shape, initializer, fans, role: Role::Trained, ones: 0..0 }
    }
}

fn default_true() -> bool {
    true
}

fn default_one() -> usize {
    1
}

fn default_two() -> usize {
    2
}

fn default_zeros() -> Initializer {
    Initializer::Zeros
}

/// The one shape that all inputs must have.
fn same_shape(inputs: &[Vec<usize>]) -> Result<Vec<usize>, Misfit> {
    if inputs.iter().all(|input| *input == inputs[0]) {
        return Ok(inputs[0].clone());
    }
    Err(Misfit::Shape {
        wanted: "inputs of one shape".to_owned(),
        hint:
            "bring them to one shape first, with dense layers of the same units or convolutions of the same \
               filters, strides and padding"
                .to_owned(),
    })
}

/// The length of a shape's last axis.
fn last_axis(shape: &[usize]) -> usize {
    *shape.last().expect("a shape has at least one dimension")
}

/// Takes steps and features from a sequence's shape, or says what to do instead.
pub(crate) fn sequence_shape(input: &[usize]) -> Result<[usize; 2], Misfit> {
    <[usize; 2]>::try_from(input).map_err(|_| Misfit::Shape {
        wanted: "a sequence [steps, features]".to_owned(),
        hint: match input.len() {
            1 => {
                "declare the input as [steps, features]; token numbers need an embedding layer before, and a \
                  recurrent layer before needs return_sequences = true"
                    .to_owned()
            }
            _ => "bring [height, width, channels] to [steps, features] with a reshape layer".to_owned(),
        },
    })
}

fn default_orthogonal() -> Initializer {
    Initializer::Orthogonal
}

/// Takes height, width and channels from an image's shape, or says what to do instead.
pub(crate) fn image_shape(input: &[usize]) -> Result<[usize; 3], Misfit> {
    <[usize; 3]>::try_from(input).map_err(|_| Misfit::Shape {
        wanted: "an image [height, width, channels]".to_owned(),
        hint: match input.len() {
            2 => format!("declare the input with a channel dimension: [{}, {}, 1]", input[0], input[1]),
            4 => "put it into time_distributed, which applies it to the image of each step".to_owned(),
            _ => "put image layers before flatten and dense layers, and declare the input as \
                  [height, width, channels]"
                .to_owned(),
        },
    })
}
