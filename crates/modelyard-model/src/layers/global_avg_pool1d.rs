//! Global average pooling: the mean of each feature over all steps of a series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::masked_export::Counting;
use super::series::series_shape;
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::kernels::over_steps::{self, Series};
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Tape};

/// Takes a series [steps, features] and gives [features]: each feature's mean over the steps that are no padding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool1d {}

impl Layer for GlobalAvgPool1d {
    fn kind(&self) -> &'static str {
        "global_avg_pool1d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [_, features] = series_shape(input)?;
        Ok(vec![features])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [steps, features] =
            series_shape(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(GlobalAvgOp { steps, features }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        if let Some(mask) = &layer.mask {
            return Counting::new(graph, mask, layer.input[0]).mean(graph);
        }
        let attributes = vec![AttributeProto::ints("axes", &[1]), AttributeProto::int("keepdims", 0)];
        graph.chain("ReduceMean", &[], attributes);
    }
}

struct GlobalAvgOp {
    steps: usize,
    features: usize,
}

impl Op for GlobalAvgOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let series = input.chunks_exact(self.steps * self.features);
        for (row, (values, means)) in series.zip(output.chunks_exact_mut(self.features)).enumerate() {
            over_steps::mean(
                Series { values, mask: over_steps::row_mask(pass.mask, row, self.steps) },
                means,
            );
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let series = d_input.chunks_exact_mut(self.steps * self.features);
        for (row, (d_series, delta)) in series.zip(tape.d_output.chunks_exact(self.features)).enumerate() {
            over_steps::mean_back(over_steps::row_mask(pass.mask, row, self.steps), delta, d_series);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for input in [[6, 3], [1, 5], [9, 1]] {
            contract::check(&LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d {}), &input);
            contract::check_inference(&LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d {}), &input);
            contract::check_masked(&LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d {}), &input);
            contract::check_masked_inference(&LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d {}), &input);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d {});
        contract::check_error(layer, &[9], "takes a series [steps, features]", "[9, 1]");
    }
}
