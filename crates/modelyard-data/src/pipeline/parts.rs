//! How the inputs lie in the network's row: parts side by side, each with a shape of its own.

use super::input::FittedInput;
use crate::error::DataError;
use crate::fields::FieldKind;
use crate::spec::{InputSpec, Kind, PipelineSpec, WindowSpec};
use crate::transform::Form;

/// More numbers a row than any network here is made for; a stored pipeline cannot ask for more memory.
const FEATURES_MAX: usize = 1 << 26;
/// The part of all inputs that have no shape of their own.
const FEATURES: &str = "features";

/// One part of the network's row: an image, a text, or plain numbers side by side.
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

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) parts: Vec<InputPart>,
    /// For each input, where it begins in the row.
    pub(super) offsets: Vec<usize>,
    /// For each input, its part and where it begins in there.
    places: Vec<(usize, usize)>,
}

impl Layout {
    /// Lays the parts out in the order of their first inputs.
    pub(super) fn new(spec: &PipelineSpec, inputs: &[FittedInput]) -> Result<Self, DataError> {
        if inputs.is_empty() {
            return Err(
                DataError::spec("inputs", "at least one input is needed").with_hint("declare [[inputs]]")
            );
        }
        if let Some(windows) = &spec.windows {
            return Self::of_windows(windows, spec, inputs);
        }
        let mut parts: Vec<InputPart> = Vec::new();
        let mut places = Vec::with_capacity(inputs.len());
        for (input, declared) in inputs.iter().zip(&spec.inputs) {
            let shape = shape_of(input, declared)?;
            let name = part_of(declared, shape.len());
            let place = match parts.iter_mut().position(|part| part.name == name) {
                None => {
                    parts.push(InputPart { name: name.to_owned(), shape });
                    (parts.len() - 1, 0)
                }
                Some(at) => {
                    let before = parts[at].len();
                    parts[at] = joined(&parts[at], &shape, declared)?;
                    (at, before)
                }
            };
            places.push(place);
        }
        let width = parts.iter().fold(0usize, |width, part| width.saturating_add(part.len()));
        if width > FEATURES_MAX {
            let problem = format!("{width} numbers a row are more than {FEATURES_MAX}");
            return Err(DataError::spec("inputs", problem));
        }
        let start = |part: usize| parts[..part].iter().map(InputPart::len).sum::<usize>();
        let offsets = places.iter().map(|(part, inside)| start(*part) + inside).collect();
        Ok(Self { parts, offsets, places })
    }

    /// One part of [steps, features]; within a step the inputs stand side by side, those known ahead of time twice:
    /// of the step, and of the one `horizon` rows later.
    fn of_windows(
        windows: &WindowSpec,
        spec: &PipelineSpec,
        inputs: &[FittedInput],
    ) -> Result<Self, DataError> {
        let mut features = 0usize;
        let mut offsets = Vec::with_capacity(inputs.len());
        for (input, declared) in inputs.iter().zip(&spec.inputs) {
            offsets.push(features);
            features = features.saturating_add(input.width() << usize::from(declared.known_future));
        }
        if features.saturating_mul(windows.length) > FEATURES_MAX {
            let problem =
                format!("{} steps of {features} numbers are more than {FEATURES_MAX}", windows.length);
            return Err(DataError::spec("inputs", problem));
        }
        let part = InputPart { name: FEATURES.to_owned(), shape: vec![windows.length, features] };
        let places = offsets.iter().map(|offset| (0, *offset)).collect();
        Ok(Self { parts: vec![part], offsets, places })
    }

    /// Where each input begins, with the shape of its part.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, &[usize])> {
        let part = |place: &(usize, usize)| self.parts[place.0].shape.as_slice();
        self.offsets.iter().copied().zip(self.places.iter().map(part))
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
fn joined(part: &InputPart, shape: &[usize], declared: &InputSpec) -> Result<InputPart, DataError> {
    match (part.shape.as_slice(), shape) {
        ([before], [more]) => {
            Ok(InputPart { name: part.name.clone(), shape: vec![before.saturating_add(*more)] })
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
