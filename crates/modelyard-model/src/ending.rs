//! How a network ends: whether its answers are the probabilities of an activation that the loss can take over, or
//! numbers that were made of probabilities, which no loss may take for logits.

use crate::layers::LayerSpec;
use crate::layout::Layout;
use crate::wiring::Value;
use crate::{Activation, ModelError, NetworkSpec};

/// What a network's answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// What this layer's activation gives, value by value, with other layers behind it that change the shape at
    /// most; softmax's groups are still the last axis.
    Activation { layer: usize, activation: Activation },
    /// Made of what a softmax or sigmoid gives, in a way that cannot be undone: pooled, added up, or in another
    /// shape. Layer `by` is the last one that did so.
    Mixed { layer: usize, activation: Activation, by: usize },
    /// Neither.
    Open,
}

impl Ending {
    pub(crate) fn of(spec: &NetworkSpec, layout: &Layout) -> Self {
        let Some(last) = spec.layers.len().checked_sub(1) else { return Self::Open };
        let giver = handed_on(spec, layout, changes_shape_only).0;
        if let Some(layer) = giver
            && let Some(activation) = spec.layers[layer].layer.activation()
            && (activation != Activation::Softmax || width(layout, layer) == width(layout, last))
        {
            return Self::Activation { layer, activation };
        }
        match probabilities_of(spec, layout)[last] {
            Some((layer, activation)) => Self::Mixed { layer, activation, by: last },
            None => Self::Open,
        }
    }

    /// The activation that the answers come through.
    pub(crate) fn activation(self) -> Option<Activation> {
        match self {
            Self::Activation { activation, .. } => Some(activation),
            Self::Mixed { .. } | Self::Open => None,
        }
    }
}

/// Refuses dropout behind probabilities: their sum would no longer be one while training, and nothing could be
/// fused with the loss.
pub(crate) fn check_dropout(spec: &NetworkSpec, layout: &Layout) -> Result<(), ModelError> {
    let is_dropout = |layer: &LayerSpec| matches!(layer, LayerSpec::Dropout(_));
    let idle = |layer: &LayerSpec| changes_shape_only(layer) || is_dropout(layer);
    let (giver, behind) = handed_on(spec, layout, idle);
    if giver.and_then(|giver| probability(&spec.layers[giver].layer)).is_none() {
        return Ok(());
    }
    match behind.into_iter().rev().find(|&at| is_dropout(spec.layers[at].layer.innermost())) {
        None => Ok(()),
        Some(at) => Err(ModelError::Spec {
            message: format!(
                "its layer {at} ({}) would drop the network's own answers; put it before the last layer that has \
                 weights, or leave it out",
                spec.layers[at].layer.kind()
            ),
        }),
    }
}

/// Walks back from the last layer over those that are `idle`: the first one that is not, and those behind it, last
/// one first.
fn handed_on(
    spec: &NetworkSpec,
    layout: &Layout,
    idle: impl Fn(&LayerSpec) -> bool,
) -> (Option<usize>, Vec<usize>) {
    let (mut at, mut behind) = (spec.layers.len().checked_sub(1), Vec::new());
    while let Some(layer) = at.filter(|&layer| idle(spec.layers[layer].layer.innermost())) {
        behind.push(layer);
        at = match layout.layers[layer].sources.first() {
            Some(Value::Layer(before)) => Some(*before),
            _ => None,
        };
    }
    (at, behind)
}

fn changes_shape_only(layer: &LayerSpec) -> bool {
    matches!(layer, LayerSpec::Flatten(_) | LayerSpec::Reshape(_))
}

/// The activation of a layer that gives probabilities.
fn probability(layer: &LayerSpec) -> Option<Activation> {
    layer.activation().filter(|activation| matches!(activation, Activation::Softmax | Activation::Sigmoid))
}

/// For each layer the one whose probabilities it gives or makes its own values of, where it does.
fn probabilities_of(spec: &NetworkSpec, layout: &Layout) -> Vec<Option<(usize, Activation)>> {
    let mut all: Vec<Option<(usize, Activation)>> = Vec::with_capacity(layout.layers.len());
    for (node, layer) in spec.layers.iter().zip(&layout.layers) {
        let mut taken = layer.sources.iter().map(|source| match *source {
            Value::Layer(before) => all[before],
            Value::Input(_) => None,
        });
        let made_of = match node.layer.innermost() {
            other if other.activation().is_some() => {
                probability(other).map(|activation| (layer.index, activation))
            }
            // A gate, or something added to probabilities, may well give logits; beside them nothing may stand.
            LayerSpec::Add(_) | LayerSpec::Multiply(_) => {
                taken.clone().all(|one| one.is_some()).then(|| taken.next().flatten()).flatten()
            }
            LayerSpec::Concatenate(_) => taken.flatten().next(),
            other if keeps_range(other) => taken.next().flatten(),
            _ => None,
        };
        all.push(made_of);
    }
    all
}

/// Whether a layer of one input gives values of the input, or means of some.
fn keeps_range(layer: &LayerSpec) -> bool {
    matches!(
        layer,
        LayerSpec::Flatten(_)
            | LayerSpec::Reshape(_)
            | LayerSpec::Repeat(_)
            | LayerSpec::Dropout(_)
            | LayerSpec::MaxPool1d(_)
            | LayerSpec::AvgPool1d(_)
            | LayerSpec::GlobalMaxPool1d(_)
            | LayerSpec::GlobalAvgPool1d(_)
            | LayerSpec::MaxPool2d(_)
            | LayerSpec::AvgPool2d(_)
            | LayerSpec::GlobalMaxPool2d(_)
            | LayerSpec::GlobalAvgPool2d(_)
            | LayerSpec::Upsample2d(_)
            | LayerSpec::ZeroPad1d(_)
            | LayerSpec::ZeroPad2d(_)
    )
}

/// The length of the last axis of what a layer gives.
fn width(layout: &Layout, layer: usize) -> Option<usize> {
    layout.layers[layer].output.last().copied()
}
