//! How the inputs lie in the network's row: parts side by side, each with a shape of its own.

use super::input::FittedInput;
use crate::error::DataError;
use crate::fields::FieldKind;
use crate::spec::{FEATURES, InputSpec, Kind, PipelineSpec};
use crate::transform::Form;

/// More numbers a row than any network here is made for; a stored pipeline cannot ask for more memory.
const FEATURES_MAX: usize = 1 << 26;

/// One part of the network's row: an image, a text, the steps of a window, or plain numbers side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPart {
    /// The name by which layers take it (`from`).
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl InputPart {
    /// Numbers in a row.
    fn len(&self) -> usize {
        self.shape.iter().fold(1, |len: usize, side| len.saturating_mul(*side))
    }
}

/// Where an input's numbers lie in a row: at each of `steps` steps, `stride` numbers apart. What is no input of steps
/// has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) first: usize,
    pub(super) steps: usize,
    pub(super) stride: usize,
}

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) parts: Vec<InputPart>,
    /// For each input, where its numbers lie.
    pub(super) cells: Vec<Cells>,
    /// For each input, its part.
    part_of: Vec<usize>,
}

impl Layout {
    /// Lays the parts out in the order of their first inputs. Where there are windows, the inputs of steps are one
    /// part of [steps, features], within a step side by side; those known ahead of time stand there twice: of the
    /// step, and of the one `horizon` rows later.
    pub(super) fn new(spec: &PipelineSpec, inputs: &[FittedInput]) -> Result<Self, DataError> {
        if inputs.is_empty() {
            return Err(
                DataError::spec("inputs", "at least one input is needed").with_hint("declare [[inputs]]")
            );
        }
        let mut parts: Vec<InputPart> = Vec::new();
        let mut places = Vec::with_capacity(inputs.len());
        for (input, declared) in inputs.iter().zip(&spec.inputs) {
            let steps = spec.steps_of(declared);
            let shape = match steps {
                Some(steps) => {
                    vec![steps, input.width().saturating_mul(1 + usize::from(declared.known_future))]
                }
                None => shape_of(input, declared)?,
            };
            let name = if steps.is_some() { FEATURES } else { part_of(declared, shape.len()) };
            places.push(match parts.iter_mut().position(|part| part.name == name) {
                None => {
                    parts.push(InputPart { name: name.to_owned(), shape });
                    (parts.len() - 1, 0)
                }
                Some(at) => {
                    let before = *parts[at].shape.last().expect("a part has a shape");
                    parts[at] = joined(&parts[at], &shape, steps.is_some(), declared)?;
                    (at, before)
                }
            });
        }
        let width = parts.iter().fold(0usize, |width, part| width.saturating_add(part.len()));
        if width > FEATURES_MAX {
            let problem = format!("{width} numbers a row are more than {FEATURES_MAX}");
            return Err(DataError::spec("inputs", problem));
        }
        let start = |part: usize| parts[..part].iter().map(InputPart::len).sum::<usize>();
        let cells = places.iter().zip(&spec.inputs).map(|((part, inside), declared)| Cells {
            first: start(*part) + inside,
            steps: spec.steps_of(declared).unwrap_or(1),
            stride: *parts[*part].shape.last().expect("a part has a shape"),
        });
        let cells = cells.collect();
        Ok(Self { cells, part_of: places.iter().map(|(part, _)| *part).collect(), parts })
    }

    /// Where each input begins, with the shape of its part.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, &[usize])> {
        let shape = |part: &usize| self.parts[*part].shape.as_slice();
        self.cells.iter().map(|cells| cells.first).zip(self.part_of.iter().map(shape))
    }

    /// The shape of a whole row: the one part's, or all parts' numbers side by side.
    pub(super) fn row_shape(&self) -> Vec<usize> {
        match self.parts.as_slice() {
            [only] => only.shape.clone(),
            parts => vec![parts.iter().map(InputPart::len).sum()],
        }
    }
}

/// The part that an input belongs to.
fn part_of(declared: &InputSpec, dimensions: usize) -> &str {
    let own = dimensions > 1 || declared.kind == Kind::Text;
    let usual = if own { declared.name.as_str() } else { FEATURES };
    declared.part.as_deref().unwrap_or(usual)
}

/// The part with another input at its end.
fn joined(
    part: &InputPart,
    shape: &[usize],
    of_steps: bool,
    declared: &InputSpec,
) -> Result<InputPart, DataError> {
    let of_shape = |shape| Ok(InputPart { name: part.name.clone(), shape });
    match (part.shape.as_slice(), shape) {
        ([before], [more]) => of_shape(vec![before.saturating_add(*more)]),
        ([steps, before], [same, more]) if of_steps && steps == same => {
            of_shape(vec![*steps, before.saturating_add(*more)])
        }
        _ => Err(DataError::spec(
            &declared.name,
            format!("it is {shape:?} and cannot lie in the part {:?}, which is {:?}", part.name, part.shape),
        )
        .with_hint("an input with a shape is a part of its own: give it another part, or none")),
    }
}

fn shape_of(input: &FittedInput, declared: &InputSpec) -> Result<Vec<usize>, DataError> {
    if let Form::Image { shape } = input.output() {
        return Ok(shape.to_vec());
    }
    let width = input.width();
    if let FieldKind::Audio { mel } = &input.field.kind {
        let shape = mel.shape().to_vec();
        return if shape.iter().product::<usize>() == width { Ok(shape) } else { Ok(vec![width]) };
    }
    let Some(shape) = declared.shape else { return Ok(vec![width]) };
    if shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side)) != Some(width) {
        let problem = format!("shape {shape:?} does not hold {width} numbers");
        return Err(DataError::spec(&declared.name, problem)
            .with_hint("shape is [height, width, channels], and their product is the number of columns"));
    }
    Ok(shape.to_vec())
}
