//! Image augmentation: small random changes of training images, new in each epoch, that teach a network what does
//! not matter. Validation, test and served images are never changed. A new kind is a file here and a line in the
//! list below.

mod brightness;
mod canvas;
mod crop;
mod flip;
mod noise;
mod rotate;
mod shift;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, Problem};
use crate::pipeline::Pipeline;
use crate::random::Random;
use crate::spec::{InputSpec, Kind};

pub use brightness::Brightness;
pub(crate) use canvas::Canvas;
pub use crop::Crop;
pub use flip::Flip;
pub use noise::Noise;
pub use rotate::Rotate;
pub use shift::Shift;

/// One kind of change.
pub(crate) trait Augment {
    /// Whether the settings make sense.
    fn check(&self) -> Result<(), Problem>;

    /// Changes an image.
    fn apply(&self, canvas: &mut Canvas<'_>, random: &mut Random);
}

macro_rules! augmentations {
    ($($(#[$doc:meta])* $name:ident, $text:literal;)*) => {
        /// One change of training images with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum AugmentSpec {
            $($(#[$doc])* #[serde(rename = $text)] $name($name),)*
        }

        impl AugmentSpec {
            /// The name as the project file writes it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $text,)*
                }
            }

            fn as_augment(&self) -> &dyn Augment {
                match self {
                    $(Self::$name(augment) => augment,)*
                }
            }
        }
    };
}

augmentations! {
    /// Turns images over.
    Flip, "flip";
    /// Moves images by whole pixels.
    Shift, "shift";
    /// Rotates images about their centre.
    Rotate, "rotate";
    /// Shows a part of each image, scaled to the whole size.
    Crop, "crop";
    /// Adds noise to every value.
    Noise, "noise";
    /// Makes images brighter or darker.
    Brightness, "brightness";
}

/// Whether an input can be augmented as declared.
pub(crate) fn check(input: &InputSpec) -> Result<(), DataError> {
    let Some(changes) = &input.augment else { return Ok(()) };
    if input.kind != Kind::Image && input.shape.is_none() {
        let problem = format!("augment changes images, and this is a {}", input.kind);
        return Err(DataError::spec(&input.name, problem));
    }
    for change in changes {
        change.as_augment().check().map_err(|problem| DataError::Spec {
            field: input.name.clone(),
            problem: format!("{}: {}", change.name(), problem.text),
            hint: problem.hint,
        })?;
    }
    Ok(())
}

/// The changes of every augmented input of a project's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Numbers a row.
    width: usize,
    images: Vec<Augmented>,
    seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Augmented {
    /// Where the image begins in the row.
    offset: usize,
    shape: [usize; 3],
    changes: Vec<AugmentSpec>,
}

impl Augmentation {
    /// What the inputs declare, for rows of a pipeline fitted on them; none where nothing is declared.
    pub fn new(inputs: &[InputSpec], pipeline: &Pipeline, seed: u64) -> Option<Self> {
        let mut images = Vec::new();
        for (input, (offset, shape)) in inputs.iter().zip(pipeline.input_places()) {
            let changes = input.augment.clone().unwrap_or_default();
            if let (false, [height, width, channels]) = (changes.is_empty(), shape) {
                images.push(Augmented { offset, shape: [*height, *width, *channels], changes });
            }
        }
        let width = pipeline.input_shape().iter().product();
        (!images.is_empty()).then_some(Self { width, images, seed })
    }

    /// Changes rows of the network's numbers. `places` number them among the training rows: the same place in the
    /// same epoch is changed in the same way, whatever the order of rows or the number of threads.
    ///
    /// # Panics
    /// Where there are not as many rows as places.
    pub fn apply(&self, rows: &mut [f32], places: &[usize], epoch: usize) {
        assert_eq!(rows.len(), places.len() * self.width, "one row a place");
        let mut spare = Vec::new();
        for (row, place) in rows.chunks_exact_mut(self.width).zip(places) {
            let mut random = Random::new(self.seed).fork(epoch as u64).fork(*place as u64);
            for image in &self.images {
                let size: usize = image.shape.iter().product();
                let values = &mut row[image.offset..image.offset + size];
                let mut canvas = Canvas::new(image.shape, values, &mut spare);
                for change in &image.changes {
                    change.as_augment().apply(&mut canvas, &mut random);
                }
            }
        }
    }
}

/// A setting that is a fraction of something.
fn fraction(name: &str, value: f64) -> Result<(), Problem> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Problem::new(format!("{name} = {value} is out of range")).hint(format!("{name} is from 0 to 1")))
}

#[cfg(test)]
mod tests;
