//! Global average pooling: the mean of each channel over a whole image (Lin, Chen & Yan 2014).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::avg_pool2d::AvgPoolOp;
use super::window::Window;
use super::{Layer, Misfit, image_shape};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Place};

/// Takes an image [h, w, c] and gives [c]: the mean of each channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool2d {}

impl Layer for GlobalAvgPool2d {
    fn kind(&self) -> &'static str {
        "global_avg_pool2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [_, _, channels] = image_shape(input)?;
        Ok(vec![channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let shape = image_shape(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(AvgPoolOp::new(Window::whole(shape))))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.chain("GlobalAveragePool", &[], vec![]);
        graph.flatten(&[1, 1, layer.input[2]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for input in [[4, 6, 3], [5, 1, 1]] {
            contract::check(&LayerSpec::GlobalAvgPool2d(GlobalAvgPool2d {}), &input);
            contract::check_inference(&LayerSpec::GlobalAvgPool2d(GlobalAvgPool2d {}), &input);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::GlobalAvgPool2d(GlobalAvgPool2d {});
        contract::check_error(layer, &[9], "takes an image", "image layers before flatten");
    }
}
