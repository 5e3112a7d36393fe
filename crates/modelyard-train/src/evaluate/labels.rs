//! Several labels at once, counted: what the scores of multi-label answers are made of.

use super::Sample;

/// A label is given where its probability is at least this.
pub(crate) const THRESHOLD: f32 = 0.5;

/// Hits and misses of one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Rows that have the label.
    pub truly: u64,
    /// Rows that were given it.
    pub predicted: u64,
    /// Rows of both kinds.
    pub hits: u64,
}

impl LabelCounts {
    /// The counts of each label; none where the sample has no labels.
    pub fn of(sample: &Sample) -> Vec<Self> {
        let Sample::Labels { truth, probabilities, labels } = sample else { return Vec::new() };
        let mut counts = vec![Self::default(); *labels];
        for (at, (truth, probability)) in truth.iter().zip(probabilities).enumerate() {
            let (truly, predicted) = (*truth >= THRESHOLD, *probability >= THRESHOLD);
            let counts = &mut counts[at % labels];
            counts.truly += u64::from(truly);
            counts.predicted += u64::from(predicted);
            counts.hits += u64::from(truly && predicted);
        }
        counts
    }

    /// All labels together.
    pub fn sum(counts: &[Self]) -> Self {
        counts.iter().fold(Self::default(), |sum, counts| Self {
            truly: sum.truly + counts.truly,
            predicted: sum.predicted + counts.predicted,
            hits: sum.hits + counts.hits,
        })
    }

    /// The rows given the label that have it; 0 where none was given it.
    pub fn precision(&self) -> f64 {
        ratio(self.hits, self.predicted)
    }

    /// The rows of the label that were given it; 0 where there is none.
    pub fn recall(&self) -> f64 {
        ratio(self.hits, self.truly)
    }

    /// The harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.truly + self.predicted)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
