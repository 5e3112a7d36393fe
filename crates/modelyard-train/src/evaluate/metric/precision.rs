//! Precision: of the rows called a class, the share that truly are.

use super::per_class::PerClass;
use crate::evaluate::{Average, Confusion};

pub(super) const MACRO: PerClass = PerClass {
    name: "precision_macro",
    summary: "Of the rows called a class, the share that are: the plain mean over the classes that occur, truly or predicted. A class that no row was called has 0.",
    score: Confusion::precision,
    average: Average::Macro,
};

pub(super) const WEIGHTED: PerClass = PerClass {
    name: "precision_weighted",
    summary: "Of the rows called a class, the share that are: the mean over the classes, weighted by how often each truly occurs. A class that no row was called has 0.",
    score: Confusion::precision,
    average: Average::Weighted,
};

pub(super) const POSITIVE: PerClass = PerClass {
    name: "precision",
    summary: "Of the rows called a class, the share that are of the second of two classes, the positive one. A class that no row was called has 0.",
    score: Confusion::precision,
    average: Average::Positive,
};
