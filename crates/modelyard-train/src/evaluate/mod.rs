//! From answers to scores: the metrics that fit the task, their intervals, and what a model that only knows
//! the training answers would have scored.

mod baseline;
mod confusion;
mod interval;
mod labels;
pub mod metric;
mod sample;
mod score;
pub mod series;
mod tokens;
mod trigram;

pub use baseline::Baseline;
pub use confusion::{Average, Confusion};
pub(crate) use interval::SplitMix;
pub use interval::{Interval, bootstrap, clamp, of_mean, wilson};
pub use labels::LabelCounts;
pub use sample::{Sample, TaskKind};
pub use score::{Intervals, all_numbers, class_names, label_names, leading_metric, sample, score, task_kind};
pub use series::{Alarms, Detail, Forecast, Series, task_of};
pub(crate) use tokens::{token_losses, token_sample};
pub use trigram::Trigram;
