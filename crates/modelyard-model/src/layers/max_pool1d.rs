//! Max pooling along a series: the largest value of each window of steps, feature by feature.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::max_pool2d::MaxPoolOp;
use super::series::{Slide, StepPadding};
use super::window::Padding;
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Place};

/// Takes a series [steps, features]; padded steps never win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPool1d {
    /// Steps under one window (default 2).
    #[serde(default = "super::default_two")]
    pub pool_size: usize,
    /// Steps from one window to the next (default: the window's own size).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strides: Option<usize>,
    /// What happens at the ends (default valid).
    #[serde(default)]
    pub padding: Padding,
}

impl Default for MaxPool1d {
    fn default() -> Self {
        Self { pool_size: 2, strides: None, padding: Padding::Valid }
    }
}

impl MaxPool1d {
    fn slide(&self) -> Slide {
        let padding = match self.padding {
            Padding::Valid => StepPadding::Valid,
            Padding::Same => StepPadding::Same,
        };
        let strides = self.strides.unwrap_or(self.pool_size);
        Slide { size: ("pool_size", self.pool_size), strides, dilation: 1, padding }
    }
}

impl Layer for MaxPool1d {
    fn kind(&self) -> &'static str {
        "max_pool1d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let window = self.slide().window(input)?;
        Ok(vec![window.positions(), window.channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window =
            self.slide().window(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(MaxPoolOp::new(window, place)))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let steps =
            self.slide().axis(layer.input[0]).expect("the shape was checked when the network was declared");
        graph.chain_over_steps("MaxPool", &[], graph.steps_attributes(steps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        let same = MaxPool1d { padding: Padding::Same, ..MaxPool1d::default() };
        let overlapping = MaxPool1d { pool_size: 3, strides: Some(1), padding: Padding::Same };
        for pool in [MaxPool1d::default(), same, overlapping] {
            for input in [[6, 3], [7, 1]] {
                contract::check(&LayerSpec::MaxPool1d(pool.clone()), &input);
                contract::check_inference(&LayerSpec::MaxPool1d(pool.clone()), &input);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::MaxPool1d(MaxPool1d::default());
        contract::check_error(layer.clone(), &[9], "takes a series [steps, features]", "[9, 1]");
        contract::check_error(layer, &[1, 9], "a series of at least 2 steps for its pool_size", "same");
        let none = LayerSpec::MaxPool1d(MaxPool1d { pool_size: 0, ..MaxPool1d::default() });
        contract::check_error(none, &[4, 9], "pool_size must be between", "");
    }
}
