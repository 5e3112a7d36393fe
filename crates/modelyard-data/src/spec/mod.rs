//! What a project file says about its data: the raw declarations, before any file is opened.

mod fields;
mod source;
mod split;
mod windows;

pub(crate) use fields::FEATURES;
pub use fields::{Columns, InputSpec, Kind, OutputKind, OutputSpec, PipelineSpec};
pub use source::{Format, Paths, SourceSpec};
pub use split::{SplitKind, SplitSpec};
pub use windows::{Duplicates, Every, Gaps, Short, WindowSpec};
