//! Flatten: any shape as one row of values, in the order that the shape has (height, width, channels).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Place};

/// Gives [h, w, c] as [h · w · c], between image layers and dense layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        Ok(vec![input.iter().product()])
    }

    /// Rows lie one after the other in any case: there is nothing to do.
    fn plan(&self, _place: &Place<'_>) -> Option<Box<dyn Op>> {
        None
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.flatten(layer.input);
    }
}
