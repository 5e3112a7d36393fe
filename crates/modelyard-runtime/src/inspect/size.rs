//! The operators whose inputs or attributes are sizes, and the limits on those.

use modelyard_model::onnx::proto::{AttributeProto, NodeProto};

use super::extent::Extent;
use super::tensor::elements;
use super::{OnnxLimits, check_max};
use crate::RuntimeError;

/// Largest factor by which an image is enlarged along one axis.
const SCALE_MAX: f32 = 64.0;

/// Checks the sizes that a node's inputs give. False where they depend on values that only a run shows.
///
/// `scales` gives an input's values where it is a constant of floats.
pub(super) fn check(
    node: &NodeProto,
    inputs: &[Extent],
    scales: &dyn Fn(usize) -> Option<Vec<f32>>,
    limits: &OnnxLimits,
) -> Result<bool, RuntimeError> {
    let sent = |index: usize| node.input.get(index).is_some_and(|name| !name.is_empty());
    match node.op_type.as_str() {
        "ConstantOfShape" | "BlackmanWindow" | "HannWindow" | "HammingWindow" => product(inputs, 0, limits),
        "Expand" | "Tile" | "OneHot" | "AffineGrid" | "CenterCropPad" => product(inputs, 1, limits),
        "MaxUnpool" => {
            if sent(2) {
                product(inputs, 2, limits)
            } else {
                Ok(true)
            }
        }
        "Range" => range(inputs, limits),
        "Pad" => {
            if sent(1) {
                each(inputs, 1, limits.window_max)
            } else {
                Ok(true)
            }
        }
        "Resize" if sent(3) => product(inputs, 3, limits),
        "Resize" => Ok(scales_fit(scales(2).or_else(|| scales(1)))),
        "Upsample" => Ok(!sent(1) || scales_fit(scales(1))),
        _ => Ok(true),
    }
}

fn scales_fit(scales: Option<Vec<f32>>) -> bool {
    scales.is_some_and(|scales| scales.iter().all(|scale| (0.0..=SCALE_MAX).contains(scale)))
}

/// The elements of a tensor of this shape, -1 standing for "as it was".
fn product(inputs: &[Extent], index: usize, limits: &OnnxLimits) -> Result<bool, RuntimeError> {
    match inputs.get(index) {
        Some(Extent::Known(shape)) => {
            let shape: Vec<i64> = shape.iter().map(|&dim| if dim == -1 { 1 } else { dim }).collect();
            elements(&shape, limits)?;
            Ok(true)
        }
        Some(Extent::Shaped(_)) => Ok(true),
        Some(Extent::Data) | None => Ok(false),
    }
}

fn each(inputs: &[Extent], index: usize, max: i64) -> Result<bool, RuntimeError> {
    match inputs.get(index) {
        Some(Extent::Known(values)) => {
            let largest = values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
            check_max("a padding", largest, max)?;
            Ok(true)
        }
        Some(Extent::Shaped(_)) => Ok(true),
        Some(Extent::Data) | None => Ok(false),
    }
}

fn range(inputs: &[Extent], limits: &OnnxLimits) -> Result<bool, RuntimeError> {
    let [start, limit, delta] = inputs else {
        return Ok(false);
    };
    let Some(step) = delta.scalar() else {
        return Ok(false);
    };
    if step == 0 {
        return Err(RuntimeError::invalid("a Range has a step of 0"));
    }
    if let (Some(start), Some(limit)) = (start.scalar(), limit.scalar()) {
        let length = (i128::from(limit) - i128::from(start)) / i128::from(step);
        check_max("the length of a Range", length.max(0), limits.elements_max)?;
        return Ok(true);
    }
    Ok(![start, limit].contains(&&Extent::Data))
}

/// The turns of a loop times those of the loops around it. A loop over a shape counts once: what is sent
/// bounds it.
pub(super) fn loop_turns(
    node: &NodeProto,
    inputs: &[Extent],
    turns_around: i64,
    limits: &OnnxLimits,
) -> Result<i64, RuntimeError> {
    let turns = match (node.input.first().map(String::as_str), inputs.first()) {
        (Some(""), _) | (_, None | Some(Extent::Data)) => {
            return Err(RuntimeError::RefusedOnnx {
                reason: "it has a loop whose number of turns cannot be bounded before it runs".to_owned(),
                hint: Some("give Loop a constant as its first input".to_owned()),
            });
        }
        (_, Some(Extent::Shaped(_))) => 1,
        (_, Some(known)) => known.scalar().unwrap_or(i64::MAX).max(1),
    };
    let turns = turns.saturating_mul(turns_around);
    check_max("the number of turns of its loops", turns, limits.loop_turns_max)?;
    Ok(turns)
}

/// Attributes that are sizes, divisors or strides.
pub(super) fn check_attribute(attribute: &AttributeProto, limits: &OnnxLimits) -> Result<(), String> {
    let at_most = |least: i64, most: i64| {
        let numbers = attribute.ints.iter().chain(&attribute.i);
        match numbers.clone().find(|number| !(least..=most).contains(number)) {
            Some(number) => Err(format!("{number} is not between {least} and {most}")),
            None => Ok(()),
        }
    };
    match attribute.name.as_str() {
        "kernel_shape" | "strides" | "dilations" => at_most(1, limits.window_max),
        "pads" => at_most(-limits.window_max, limits.window_max),
        "output_padding" => at_most(0, limits.window_max),
        "group" | "blocksize" | "num_outputs" | "num_heads" | "hidden_size" => at_most(1, 1 << 20),
        "output_shape" => at_most(-1, 1 << 20),
        "scales" if attribute.floats.iter().any(|scale| !(0.0..=SCALE_MAX).contains(scale)) => {
            Err(format!("it enlarges more than {SCALE_MAX} times"))
        }
        _ => Ok(()),
    }
}
