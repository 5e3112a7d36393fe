//! Precision: of the rows called a class, the share that truly are.

use super::{Metric, Sample, TaskKind};
use crate::evaluate::{Average, Confusion};

/// Precision of the classes, averaged.
pub(super) struct Precision {
    name: &'static str,
    summary: &'static str,
    average: Average,
}

pub(super) const MACRO: Precision = Precision {
    name: "precision_macro",
    summary: "Of the rows called a class, the share that are: the plain mean over the classes that occur, truly or predicted. A class that no row was called has 0.",
    average: Average::Macro,
};

pub(super) const WEIGHTED: Precision = Precision {
    name: "precision_weighted",
    summary: "Of the rows called a class, the share that are: the mean over the classes, weighted by how often each truly occurs. A class that no row was called has 0.",
    average: Average::Weighted,
};

pub(super) const POSITIVE: Precision = Precision {
    name: "precision",
    summary: "Of the rows called a class, the share that are of the second of two classes, the positive one. A class that no row was called has 0.",
    average: Average::Positive,
};

impl Metric for Precision {
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
        self.average.over(&Confusion::of(sample), Confusion::precision)
    }
}
