//! Zeros before and after a series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::series::series_shape;
use super::zero_pad2d::{PadOp, padded};
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer, signed};
use crate::op::{Op, Place};

/// Takes a series [steps, features] and puts steps of zeros before and after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZeroPad1d {
    /// How many (default 1): one number for both ends, or [before, after].
    #[serde(default)]
    pub padding: Ends,
}

/// Steps at the two ends of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number, or [before, after]")]
pub enum Ends {
    /// The same at both ends.
    Both(usize),
    /// Before and after.
    Each([usize; 2]),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Both(1)
    }
}

impl Ends {
    /// [before, after].
    pub fn ends(self) -> [usize; 2] {
        match self {
            Self::Both(n) => [n; 2],
            Self::Each(ends) => ends,
        }
    }
}

impl Layer for ZeroPad1d {
    fn kind(&self) -> &'static str {
        "zero_pad1d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [steps, features] = series_shape(input)?;
        Ok(vec![padded(steps, self.padding.ends())?, features])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [steps, features] =
            series_shape(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(PadOp { shape: [1, steps, features], sides: [[0, 0], self.padding.ends()] }))
    }

    fn export(&self, _layer: &ExportedLayer<'_>, graph: &mut Export) {
        let [before, after] = self.padding.ends().map(signed);
        let pads = graph.constant_i64(&graph.name_of("pads"), &[0, before, 0, 0, after, 0]);
        graph.chain("Pad", &[&pads], vec![]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for padding in [Ends::Both(2), Ends::Each([3, 0])] {
            contract::check(&LayerSpec::ZeroPad1d(ZeroPad1d { padding }), &[4, 3]);
            contract::check_inference(&LayerSpec::ZeroPad1d(ZeroPad1d { padding }), &[4, 3]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = |padding| LayerSpec::ZeroPad1d(ZeroPad1d { padding });
        contract::check_error(layer(Ends::Both(1)), &[9], "takes a series", "[9, 1]");
        contract::check_error(layer(Ends::Each([0, 5000])), &[9, 1], "padding must be at most 4096", "");
    }
}
