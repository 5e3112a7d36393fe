//! Scores of answers with several labels each.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;
use crate::evaluate::labels::{LabelCounts, THRESHOLD};

/// F1 of all labels counted together.
pub(super) struct F1Micro;
/// The mean F1 of the labels.
pub(super) struct F1OfLabels;
/// The share of rows whose labels are all right.
pub(super) struct SubsetAccuracy;

impl Metric for F1Micro {
    fn name(&self) -> &'static str {
        "f1_micro"
    }

    fn summary(&self) -> &'static str {
        "For several labels a row: F1 of all labels counted together. 0 where no label is given or true."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Multilabel
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        (sample.rows() > 0).then(|| LabelCounts::sum(&LabelCounts::of(sample)).f1())
    }
}

impl Metric for F1OfLabels {
    fn name(&self) -> &'static str {
        "f1_labels"
    }

    fn summary(&self) -> &'static str {
        "For several labels a row: the plain mean of the labels' F1. A label that is never given nor true has none."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Multilabel
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let mut counts = LabelCounts::of(sample);
        counts.retain(|counts| counts.truly + counts.predicted > 0);
        let sum: f64 = counts.iter().map(LabelCounts::f1).sum();
        (!counts.is_empty()).then(|| sum / counts.len() as f64)
    }
}

impl Metric for SubsetAccuracy {
    fn name(&self) -> &'static str {
        "subset_accuracy"
    }

    fn summary(&self) -> &'static str {
        "For several labels a row: the share of rows of which every label is right, and none is missing."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Multilabel
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Labels { truth, probabilities, labels } = sample else { return None };
        let alike = |(truth, given): (&[f32], &[f32])| {
            truth.iter().zip(given).all(|(truth, given)| (*truth >= THRESHOLD) == (*given >= THRESHOLD))
        };
        let rows = truth.chunks_exact(*labels).zip(probabilities.chunks_exact(*labels));
        let right = rows.filter(|row| alike(*row)).count();
        (sample.rows() > 0).then(|| right as f64 / sample.rows() as f64)
    }

    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        let rows = sample.rows() as f64;
        Some(interval::wilson(score * rows, rows))
    }
}
