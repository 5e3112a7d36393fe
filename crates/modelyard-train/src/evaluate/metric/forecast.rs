//! Metrics of forecasts: MASE, pinball loss, and how often intervals hold the truth.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::series::{Detail, Forecast};

/// A number that forecasts give; the lists are rows × steps, in the data's unit.
pub(super) struct ForecastMetric {
    name: &'static str,
    summary: &'static str,
    higher_is_better: bool,
    score: fn(&Numbers<'_>) -> Option<f64>,
}

struct Numbers<'a> {
    truth: &'a [f32],
    predicted: &'a [f32],
    forecast: &'a Forecast,
}

/// MAE beside that of the seasonal naive forecast on training rows.
pub(super) const MASE: ForecastMetric = ForecastMetric {
    name: "mase",
    summary: "The mean absolute error over that of the seasonal naive forecast one season ahead on the training rows (Hyndman and Koehler 2006): below 1 is better than repeating the last season.",
    higher_is_better: false,
    score: |numbers| {
        let error = numbers.forecast.naive_error.filter(|error| *error > 0.0)?;
        Some(mean(numbers.pairs().map(|(truth, predicted)| (truth - predicted).abs()))? / error)
    },
};

/// The loss that quantiles make small.
pub(super) const PINBALL: ForecastMetric = ForecastMetric {
    name: "pinball",
    summary: "The mean pinball loss over steps and quantiles; half the mean absolute error where the network gives one number.",
    higher_is_better: false,
    score: |numbers| {
        let Forecast { quantiles, said, .. } = numbers.forecast;
        let pinball = |quantile: f64, miss: f64| (quantile * miss).max((quantile - 1.0) * miss);
        if quantiles.is_empty() {
            return mean(numbers.pairs().map(|(truth, predicted)| pinball(0.5, truth - predicted)));
        }
        let of = numbers.truth.iter().zip(said.chunks_exact(quantiles.len()));
        mean(of.flat_map(|(truth, said)| {
            quantiles.iter().zip(said).map(move |(q, said)| pinball(*q, f64::from(*truth) - f64::from(*said)))
        }))
    },
};

/// True values inside their intervals.
pub(super) const COVERAGE: ForecastMetric = ForecastMetric {
    name: "coverage",
    summary: "The share of true values inside the forecast's interval, to be held against the `coverage` that was asked for. Undefined before the intervals are calibrated.",
    higher_is_better: true,
    score: |numbers| {
        let intervals = &numbers.forecast.intervals;
        let inside = |truth: f32, (low, high): (f32, f32)| f64::from(u8::from(low <= truth && truth <= high));
        mean(numbers.truth.iter().zip(intervals).map(|(truth, interval)| inside(*truth, *interval)))
    },
};

impl Numbers<'_> {
    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.truth.iter().zip(self.predicted).map(|(t, p)| (f64::from(*t), f64::from(*p)))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

impl Metric for ForecastMetric {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Forecast
    }

    fn higher_is_better(&self) -> bool {
        self.higher_is_better
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Series(series) = sample else { return None };
        let (Detail::Forecast(forecast), Some(Sample::Values { truth, predicted, .. })) =
            (&series.detail, &series.plain)
        else {
            return None;
        };
        (self.score)(&Numbers { truth, predicted, forecast })
    }

    /// Forecasts of windows that overlap are not independent, so that no interval would be true.
    fn interval(&self, _sample: &Sample, _score: f64) -> Option<Interval> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forecasts_are_scored_by_hand() {
        let forecast = Forecast {
            naive: vec![0.0; 2],
            intervals: vec![(0.0, 2.0), (5.0, 6.0)],
            quantiles: vec![0.1, 0.9],
            said: vec![0.0, 2.0, 5.0, 6.0],
            naive_error: Some(2.0),
        };
        let numbers = Numbers { truth: &[1.0, 4.0], predicted: &[2.0, 5.0], forecast: &forecast };
        assert_eq!((MASE.score)(&numbers), Some(0.5));
        assert_eq!((COVERAGE.score)(&numbers), Some(0.5));
        // 0.1·1, 0.1·1, 0.9·1, 0.1·2 over four.
        let pinball = (PINBALL.score)(&numbers).expect("defined");
        assert!((pinball - 0.325).abs() < 1e-9, "{pinball}");
    }
}
