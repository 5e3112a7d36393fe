//! Backtests: a forecast trained and judged anew at each of several origins that move forward in time, so that one
//! lucky stretch does not decide.

use std::collections::BTreeMap;

use modelyard_data::{Fold, rolling_origin};
use modelyard_registry::document::SplitScores;
use serde::Serialize;

use crate::error::TrainError;
use crate::locate::locate_data;
use crate::prepare::{Prepared, Read};
use crate::project::{Problem, Project, Target};

/// A project's data, read once, and where it is divided for each origin.
#[derive(Clone, Debug)]
pub struct Backtest<'a> {
    project: &'a Project,
    read: Read,
    folds: Vec<Fold>,
}

impl<'a> Backtest<'a> {
    /// Reads the data and finds the origins.
    ///
    /// # Errors
    /// [`TrainError::Project`] where the project does not forecast, has too few rows for so many origins, or starts
    /// from another model, and as [`prepare`](crate::prepare()).
    pub fn new(project: &'a Project, origins: usize) -> Result<Self, TrainError> {
        if project.training().start_from.is_some() {
            let problem = Problem::new("that model may have learned from the very rows that are to judge")
                .hint("take start_from out to backtest");
            return Err(TrainError::misfit(vec![project.complain(
                "training.start_from",
                Target::Key,
                problem,
            )]));
        }
        let read = Read::new(project)?;
        let outputs = &project.pipeline().outputs;
        let folds = rolling_origin(&project.data().split, &read.dataset, outputs, origins)
            .map_err(|error| locate_data(project, error))?;
        Ok(Self { project, read, folds })
    }

    /// Where the rows are divided, the earliest origin first.
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }

    /// The data of one origin, from 0: pipeline and all are fitted on the rows before it alone.
    ///
    /// # Errors
    /// As [`prepare`](crate::prepare()).
    ///
    /// # Panics
    /// Where there is no such origin.
    pub fn prepare(&self, at: usize) -> Result<Prepared, TrainError> {
        self.read.clone().prepare(self.project, None, self.folds[at].parts.clone())
    }
}

/// One metric over all origins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// What each origin's network scored, the earliest first; none where the metric is undefined.
    pub values: Vec<Option<f64>>,
    /// Their mean.
    pub mean: f64,
    /// The smallest and the largest of them.
    pub range: [f64; 2],
    /// What the seasonal naive forecast scored at each origin.
    pub seasonal_naive: Vec<Option<f64>>,
    /// The mean of that over the origins whose network has a score; none where one of them has no such score.
    pub seasonal_naive_mean: Option<f64>,
}

/// The metrics by name, of the test rows of each origin.
pub fn spreads(folds: &[SplitScores]) -> BTreeMap<String, Spread> {
    let names: Vec<&String> = folds.iter().flat_map(|scores| scores.metrics.keys()).collect();
    let mut spreads = BTreeMap::new();
    for name in names {
        let of = |scores: &SplitScores| scores.metrics.get(name).copied();
        let values: Vec<Option<f64>> = folds.iter().map(|scores| Some(of(scores)?.value)).collect();
        let seasonal_naive: Vec<Option<f64>> = folds.iter().map(|scores| of(scores)?.baseline).collect();
        let Some(mean) = mean(&values) else { continue };
        let known = || values.iter().flatten().copied();
        let range = [known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max)];
        // Over the same origins, or it would be another test.
        let beside = |(naive, value): (&Option<f64>, &Option<f64>)| value.and(*naive);
        let naive_beside: Vec<Option<f64>> = seasonal_naive.iter().zip(&values).map(beside).collect();
        let complete = naive_beside.iter().flatten().count() == values.iter().flatten().count();
        let seasonal_naive_mean = self::mean(&naive_beside).filter(|_| complete);
        let spread = Spread { mean, range, seasonal_naive_mean, values, seasonal_naive };
        spreads.insert(name.clone(), spread);
    }
    spreads
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use modelyard_registry::document::MetricValue;

    use super::*;

    #[test]
    fn a_metric_has_its_mean_and_range_beside_the_naive_one() {
        let fold = |value, baseline| SplitScores {
            rows: 5,
            metrics: BTreeMap::from([("mae".to_owned(), MetricValue { value, interval_95: None, baseline })]),
            ..SplitScores::default()
        };
        let lacking = spreads(&[fold(1.0, Some(2.0)), fold(4.0, None)]);
        assert_eq!(
            lacking["mae"].seasonal_naive_mean, None,
            "a mean over one origin stands beside one over two"
        );
        let found = spreads(&[fold(1.0, Some(2.0)), fold(4.0, Some(3.0)), SplitScores::default()]);
        let wanted = Spread {
            values: vec![Some(1.0), Some(4.0), None],
            mean: 2.5,
            range: [1.0, 4.0],
            seasonal_naive: vec![Some(2.0), Some(3.0), None],
            seasonal_naive_mean: Some(2.5),
        };
        assert_eq!(found, BTreeMap::from([("mae".to_owned(), wanted)]));
    }
}
