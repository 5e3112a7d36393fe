//! Metrics: each kind in a file of its own, all behind one trait and named in one list. Names are
//! scikit-learn's where it has them.

mod accuracy;
mod alarms;
mod f1;
mod forecast;
mod language;
mod log_loss;
mod mae;
mod mape;
mod mean_error;
mod multilabel;
mod nasa;
mod per_class;
mod precision;
mod r2;
mod recall;
mod rmse;
mod roc_auc;

use super::interval::{self, Interval};
use super::{Sample, TaskKind};

/// Scores a model's answers.
pub trait Metric: Sync {
    /// The name in project files and scores.
    fn name(&self) -> &'static str;

    /// One sentence for the reference page, with what happens where the score is undefined.
    fn summary(&self) -> &'static str;

    /// Whether this metric can score answers of this kind.
    fn fits(&self, task: TaskKind) -> bool;

    /// Whether a larger score is a better one.
    fn higher_is_better(&self) -> bool {
        true
    }

    /// The least and the largest value that the score can take.
    fn range(&self) -> (f64, f64) {
        (f64::NEG_INFINITY, 1.0)
    }

    /// The score; none where it is undefined on these rows.
    fn score(&self, sample: &Sample) -> Option<f64>;

    /// The 95 % interval of a score that [`Metric::score`] gave; by seeded bootstrap unless a metric knows better.
    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        let interval = interval::bootstrap(sample, score, |resample| self.score(resample))?;
        let (least, most) = self.range();
        Some(interval::clamp(interval, least, most))
    }
}

/// Every metric, in the order in which reports show them.
pub const METRICS: [&dyn Metric; 28] = [
    &accuracy::Accuracy,
    &f1::MACRO,
    &f1::WEIGHTED,
    &f1::POSITIVE,
    &precision::MACRO,
    &precision::WEIGHTED,
    &precision::POSITIVE,
    &recall::MACRO,
    &recall::WEIGHTED,
    &recall::POSITIVE,
    &roc_auc::RocAuc,
    &log_loss::LogLoss,
    &multilabel::F1Micro,
    &multilabel::F1OfLabels,
    &multilabel::SubsetAccuracy,
    &language::BitsPerCharacter,
    &language::Perplexity,
    &rmse::Rmse,
    &mae::MAE,
    &r2::R2,
    &mape::MAPE,
    &nasa::NasaScore,
    &forecast::MASE,
    &forecast::PINBALL,
    &forecast::COVERAGE,
    &alarms::EVENTS_FOUND,
    &alarms::FALSE_ALARMS,
    &alarms::FLAGGED_SHARE,
];

/// The metric of this name.
pub fn by_name(name: &str) -> Option<&'static dyn Metric> {
    METRICS.into_iter().find(|metric| metric.name() == name)
}

/// The metrics that can score answers of this kind.
pub fn fitting(task: TaskKind) -> impl Iterator<Item = &'static dyn Metric> {
    METRICS.into_iter().filter(move |metric| fits(*metric, task))
}

/// Whether a metric can score answers of this kind, by itself or by the plain sample that a series holds.
pub fn fits(metric: &dyn Metric, task: TaskKind) -> bool {
    metric.fits(task) || metric.fits(task.plain())
}

/// The score by a metric of what it looks at in a sample.
pub fn score_of(metric: &dyn Metric, sample: &Sample) -> Option<f64> {
    metric.score(sample.seen_by(metric)?)
}

#[cfg(test)]
mod contract;
