//! Global max pooling: the largest value of each feature over all steps of a series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::masked_export::Counting;
use super::series::series_shape;
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::kernels::over_steps::{self, NOBODY, Series};
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Takes a series [steps, features] and gives [features]: each feature's largest value over the steps that are
/// no padding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalMaxPool1d {}

impl Layer for GlobalMaxPool1d {
    fn kind(&self) -> &'static str {
        "global_max_pool1d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [_, features] = series_shape(input)?;
        Ok(vec![features])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [steps, features] =
            series_shape(place.input).expect("the shape was checked when the network was declared");
        let kept = if place.purpose == Purpose::Training { place.rows_max } else { 1 };
        Some(Box::new(GlobalMaxOp { steps, features, winners: vec![NOBODY; kept * features] }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        if let Some(mask) = &layer.mask {
            return Counting::new(graph, mask, layer.input[0]).max(graph);
        }
        let attributes = vec![AttributeProto::ints("axes", &[1]), AttributeProto::int("keepdims", 0)];
        graph.chain("ReduceMax", &[], attributes);
    }
}

struct GlobalMaxOp {
    steps: usize,
    features: usize,
    /// For each feature of each row the place of the largest value in its series; of the last row only where
    /// there is no way back.
    winners: Vec<u32>,
}

impl Op for GlobalMaxOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let series = input.chunks_exact(self.steps * self.features);
        for (row, (values, largest)) in series.zip(output.chunks_exact_mut(self.features)).enumerate() {
            let start = if self.winners.len() == self.features { 0 } else { row * self.features };
            let winners = &mut self.winners[start..start + self.features];
            let mask = over_steps::row_mask(pass.mask, row, self.steps);
            over_steps::max(Series { values, mask }, largest, winners);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        d_input.fill(0.0);
        let series = d_input.chunks_exact_mut(self.steps * self.features);
        let slopes = tape.d_output.chunks_exact(self.features);
        for ((d_series, delta), winners) in series.zip(slopes).zip(self.winners.chunks_exact(self.features)) {
            for (&d, &winner) in delta.iter().zip(winners).filter(|&(_, &winner)| winner != NOBODY) {
                d_series[winner as usize] = d;
            }
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
            contract::check(&LayerSpec::GlobalMaxPool1d(GlobalMaxPool1d {}), &input);
            contract::check_inference(&LayerSpec::GlobalMaxPool1d(GlobalMaxPool1d {}), &input);
            contract::check_masked(&LayerSpec::GlobalMaxPool1d(GlobalMaxPool1d {}), &input);
            contract::check_masked_inference(&LayerSpec::GlobalMaxPool1d(GlobalMaxPool1d {}), &input);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::GlobalMaxPool1d(GlobalMaxPool1d {});
        contract::check_error(layer, &[9], "takes a series [steps, features]", "[9, 1]");
    }
}
