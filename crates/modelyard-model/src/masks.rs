//! Which steps of a sequence are padding: which masks each layer reads, and what goes on behind it.

use crate::layers::{MaskRule, Misfit};
use crate::wiring::Value;

/// The masks that a layer reads: that of its input, and that of a memory. Each is a value [steps] that is 0 where a
/// step is padding.
pub(crate) type ReadMasks = [Option<Value>; 2];

/// For each layer so far the mask of what it gives.
#[derive(Default)]
pub(crate) struct Masks {
    given: Vec<Option<Value>>,
}

impl Masks {
    /// Takes the next layer in, of inputs of this many dimensions; gives the masks that it reads. `text` names a
    /// value in messages.
    pub(crate) fn add(
        &mut self,
        rule: MaskRule,
        (sources, rank): (&[Value], usize),
        text: impl Fn(Value) -> String,
    ) -> Result<ReadMasks, Misfit> {
        let masks: Vec<Value> = sources.iter().filter_map(|&source| self.of(source)).collect();
        let own = sources.first().and_then(|&source| self.of(source));
        let (read, goes_on) = match rule {
            MaskRule::Keeps => ([own, None], common(&masks, text)?),
            MaskRule::Begins => ([own, None], sources.first().copied()),
            MaskRule::Ends => ([own, None], None),
            MaskRule::Crosses => {
                let memory = sources.get(1).and_then(|&source| self.of(source));
                ([own, memory], own)
            }
            MaskRule::Joins { axis } => {
                check_axis(axis, rank, &masks, &text)?;
                ([own, None], common(&masks, text)?)
            }
        };
        self.given.push(goes_on);
        Ok(read)
    }

    fn of(&self, value: Value) -> Option<Value> {
        match value {
            Value::Layer(before) => self.given[before],
            Value::Input(_) => None,
        }
    }
}

/// The one mask of several inputs; those without one have no padding to tell apart.
fn common(masks: &[Value], text: impl Fn(Value) -> String) -> Result<Option<Value>, Misfit> {
    let Some(&first) = masks.first() else { return Ok(None) };
    match masks.iter().find(|&&mask| mask != first) {
        None => Ok(Some(first)),
        Some(&other) => Err(Misfit::Field {
            field: "from",
            message: format!(
                "joins sequences that {} and {} pad differently, so it is open which steps are padding",
                text(first),
                text(other)
            ),
            hint: Some(
                "set mask_zero in one of the embeddings only: its padding then counts for all".to_owned(),
            ),
        }),
    }
}

/// Refuses to lay sequences with padding end to end: it would stand in their middle. The axis is counted as Keras
/// does, the batch's being 0.
fn check_axis(axis: i32, rank: usize, masks: &[Value], text: impl Fn(Value) -> String) -> Result<(), Misfit> {
    let of_steps = axis == 1 || i64::from(axis) == -(rank as i64);
    match masks.first() {
        Some(&mask) if of_steps && rank > 1 => Err(Misfit::Field {
            field: "axis",
            message: format!("lays sequences end to end of which {} has padding", text(mask)),
            hint: Some(
                "concatenate the token numbers before one embedding with mask_zero, or leave mask_zero out"
                    .to_owned(),
            ),
        }),
        _ => Ok(()),
    }
}
