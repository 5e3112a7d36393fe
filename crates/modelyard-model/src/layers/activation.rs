//! An activation function as a layer of its own; after dense and convolution it runs inside them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, last_axis};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Pass, Place, Tape};

/// Applies an activation function to any shape; softmax along the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationLayer {
    /// The function.
    pub activation: Activation,
}

impl Layer for ActivationLayer {
    fn kind(&self) -> &'static str {
        "activation"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        Ok(input.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let width = place.input.iter().product();
        Some(Box::new(ActivationOp {
            activation: self.activation,
            width: last_axis(place.input),
            before: Saved::new(Some(self.activation), place, width),
        }))
    }

    fn export(&self, _layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.activation(Some(self.activation));
    }
}

struct ActivationOp {
    activation: Activation,
    width: usize,
    before: Saved,
}

impl Op for ActivationOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        output.copy_from_slice(input);
        if let Some(before) = self.before.part_mut(0..input.len()) {
            before.copy_from_slice(input);
        }
        activation::apply(self.activation, output, self.width);
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        d_input.copy_from_slice(tape.d_output);
        let before = self.before.part(0..tape.input.len());
        activation::back(self.activation, tape.output, before, d_input, self.width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for activation in Activation::ALL {
            let layer = LayerSpec::Activation(ActivationLayer { activation });
            contract::check(&layer, &[19]);
            contract::check(&layer, &[3, 4]);
            contract::check(&layer, &[3, 2, 4]);
            contract::check_inference(&layer, &[3, 2, 4]);
        }
    }
}
