//! Data files in, fitted preprocessing, named answers out.
//!
//! [`read()`] turns files into a [`Dataset`], [`split()`] divides its rows, [`Pipeline::fit`] learns from the
//! training rows, and the fitted [`Pipeline`] is the one implementation that runs in training and in
//! serving: from raw rows to the numbers a network takes, and from its outputs back to named answers.

mod dataset;
mod datetime;
mod error;
mod fields;
mod picture;
mod pipeline;
mod profile;
mod random;
pub mod read;
mod spec;
mod split;
pub mod transform;
mod value;

pub use dataset::{
    Categories, Column, ColumnData, Dataset, Dictionary, Images, MISSING, Numbers, UNKNOWN, Vectors,
};
pub use error::{DataError, Place};
pub use pipeline::{Answer, FieldInfo, OutputActivation, Pipeline, Prediction, TargetValues, Task};
pub use profile::{Bin, CategoryProfile, FieldProfile, NumberProfile, Profile};
pub use read::{read, source_files};
pub use spec::{
    Columns, Format, InputSpec, Kind, OutputKind, OutputSpec, Paths, PipelineSpec, SourceSpec, SplitKind,
    SplitSpec,
};
pub use split::{Parts, split};
pub use transform::TransformSpec;
pub use value::{Row, Value};
