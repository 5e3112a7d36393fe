//! Recall: of the rows of a class, the share that were found.

use super::per_class::PerClass;
use crate::evaluate::{Average, Confusion};

pub(super) const MACRO: PerClass = PerClass {
    name: "recall_macro",
    summary: "Of the rows of a class, the share that were called it: the plain mean over the classes that occur, truly or predicted. A class without rows has 0.",
    score: Confusion::recall,
    average: Average::Macro,
};

pub(super) const WEIGHTED: PerClass = PerClass {
    name: "recall_weighted",
    summary: "Of the rows of a class, the share that were called it: the mean over the classes, weighted by how often each truly occurs. A class without rows has 0.",
    score: Confusion::recall,
    average: Average::Weighted,
};

pub(super) const POSITIVE: PerClass = PerClass {
    name: "recall",
    summary: "Of the rows of a class, the share that were called it of the second of two classes, the positive one. A class without rows has 0.",
    score: Confusion::recall,
    average: Average::Positive,
};
