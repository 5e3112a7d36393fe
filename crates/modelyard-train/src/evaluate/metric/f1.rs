//! F1: the harmonic mean of precision and recall.

use super::per_class::PerClass;
use crate::evaluate::{Average, Confusion};

pub(super) const MACRO: PerClass = PerClass {
    name: "f1_macro",
    summary: "The harmonic mean of precision and recall: the plain mean over the classes that occur, truly or predicted. A class with neither has 0.",
    score: Confusion::f1,
    average: Average::Macro,
};

pub(super) const WEIGHTED: PerClass = PerClass {
    name: "f1_weighted",
    summary: "The harmonic mean of precision and recall: the mean over the classes, weighted by how often each truly occurs. A class with neither has 0.",
    score: Confusion::f1,
    average: Average::Weighted,
};

pub(super) const POSITIVE: PerClass = PerClass {
    name: "f1",
    summary: "The harmonic mean of precision and recall of the second of two classes, the positive one. A class with neither has 0.",
    score: Confusion::f1,
    average: Average::Positive,
};
