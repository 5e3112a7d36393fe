//! Data files in, fitted preprocessing, named answers out.
//!
//! [`read()`] turns files into a [`Dataset`], [`split()`] divides its rows, [`Pipeline::fit`] learns from the
//! training rows, and the fitted [`Pipeline`] is the one implementation that runs in training and in
//! serving: from raw rows to the numbers a network takes, and from its outputs back to named answers.
//!
//! ```
//! use modelyard_data::{InputSpec, Kind, OutputKind, OutputSpec, Pipeline, PipelineSpec, SourceSpec, Value};
//!
//! let spec = PipelineSpec {
//!     inputs: vec![InputSpec::new("petal", Kind::Number)],
//!     outputs: vec![OutputSpec::new("species", OutputKind::Category)],
//!     ..PipelineSpec::default()
//! };
//! let text = b"petal,species\n1,setosa\n3,virginica\n";
//! let data = modelyard_data::read::csv::from_bytes(text, &SourceSpec::new("iris.csv"), &spec)?;
//! let pipeline = Pipeline::fit(&spec, &data, &[0, 1])?;
//!
//! let row = [("petal".to_owned(), Value::Number(3.0))].into();
//! let served = pipeline.dataset_from_rows(&[row])?;
//! let mut numbers = Vec::new();
//! pipeline.apply(&served, &[0], &mut numbers)?;
//! assert_eq!(numbers, [1.0]);
//!
//! // The logits that a network gave for this row.
//! let answer = &pipeline.decode(&[-2.0, 2.0], 1)[0];
//! assert!(format!("{answer:?}").contains("label: \"virginica\""));
//! # Ok::<(), modelyard_data::DataError>(())
//! ```

pub mod augment;
mod dataset;
mod datetime;
mod error;
mod fields;
mod numbers;
mod picture;
mod pipeline;
mod profile;
mod random;
pub mod read;
mod sound;
mod spec;
mod split;
mod texts;
pub mod transform;
mod value;
mod window;

pub use augment::{AugmentSpec, Augmentation};
pub use dataset::{Categories, Column, ColumnData, Dataset, Dictionary, Images, MISSING, UNKNOWN, Vectors};
pub use datetime::write_datetime;
pub use error::{DataError, Place};
pub use numbers::{Decimals, Numbers};
pub use pipeline::{
    Answer, Calibration, Continuation, Continuing, FieldInfo, Finish, ForecastStep, InputPart, Language,
    NO_TOKEN, NextTokens, OutputActivation, Pipeline, Prediction, TargetValues, Task,
};
pub use profile::{Bin, CategoryProfile, FieldProfile, NumberProfile, Profile};
pub use read::{named_files, read, source_files};
pub use spec::{
    Columns, Duplicates, Every, Format, Gaps, InputSpec, Kind, OutputKind, OutputSpec, Paths, PipelineSpec,
    Short, SourceSpec, SplitKind, SplitSpec, WindowSpec,
};
pub use split::{Fold, Parts, rolling_origin, split};
pub use texts::Texts;
pub use transform::TransformSpec;
pub use value::{Row, Value};
pub use window::Windows;
