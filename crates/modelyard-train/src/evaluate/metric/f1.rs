//! F1: the harmonic mean of precision and recall.

use super::{Metric, Sample, TaskKind};
use crate::evaluate::{Average, Confusion};

/// F1 of the classes, averaged.
pub(super) struct F1 {
    name: &'static str,
    summary: &'static str,
    average: Average,
}

pub(super) const MACRO: F1 = F1 {
    name: "f1_macro",
    summary: "The harmonic mean of precision and recall: the plain mean over the classes that occur, truly or predicted. A class with neither has 0.",
    average: Average::Macro,
};

pub(super) const WEIGHTED: F1 = F1 {
    name: "f1_weighted",
    summary: "The harmonic mean of precision and recall: the mean over the classes, weighted by how often each truly occurs. A class with neither has 0.",
    average: Average::Weighted,
};

pub(super) const POSITIVE: F1 = F1 {
    name: "f1",
    summary: "The harmonic mean of precision and recall of the second of two classes, the positive one. A class with neither has 0.",
    average: Average::Positive,
};

impl Metric for F1 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn fits(&self, task: TaskKind) -> bool {
        match self.average {
            Average::Positive => task == TaskKind::Binary,
            Average::Macro | Average::Weighted => task != TaskKind::Regression,
        }
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        self.average.over(&Confusion::of(sample), Confusion::f1)
    }
}
