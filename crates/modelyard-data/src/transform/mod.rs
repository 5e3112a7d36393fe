//! The transforms: each learns on training rows only, and the fitted form is the one thing that runs in
//! training and in serving. A new one is a file here and a line in the list below.

mod affine;
mod bag_of_words;
mod block;
mod clip;
mod datetime_parts;
mod grey;
mod image_to_float;
mod impute;
mod log1p;
mod log_mel;
mod min_max;
mod normalize;
mod one_hot;
mod ordinal;
mod resize;
mod robust;
mod standard;
mod tokenize;
mod vocabulary;

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;

pub use bag_of_words::BagOfWords;
pub(crate) use block::{Block, Form, Moments, Training, quantile};
pub use clip::Clip;
pub use datetime_parts::{DatetimeParts, Part};
pub(crate) use grey::FittedGrey;
pub use grey::Grey;
pub use image_to_float::ImageToFloat;
pub use impute::{Fill, Impute, Strategy};
pub use log_mel::LogMel;
pub use log1p::Log1p;
pub use min_max::MinMax;
pub use normalize::Normalize;
pub use one_hot::OneHot;
pub use ordinal::Ordinal;
pub use resize::Resize;
pub use robust::Robust;
pub use standard::Standard;
pub(crate) use tokenize::FittedTokenize;
pub use tokenize::Tokenize;
pub use vocabulary::TokenModel;
pub(crate) use vocabulary::{BOUNDARY, PADDING, UNKNOWN_TOKEN};

/// What a project file declares: learns from training rows and becomes a [`Transform`].
pub(crate) trait Declared {
    /// What it becomes.
    type Fitted: Transform;

    /// Learns from the training rows, as the transforms before left them.
    fn fit(&self, training: &Training<'_>) -> Result<Self::Fitted, Problem>;
}

/// A fitted transform. What it holds may come from a stored file, so [`Transform::output`] checks it against
/// what comes in before [`Transform::apply`] relies on it.
pub(crate) trait Transform: Debug {
    /// The form of what goes out.
    fn output(&self, incoming: &Form) -> Result<Form, Problem>;

    /// Changes every row of the block; the caller sets the block's form to [`Transform::output`] afterwards.
    fn apply(&self, block: &mut Block);

    /// Undoes the transform on values of a one-number column, where that can be done.
    fn invert(&self, values: &mut [f64]) -> Result<(), Problem> {
        let _ = values;
        Err(Problem::new("this transform cannot be undone, so it does not fit an output")
            .hint("outputs take standard, min_max, robust and log1p"))
    }

    /// Undoes the transform on every row of the block as far as that can be done, where `before` is the form that
    /// came in; gives the form that is left. What was lost on the way in stays lost: an image keeps the size that
    /// it was brought to.
    fn undo(&self, block: &mut Block, before: &Form) -> Option<Form> {
        self.invert(&mut block.floats).ok().map(|()| before.clone())
    }
}

macro_rules! transforms {
    ($($(#[$doc:meta])* $name:ident, $fitted:path, $text:literal;)*) => {
        /// One transform with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum TransformSpec {
            $($(#[$doc])* #[serde(rename = $text)] $name($name),)*
        }

        impl TransformSpec {
            /// Every transform's name, as the project file writes it.
            pub const NAMES: &[&str] = &[$($text),*];

            /// The name as the project file writes it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $text,)*
                }
            }

            pub(crate) fn fit(&self, training: &Training<'_>) -> Result<Fitted, Problem> {
                Ok(match self {
                    $(Self::$name(declared) => Fitted::$name(declared.fit(training)?),)*
                })
            }
        }

        /// One fitted transform.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type")]
        pub(crate) enum Fitted {
            $(#[serde(rename = $text)] $name($fitted),)*
        }

        impl Fitted {
            pub(crate) fn as_transform(&self) -> &dyn Transform {
                match self {
                    $(Self::$name(fitted) => fitted,)*
                }
            }

            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $text,)*
                }
            }
        }
    };
}

transforms! {
    /// Fills in missing values.
    Impute, impute::FittedImpute, "impute";
    /// Moves and stretches to mean 0 and standard deviation 1.
    Standard, affine::Affine, "standard";
    /// Moves and stretches into the range from 0 to 1.
    MinMax, affine::Affine, "min_max";
    /// Moves and stretches to median 0 and interquartile range 1: outliers count less.
    Robust, affine::Affine, "robust";
    /// Takes ln(1 + x): for amounts and counts with a long tail.
    Log1p, log1p::FittedLog1p, "log1p";
    /// Cuts off below and above.
    Clip, clip::FittedClip, "clip";
    /// A category as one column per label, one of them 1.
    OneHot, one_hot::FittedOneHot, "one_hot";
    /// A category as its rank.
    Ordinal, ordinal::FittedOrdinal, "ordinal";
    /// A datetime as the sine and cosine of its parts.
    DatetimeParts, datetime_parts::FittedDatetimeParts, "datetime_parts";
    /// Bytes 0 to 255 as numbers 0 to 1.
    ImageToFloat, image_to_float::FittedImageToFloat, "image_to_float";
    /// Scales every image to one size.
    Resize, resize::FittedResize, "resize";
    /// Moves and stretches each channel to mean 0 and standard deviation 1.
    Normalize, normalize::FittedNormalize, "normalize";
    /// Makes colour images grey.
    Grey, grey::FittedGrey, "grey";
    /// A sound as [frames, bands].
    LogMel, log_mel::FittedLogMel, "log_mel";
    /// A text as a row of token numbers: what an `embedding` layer takes.
    Tokenize, tokenize::FittedTokenize, "tokenize";
    /// A text as weighted counts of its words: what a `dense` layer takes.
    BagOfWords, bag_of_words::FittedBagOfWords, "bag_of_words";
}
