//! 95 % confidence intervals: how far a score on so many rows can be trusted.

use super::Sample;

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The most rows of one resample.
const BOOTSTRAP_ROWS: usize = 4_000;

/// How many values the resamples of one bootstrap may touch, all together.
const BOOTSTRAP_VALUES: usize = 4_000_000;

/// A lower and an upper bound.
pub type Interval = (f64, f64);

/// Wilson's score interval for `hits` out of `rows` (Wilson 1927); sound for small counts and near 0 and 1.
pub fn wilson(hits: f64, rows: f64) -> Interval {
    let share = hits / rows;
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * rows)) / (1.0 + z2 / rows);
    let half = Z / (1.0 + z2 / rows) * (share * (1.0 - share) / rows + z2 / (4.0 * rows * rows)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// The normal interval of a mean of per-row values; none for fewer than two rows, or where all are the same.
pub fn of_mean(values: impl Iterator<Item = f64> + Clone) -> Option<Interval> {
    let rows = values.clone().count();
    if rows < 2 {
        return None;
    }
    let mean = values.clone().sum::<f64>() / rows as f64;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (rows - 1) as f64;
    if variance <= 0.0 {
        return None;
    }
    let half = Z * (variance / rows as f64).sqrt();
    Some((mean - half, mean + half))
}

/// The normal interval around `score` with its standard error by bootstrap: up to 100 seeded resamples of the
/// rows, of at most [`BOOTSTRAP_ROWS`] each (m out of n, Bickel, Götze, van Zwet 1997; the error shrinks with the
/// root of the rows). None where there are fewer than two rows, the score is undefined on most resamples or
/// the same on all of them (a perfect score on a few rows is not known to be perfect on others), or the sample is too
/// wide to resample cheaply.
pub fn bootstrap(sample: &Sample, score: f64, metric: impl Fn(&Sample) -> Option<f64>) -> Option<Interval> {
    let rows = sample.rows();
    let width = match sample {
        Sample::Classes { classes, .. } => *classes,
        Sample::Labels { labels, .. } => *labels,
        Sample::Tokens { .. } => 3,
        Sample::Values { outputs, .. } => *outputs,
        Sample::Series(_) => return None,
    };
    let drawn = rows.min(BOOTSTRAP_ROWS);
    let resamples = (BOOTSTRAP_VALUES / (drawn * width).max(1)).min(100);
    if rows < 2 || resamples < 20 {
        return None;
    }
    let mut random = SplitMix(rows as u64);
    let scores: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let picked: Vec<usize> = (0..drawn).map(|_| random.below(rows)).collect();
            metric(&sample.pick(&picked))
        })
        .collect();
    if scores.len() * 2 < resamples {
        return None;
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (scores.len() - 1) as f64;
    if variance <= 0.0 {
        return None;
    }
    let half = Z * (variance * drawn as f64 / rows as f64).sqrt();
    Some((score - half, score + half))
}

/// Keeps an interval inside the values that a score can take.
pub fn clamp(interval: Interval, least: f64, most: f64) -> Interval {
    (interval.0.max(least), interval.1.min(most))
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, the same on every machine.
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Shuffles in place (Fisher–Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_statsmodels() {
        // proportion_confint(95, 100, method="wilson")
        let (low, high) = wilson(95.0, 100.0);
        assert!(
            (low - 0.888_249_530_8).abs() < 1e-9 && (high - 0.978_456_320_8).abs() < 1e-8,
            "{low} {high}"
        );
        assert_eq!(wilson(0.0, 1.0).0, 0.0);
        assert_eq!(wilson(1.0, 1.0).1, 1.0);
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        SplitMix(7).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
