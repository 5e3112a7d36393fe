//! Time-distributed: any layer over each step of a sequence alone, by the same weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerSpec, MaskRule, Misfit, Parameter};
use crate::export::{Export, ExportedLayer};
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, RowShares, Tape};

/// Applies a layer to each step of [steps, …]: to the features of each step of [steps, features], to an image of each
/// step of [steps, height, width, channels], which `reshape` makes of an input of fewer dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeDistributed {
    /// The layer: one of one input.
    pub layer: Box<LayerSpec>,
}

impl TimeDistributed {
    /// This layer over each step.
    pub fn new(layer: LayerSpec) -> Self {
        Self { layer: Box::new(layer) }
    }
}

impl Layer for TimeDistributed {
    fn kind(&self) -> &'static str {
        "time_distributed"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let inner = self.layer.layer();
        if *inner.joins().start() > 1 {
            let message = format!("takes one input for each step, {} takes several", inner.kind());
            return Err(Misfit::field("layer", message));
        }
        match input {
            [_] | [] => Err(Misfit::Shape {
                wanted: "a sequence [steps, …]".to_owned(),
                hint: "declare the input as [steps, features]".to_owned(),
            }),
            [steps, step @ ..] => {
                let mut shape = vec![*steps];
                shape.extend(inner.output_shape(step)?);
                Ok(shape)
            }
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        self.layer.layer().parameters(&input[1..])
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let (steps, step) = (inputs[0][0], inputs[0][1..].to_vec());
        self.layer.layer().hidden(&[step], purpose).in_parts(steps)
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let (steps, step) = (place.input[0], &place.input[1..]);
        let inputs = [step.to_vec()];
        let place = Place {
            input: step,
            inputs: &inputs,
            rows_max: place.rows_max * steps,
            pooled: false,
            remembers: false,
            ..*place
        };
        let op = self.layer.layer().plan(&place)?;
        Some(Box::new(TimeDistributedOp { op, steps }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let (inner, step) = (self.layer.layer(), [layer.input[1..].to_vec()]);
        graph.reshape(layer.input, &step[0]);
        inner.export(&layer.inner(&step), graph);
        let given = inner.output_shape(&step[0]).expect("checked when the network was declared");
        let whole: Vec<usize> = layer.input[..1].iter().chain(&given).copied().collect();
        graph.reshape(&given, &whole);
    }
}

/// The layer sees each step as a row.
struct TimeDistributedOp {
    op: Box<dyn Op>,
    steps: usize,
}

impl TimeDistributedOp {
    fn pass<'a>(&self, pass: &Pass<'a>) -> Pass<'a> {
        Pass {
            rows: pass.rows * self.steps,
            rows_total: pass.rows_total * self.steps,
            first_row: pass.first_row * self.steps,
            shares: RowShares { parts: pass.shares.parts * self.steps, ..pass.shares },
            mask: None,
            memory_mask: None,
            ..*pass
        }
    }
}

impl Op for TimeDistributedOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let pass = self.pass(pass);
        self.op.forward(&pass, input, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let pass = self.pass(pass);
        self.op.backward(&pass, tape);
    }

    fn gather(&mut self, pass: &Pass<'_>, input: &[f32], d_output: Option<&[f32]>) {
        let pass = self.pass(pass);
        self.op.gather(&pass, input, d_output);
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        self.op.sums()
    }

    fn penalty(&self) -> f64 {
        self.op.penalty()
    }

    fn update_state(&self, state: &mut [f32]) {
        self.op.update_state(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::{Activation, BatchNorm, Conv2d, Dense, Dropout, Flatten};

    fn each_step(layer: LayerSpec) -> LayerSpec {
        LayerSpec::TimeDistributed(TimeDistributed::new(layer))
    }

    #[test]
    fn contract() {
        let dense = each_step(LayerSpec::Dense(Dense::new(3, Some(Activation::Tanh))));
        contract::check(&dense, &[4, 5]);
        contract::check_inference(&dense, &[4, 5]);
        contract::check(&each_step(LayerSpec::BatchNorm(BatchNorm::default())), &[4, 5]);
        contract::check(&each_step(LayerSpec::Dropout(Dropout { rate: 0.3 })), &[4, 5]);
        contract::check(&each_step(dense), &[2, 3, 5]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let dense = || LayerSpec::Dense(Dense::new(3, None));
        contract::check_error(each_step(dense()), &[4], "takes a sequence [steps, …]", "[steps, features]");
        let conv = LayerSpec::Conv2d(Conv2d::new(3, 2, None));
        contract::check_error(each_step(conv), &[4, 5], "takes an image", "channels");
        contract::check_error(each_step(LayerSpec::Flatten(Flatten {})), &[4], "takes a sequence", "");
    }
}
