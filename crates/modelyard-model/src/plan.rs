//! From the declared layers to the operations that run: what nobody needs is left out, what belongs
//! together is one operation.

use crate::layers::LayerSpec;
use crate::op::{Op, Place, Purpose};
use crate::spec::Layout;
use crate::{Activation, NetworkSpec};

/// One operation to be built.
#[derive(Clone, Debug)]
pub(crate) struct PlannedOp {
    /// The layer, with the activation that follows it taken in.
    layer: LayerSpec,
    /// The layer's index in the declaration and in the layout.
    index: usize,
    /// Values of one output row.
    output_len: usize,
    /// A convolution that also computes the 2×2 max pooling after it.
    pooled: bool,
}

/// The operations of a network in order, for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) ops: Vec<PlannedOp>,
    pub(crate) layout: Layout,
    pub(crate) input_len: usize,
    pub(crate) output_len: usize,
    /// True where a loss must apply the network's last activation itself.
    pub(crate) ends_in_logits: bool,
}

impl Plan {
    /// Plans a network. A trailing activation equal to `fused` is left to the loss.
    pub(crate) fn new(spec: &NetworkSpec, layout: Layout, fused: Option<Activation>) -> Self {
        let mut ops: Vec<PlannedOp> = Vec::new();
        for (layer, place) in spec.layers.iter().zip(&layout.layers) {
            let output_len = place.output.iter().product();
            if !ops.last_mut().is_some_and(|last| last.take_in(layer, output_len)) {
                ops.push(PlannedOp { layer: layer.clone(), index: place.index, output_len, pooled: false });
            }
        }
        // Rows lie one after the other, so there is nothing to flatten.
        ops.retain(|op| !matches!(op.layer, LayerSpec::Flatten(_)));
        let last = spec.output_activation();
        if last.is_some() && last == fused {
            strip_activation(&mut ops);
        }
        Self {
            ops,
            input_len: layout.input.iter().product(),
            output_len: layout.output.iter().product(),
            ends_in_logits: fused.is_some() && last == fused,
            layout,
        }
    }

    /// Builds the operations for at most `rows_max` rows, with the length of one output row of each.
    pub(crate) fn build(&self, rows_max: usize, purpose: Purpose) -> Vec<(Box<dyn Op>, usize)> {
        let build = |planned: &PlannedOp| {
            let layer = &self.layout.layers[planned.index];
            let place = Place {
                input: &layer.input,
                inputs: std::slice::from_ref(&layer.input),
                weights: &layer.places,
                rows_max,
                purpose,
                pooled: planned.pooled,
                index: planned.index,
            };
            Some((planned.layer.layer().plan(&place)?, planned.output_len))
        };
        self.ops.iter().filter_map(build).collect()
    }

    /// Values of one output row of each operation.
    pub(crate) fn output_lens(&self) -> impl Iterator<Item = usize> {
        self.ops.iter().map(|op| op.output_len)
    }

    /// The largest number of values between two operations for one row.
    pub(crate) fn widest(&self) -> usize {
        self.output_lens().chain([self.input_len]).max().unwrap_or(0)
    }

    /// Multiplications and additions of one row's forward pass, roughly.
    pub(crate) fn work(&self) -> usize {
        let layers = self.layout.layers.iter();
        layers
            .map(|layer| {
                let values: usize = layer.output.iter().product();
                let inputs = match (layer.parameters.first(), layer.output.last()) {
                    (Some(kernel), Some(&outputs)) => kernel.shape.iter().product::<usize>() / outputs,
                    _ => 1,
                };
                2 * values * inputs.max(1)
            })
            .sum()
    }

    /// True for networks of dense layers alone.
    pub(crate) fn is_dense(&self) -> bool {
        self.layout.input.len() == 1
    }
}

impl PlannedOp {
    /// Takes the next layer into this operation where both can be one; says whether it did.
    fn take_in(&mut self, next: &LayerSpec, output_len: usize) -> bool {
        let activation = match &self.layer {
            LayerSpec::Dense(dense) => dense.activation,
            LayerSpec::Conv2d(conv) => conv.activation,
            _ => return false,
        };
        match (&mut self.layer, next) {
            (LayerSpec::Conv2d(_), LayerSpec::MaxPool2d(pool)) => {
                let fits =
                    pool.is_halving() && !self.pooled && activation.is_none_or(Activation::is_monotone);
                // An image of one row or column has no 2×2 window; the shape check has refused it.
                if fits {
                    (self.pooled, self.output_len) = (true, output_len);
                }
                fits
            }
            (layer, LayerSpec::Activation(next)) => {
                let fits = activation.is_none() && (!self.pooled || next.activation.is_monotone());
                if let (true, Some(slot)) = (fits, layer.activation_mut()) {
                    *slot = Some(next.activation);
                }
                fits
            }
            _ => false,
        }
    }
}

fn strip_activation(ops: &mut Vec<PlannedOp>) {
    match ops.last_mut().map(|op| &mut op.layer) {
        Some(LayerSpec::Activation(_)) => {
            ops.pop();
        }
        Some(layer) => {
            if let Some(slot) = layer.activation_mut() {
                *slot = None;
            }
        }
        None => {}
    }
}
