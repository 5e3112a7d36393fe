//! Recall: of the rows of a class, the share that were found.

use super::{Metric, Sample, TaskKind};
use crate::evaluate::{Average, Confusion};

/// Recall of the classes, averaged.
pub(super) struct Recall {
    name: &'static str,
    summary: &'static str,
    average: Average,
}

pub(super) const MACRO: Recall = Recall {
    name: "recall_macro",
    summary: "Of the rows of a class, the share that were called it: the plain mean over the classes that occur, truly or predicted. A class without rows has 0.",
    average: Average::Macro,
};

pub(super) const WEIGHTED: Recall = Recall {
    name: "recall_weighted",
    summary: "Of the rows of a class, the share that were called it: the mean over the classes, weighted by how often each truly occurs. A class without rows has 0.",
    average: Average::Weighted,
};

pub(super) const POSITIVE: Recall = Recall {
    name: "recall",
    summary: "Of the rows of a class, the share that were called it of the second of two classes, the positive one. A class without rows has 0.",
    average: Average::Positive,
};

impl Metric for Recall {
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
        self.average.over(&Confusion::of(sample), Confusion::recall)
    }
}
