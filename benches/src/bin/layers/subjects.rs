//! The layers to be measured, each at a size as people use it, with what its forward pass multiplies and adds.

use modelyard_model::{
    AvgPool2d, BatchNorm, Bidirectional, Conv1d, Conv2d, Conv2dTranspose, Dense, DepthwiseConv2d, Dropout,
    Embedding, GlobalAvgPool2d, GroupNorm, Gru, LayerNorm, LayerSpec, Lstm, MaxPool2d, MultiHeadAttention,
    RecurrentSpec, SeparableConv2d, SimpleRnn, TransformerEncoder,
};

/// A layer at a usual size.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) layer: LayerSpec,
    /// One row's shape.
    pub(crate) input: Vec<usize>,
    pub(crate) rows: usize,
    /// Multiplications, each with an addition, of the forward pass over one row. None for layers that only move
    /// values.
    pub(crate) multiplications: usize,
    /// The one product that makes up most of the forward pass over one row: rows, inner dimension, columns.
    pub(crate) product: Option<[usize; 3]>,
    /// What it is thought to wait for: reasoned, where no profile is named.
    pub(crate) bound: &'static str,
}

impl Subject {
    /// Whether the layer takes the network's own input, of which nobody asks the derivative.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self.layer, LayerSpec::Embedding(_))
    }

    /// The layer, behind the frame where it has one.
    pub(crate) fn layers(&self) -> Vec<LayerSpec> {
        if self.is_first() { vec![self.layer.clone()] } else { vec![frame_layer(), self.layer.clone()] }
    }
}

/// The layer before the one to be measured.
pub(crate) fn frame_layer() -> LayerSpec {
    LayerSpec::BatchNorm(BatchNorm::default())
}

/// The layers that compute or move much; a decoder block is an encoder block with one attention more.
pub(crate) fn subjects() -> Vec<Subject> {
    [vec![dense()], images(), sequences(), movers()].into_iter().flatten().collect()
}

fn dense() -> Subject {
    let product = [1, 512, 512];
    Subject {
        name: "dense",
        layer: LayerSpec::Dense(Dense::new(512, None)),
        input: vec![512],
        rows: 256,
        multiplications: product.iter().product(),
        product: Some(product),
        bound: "products",
    }
}

/// Layers over 16 images of 28 by 28 with 32 channels.
fn images() -> Vec<Subject> {
    let places = 26 * 26;
    let depthwise = places * 9 * 32;
    let pointwise = [places, 32, 64];
    let wide = [places, 9 * 32, 64];
    let transposed = [28 * 28, 32, 9 * 64];
    vec![
        image(
            "conv2d",
            LayerSpec::Conv2d(Conv2d::new(64, 3, None)),
            0,
            Some(wide),
            "products; copying patches",
        ),
        image(
            "conv2d_transpose",
            LayerSpec::Conv2dTranspose(Conv2dTranspose::new(64, 3, None)),
            0,
            Some(transposed),
            "adding overlapping patches",
        ),
        image(
            "depthwise_conv2d",
            LayerSpec::DepthwiseConv2d(DepthwiseConv2d::new(3, None)),
            depthwise,
            None,
            "the way back to the image, by single positions; not profiled",
        ),
        image(
            "separable_conv2d",
            LayerSpec::SeparableConv2d(SeparableConv2d::new(64, 3, None)),
            depthwise,
            Some(pointwise),
            "its depthwise half",
        ),
    ]
}

/// Layers over 32 sequences of 64 steps with 64 values.
fn sequences() -> Vec<Subject> {
    let gates = |count: usize| Some([64, 64 + 64, count * 64]);
    let both = Bidirectional::new(RecurrentSpec::Lstm(Lstm::new(64)));
    // The scores of all heads, and their sums of values.
    let scores = 2 * 64 * 64 * 64;
    // The four projections of attention; the encoder's two dense layers are as much again, twice.
    let projections = [64, 64, 4 * 64];
    let elementwise = "products; exp and division in the gates";
    vec![
        sequence(
            "conv1d",
            LayerSpec::Conv1d(Conv1d::new(64, 3, None)),
            0,
            Some([62, 3 * 64, 64]),
            "products",
        ),
        sequence("lstm", LayerSpec::Lstm(Lstm::new(64)), 0, gates(4), elementwise),
        sequence("gru", LayerSpec::Gru(Gru::new(64)), 0, gates(3), elementwise),
        sequence(
            "simple_rnn",
            LayerSpec::SimpleRnn(SimpleRnn::new(64)),
            0,
            gates(1),
            "a step's small products",
        ),
        sequence("bidirectional", LayerSpec::Bidirectional(both), 0, gates(8), "as lstm"),
        sequence(
            "multi_head_attention",
            LayerSpec::MultiHeadAttention(MultiHeadAttention::new(4, 16)),
            scores,
            Some(projections),
            "small products of the heads; softmax",
        ),
        sequence(
            "transformer_encoder",
            LayerSpec::TransformerEncoder(TransformerEncoder::new(4, 256)),
            scores + 2 * 64 * 64 * 256,
            Some(projections),
            "as multi_head_attention; normalising",
        ),
    ]
}

/// Layers that move values more than they compute.
fn movers() -> Vec<Subject> {
    let memory = "memory";
    vec![
        sequence(
            "embedding",
            LayerSpec::Embedding(Embedding::new(5_000, 64)),
            0,
            None,
            "clearing the gradient",
        ),
        sequence(
            "layer_norm",
            LayerSpec::LayerNorm(LayerNorm::default()),
            0,
            None,
            "memory; two sums a step",
        ),
        image(
            "group_norm",
            LayerSpec::GroupNorm(GroupNorm { groups: 8, ..GroupNorm::default() }),
            0,
            None,
            "memory; two sums a group",
        ),
        image("batch_norm", LayerSpec::BatchNorm(BatchNorm::default()), 0, None, "memory; sums in 64 bits"),
        image("max_pool2d", LayerSpec::MaxPool2d(MaxPool2d::default()), 0, None, memory),
        image("avg_pool2d", LayerSpec::AvgPool2d(AvgPool2d::default()), 0, None, memory),
        image("global_avg_pool2d", LayerSpec::GlobalAvgPool2d(GlobalAvgPool2d {}), 0, None, memory),
        image("dropout", LayerSpec::Dropout(Dropout { rate: 0.2 }), 0, None, "the hash that draws the mask"),
    ]
}

fn image(
    name: &'static str,
    layer: LayerSpec,
    beside: usize,
    product: Option<[usize; 3]>,
    bound: &'static str,
) -> Subject {
    let multiplications = beside + product.map_or(0, |size| size.iter().product());
    Subject { name, layer, input: vec![28, 28, 32], rows: 16, multiplications, product, bound }
}

fn sequence(
    name: &'static str,
    layer: LayerSpec,
    beside: usize,
    product: Option<[usize; 3]>,
    bound: &'static str,
) -> Subject {
    let input = if matches!(layer, LayerSpec::Embedding(_)) { vec![64] } else { vec![64, 64] };
    Subject { input, rows: 32, ..image(name, layer, beside, product, bound) }
}
