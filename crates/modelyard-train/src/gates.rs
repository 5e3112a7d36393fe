//! Gates: the bounds that a model's scores must keep before an alias may point at it.

use std::fmt;

use crate::evaluate::metric::Metric;
use crate::project::Split;

/// One bound on one metric on one part of the rows.
#[derive(Clone, Copy)]
pub struct Gate {
    /// What is scored.
    pub metric: &'static dyn Metric,
    /// On which rows.
    pub split: Split,
    /// What passes.
    pub bound: Bound,
}

/// What passes a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This score or more.
    AtLeast(f64),
    /// This score or less.
    AtMost(f64),
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({self})")
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, value) = match self.bound {
            Bound::AtLeast(value) => ('≥', value),
            Bound::AtMost(value) => ('≤', value),
        };
        write!(f, "{} {} {sign} {value}", self.split.as_str(), self.metric.name())
    }
}

/// How a gate went.
#[derive(Clone, Debug, PartialEq)]
pub struct GateResult {
    /// The gate in words: `test accuracy ≥ 0.975`.
    pub gate: String,
    /// The metric's name.
    pub metric: String,
    /// On which rows.
    pub split: Split,
    /// What passes.
    pub bound: Bound,
    /// The score; none where it was undefined.
    pub score: Option<f64>,
    /// Whether the bound is kept. An undefined score keeps none.
    pub passed: bool,
}

impl Gate {
    /// Holds a score against the bound.
    pub fn judge(&self, score: Option<f64>) -> GateResult {
        let passed = score.is_some_and(|score| match self.bound {
            Bound::AtLeast(least) => score >= least,
            Bound::AtMost(most) => score <= most,
        });
        GateResult {
            gate: self.to_string(),
            metric: self.metric.name().to_owned(),
            split: self.split,
            bound: self.bound,
            score,
            passed,
        }
    }
}

impl GateResult {
    /// By how much the bound is missed; none where it is kept or the score is undefined.
    pub fn missed_by(&self) -> Option<f64> {
        let score = self.score.filter(|_| !self.passed)?;
        Some(match self.bound {
            Bound::AtLeast(least) => least - score,
            Bound::AtMost(most) => score - most,
        })
    }
}

impl fmt::Display for GateResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.score, self.missed_by()) {
            (Some(score), None) => write!(f, "passed: {} ({score:.4})", self.gate),
            (Some(score), Some(by)) => write!(f, "missed: {}, reached {score:.4}, {by:.4} away", self.gate),
            (None, _) => write!(f, "missed: {}, the score is undefined on these rows", self.gate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::metric::by_name;

    fn check(bound: Bound, score: Option<f64>, want: &str) {
        let gate = Gate { metric: by_name("accuracy").expect("listed"), split: Split::Test, bound };
        assert_eq!(gate.judge(score).to_string(), want);
    }

    #[test]
    fn a_missed_gate_says_by_how_much() {
        check(Bound::AtLeast(0.9), Some(0.9), "passed: test accuracy ≥ 0.9 (0.9000)");
        check(Bound::AtLeast(0.9), Some(0.85), "missed: test accuracy ≥ 0.9, reached 0.8500, 0.0500 away");
        check(Bound::AtMost(0.5), Some(0.75), "missed: test accuracy ≤ 0.5, reached 0.7500, 0.2500 away");
        check(Bound::AtMost(0.5), None, "missed: test accuracy ≤ 0.5, the score is undefined on these rows");
    }
}
