//! The score of the 2008 prognostics challenge: answering too late costs more than too early.

use super::{Metric, Sample, TaskKind};
use crate::evaluate::series::Detail;

/// The score of Saxena, Goebel, Simon and Eklund (2008), equation 11.
pub(super) struct NasaScore;

impl Metric for NasaScore {
    fn name(&self) -> &'static str {
        "nasa_score"
    }

    fn summary(&self) -> &'static str {
        "The sum over rows of exp(d/10) − 1 where the answer is d too late, exp(d/13) − 1 where it is d too early (Saxena et al. 2008)."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Remaining
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Series(series) = sample else { return None };
        let (Detail::Remaining, Some(Sample::Values { truth, predicted, .. })) =
            (&series.detail, &series.plain)
        else {
            return None;
        };
        let cost = |(truth, predicted): (&f32, &f32)| {
            let late = f64::from(*predicted) - f64::from(*truth);
            if late < 0.0 { (-late / 13.0).exp_m1() } else { (late / 10.0).exp_m1() }
        };
        (!truth.is_empty()).then(|| truth.iter().zip(predicted).map(cost).sum())
    }

    fn interval(&self, _sample: &Sample, _score: f64) -> Option<super::Interval> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Series;

    #[test]
    fn too_late_costs_more() {
        let score = |truth: f32, predicted: f32| {
            let plain = Sample::Values { truth: vec![truth], predicted: vec![predicted], outputs: 1 };
            let series = Series { plain: Some(plain), detail: Detail::Remaining };
            NasaScore.score(&Sample::Series(Box::new(series))).expect("defined")
        };
        assert!((score(50.0, 60.0) - (1f64.exp() - 1.0)).abs() < 1e-9);
        assert!((score(50.0, 37.0) - (1f64.exp() - 1.0)).abs() < 1e-9);
        assert_eq!(score(50.0, 50.0), 0.0);
    }
}
