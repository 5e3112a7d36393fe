//! Gates: the bounds that a model's scores must keep before an alias may point at it.

use std::fmt;

use modelyard_registry::document::{GateComparison, GateResult, SplitScores};

use crate::evaluate::metric::Metric;
use crate::project::Split;

/// One bound on one metric on one part of the rows.
#[derive(Clone, Copy)]
pub struct Gate {
    /// What is scored.
    pub metric: &'static dyn Metric,
    /// On which rows.
    pub split: Split,
    /// How the score is compared.
    pub comparison: GateComparison,
    /// With what.
    pub threshold: f64,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({self})")
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.split.as_str(), self.metric.name(), self.comparison, self.threshold)
    }
}

impl Gate {
    /// Holds the scores of the gate's part of the rows against the bound; a score that is not there keeps none.
    pub fn judge(&self, scores: Option<&SplitScores>) -> GateResult {
        let value = scores.and_then(|scores| scores.metrics.get(self.metric.name())).map(|found| found.value);
        GateResult {
            metric: self.metric.name().to_owned(),
            comparison: self.comparison,
            threshold: self.threshold,
            split: self.split.as_str().to_owned(),
            value,
            passed: value.is_some_and(|value| self.comparison.holds(value, self.threshold)),
        }
    }
}

/// A gate's outcome in one line, with by how much it was missed.
pub fn gate_sentence(result: &GateResult) -> String {
    let GateResult { metric, comparison, threshold, split, value, passed } = result;
    let gate = format!("{split} {metric} {comparison} {threshold}");
    match value {
        Some(value) if *passed => format!("passed: {gate} ({value:.4})"),
        Some(value) => format!("missed: {gate}, reached {value:.4}, {:.4} away", (threshold - value).abs()),
        None => format!("missed: {gate}, the score is undefined on these rows"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use modelyard_registry::document::MetricValue;

    use super::*;
    use crate::evaluate::metric::by_name;

    fn check(comparison: GateComparison, threshold: f64, score: Option<f64>, want: &str) {
        let metric = by_name("accuracy").expect("listed");
        let gate = Gate { metric, split: Split::Test, comparison, threshold };
        let value = |value| MetricValue { value, interval_95: None, baseline: None };
        let metrics: BTreeMap<_, _> =
            score.map(|score| ("accuracy".to_owned(), value(score))).into_iter().collect();
        let result = gate.judge(Some(&SplitScores { metrics, ..SplitScores::default() }));
        assert_eq!(gate_sentence(&result), want);
        assert_eq!(result.passed, want.starts_with("passed"));
    }

    #[test]
    fn a_missed_gate_says_by_how_much() {
        use GateComparison::{AtLeast, AtMost};
        check(AtLeast, 0.9, Some(0.9), "passed: test accuracy >= 0.9 (0.9000)");
        check(AtLeast, 0.9, Some(0.85), "missed: test accuracy >= 0.9, reached 0.8500, 0.0500 away");
        check(AtMost, 0.5, Some(0.75), "missed: test accuracy <= 0.5, reached 0.7500, 0.2500 away");
        check(AtMost, 0.5, None, "missed: test accuracy <= 0.5, the score is undefined on these rows");
    }

    #[test]
    fn a_split_without_rows_keeps_no_gate() {
        let metric = by_name("accuracy").expect("listed");
        let gate =
            Gate { metric, split: Split::Validation, comparison: GateComparison::AtLeast, threshold: 0.0 };
        assert!(!gate.judge(None).passed);
    }
}
