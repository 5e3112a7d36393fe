//! The confusion matrix, and the counts that precision, recall and F1 are made of.

use super::Sample;

/// Rows counted by true class (outer) and predicted class (inner), as scikit-learn's `confusion_matrix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts a sample; all zero for numbers.
    pub fn of(sample: &Sample) -> Self {
        let Sample::Classes { truth, classes, .. } = sample else {
            return Self { classes: 0, counts: Vec::new() };
        };
        let mut counts = vec![0; classes * classes];
        for (truth, predicted) in truth.iter().zip(sample.predicted_classes()) {
            counts[*truth as usize * classes + predicted as usize] += 1;
        }
        Self { classes: *classes, counts }
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many rows of class `truth` were called `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.classes + predicted]
    }

    /// The counts as nested lists.
    pub fn to_lists(&self) -> Vec<Vec<u64>> {
        self.counts.chunks_exact(self.classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    /// How many rows truly are of this class.
    pub fn support(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }

    /// How many rows were said to be of this class.
    pub fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    /// The rows called this class that are; 0 where none was called it.
    pub fn precision(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.predicted(class))
    }

    /// The rows of this class that were called it; 0 where there is none.
    pub fn recall(&self, class: usize) -> f64 {
        ratio(self.count(class, class), self.support(class))
    }

    /// The harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.count(class, class), self.support(class) + self.predicted(class))
    }

    /// How many rows were called what they are.
    pub fn hits(&self) -> u64 {
        (0..self.classes).map(|class| self.count(class, class)).sum()
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How the scores of the classes become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The second of two classes alone.
    Positive,
    /// The plain mean over the classes that occur, truly or predicted.
    Macro,
    /// The mean weighted by how often a class truly occurs.
    Weighted,
}

impl Average {
    /// Averages a per-class score; none where there is no row, or no positive class.
    pub fn over(self, confusion: &Confusion, score: impl Fn(&Confusion, usize) -> f64) -> Option<f64> {
        let rows = confusion.rows();
        if rows == 0 {
            return None;
        }
        let classes = 0..confusion.classes();
        match self {
            Self::Positive => (confusion.classes() == 2).then(|| score(confusion, 1)),
            Self::Macro => {
                let seen: Vec<usize> =
                    classes.filter(|&c| confusion.support(c) + confusion.predicted(c) > 0).collect();
                Some(seen.iter().map(|&c| score(confusion, c)).sum::<f64>() / seen.len() as f64)
            }
            Self::Weighted => Some(
                classes.map(|c| score(confusion, c) * confusion.support(c) as f64).sum::<f64>() / rows as f64,
            ),
        }
    }
}
