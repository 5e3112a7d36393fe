//! `scores.json`: how well a version did, on which rows, and whether that was good enough.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{DocumentError, read, write};

const FORMAT_VERSION: u32 = 1;

/// Every score of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// The kind of task: `classification`, `binary` or `regression`.
    pub task: String,
    /// The scores on each split (`train`, `validation`, `test`).
    pub splits: BTreeMap<String, SplitScores>,
    /// The gates and how they came out.
    #[serde(default)]
    pub gates: Vec<GateResult>,
}

/// The scores on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitScores {
    /// How many rows were scored.
    pub rows: u64,
    /// The metrics by name. One that has no value here (ROC AUC of a single class) is left out.
    pub metrics: BTreeMap<String, MetricValue>,
    /// Scores of each class, in the order of the classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassScore>,
    /// Which class was taken for which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

/// A metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricValue {
    /// The value on these rows.
    pub value: f64,
    /// Lower and upper end of the 95 % confidence interval, where one was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_95: Option<[f64; 2]>,
    /// What a model would score that always answers with the most frequent class, or the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}

/// Scores of one class against all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassScore {
    /// The class.
    pub label: String,
    /// Rows that are of this class.
    pub rows: u64,
    /// Of the rows given this class, the share that are of it.
    pub precision: f64,
    /// Of the rows of this class, the share that were given it.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
}

/// Counts of true against predicted classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfusionMatrix {
    /// The classes, in the order of rows and columns.
    pub labels: Vec<String>,
    /// `counts[true class][predicted class]`.
    pub counts: Vec<Vec<u64>>,
}

/// How a gate compares a metric with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateComparison {
    /// At least the threshold.
    #[serde(rename = ">=")]
    AtLeast,
    /// More than the threshold.
    #[serde(rename = ">")]
    Above,
    /// At most the threshold.
    #[serde(rename = "<=")]
    AtMost,
    /// Less than the threshold.
    #[serde(rename = "<")]
    Below,
}

impl GateComparison {
    /// Every comparison.
    pub const ALL: [Self; 4] = [Self::AtLeast, Self::Above, Self::AtMost, Self::Below];

    /// The sign, as the project file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::AtMost => "<=",
            Self::Below => "<",
        }
    }

    /// Whether `value` passes; NaN never does.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => value >= threshold,
            Self::Above => value > threshold,
            Self::AtMost => value <= threshold,
            Self::Below => value < threshold,
        }
    }
}

impl fmt::Display for GateComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for GateComparison {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|comparison| comparison.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no comparison; known are >=, >, <= and <"))
    }
}

/// A gate and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateResult {
    /// The metric looked at.
    pub metric: String,
    /// How it is compared.
    pub comparison: GateComparison,
    /// With what.
    pub threshold: f64,
    /// On which split.
    pub split: String,
    /// What it was; none where it could not be computed, which misses the gate.
    pub value: Option<f64>,
    /// Whether the gate was passed.
    pub passed: bool,
}

impl GateResult {
    /// "accuracy on test is 0.91, wanted >= 0.97".
    pub fn sentence(&self) -> String {
        let Self { metric, comparison, threshold, split, value, .. } = self;
        match value {
            Some(value) => format!("{metric} on {split} is {value:.4}, wanted {comparison} {threshold}"),
            None => format!("{metric} on {split} has no value, wanted {comparison} {threshold}"),
        }
    }
}

impl Scores {
    /// The file's name in a version.
    pub const FILE: &'static str = "scores.json";

    /// Reads the document.
    ///
    /// # Errors
    /// Where the bytes are not scores of a known format, or a confusion matrix is not square.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        let scores: Self = read(Self::FILE, FORMAT_VERSION, bytes)?;
        for (split, scored) in &scores.splits {
            if let Some(confusion) = &scored.confusion
                && !confusion.is_square()
            {
                let why = format!("the confusion matrix of {split} is not square");
                return Err(DocumentError::malformed(Self::FILE, why));
            }
        }
        Ok(scores)
    }

    /// The document's text.
    ///
    /// # Errors
    /// [`DocumentError::NotFinite`] where a value is NaN or infinite: leave such a metric out.
    pub fn to_json(&self) -> Result<String, DocumentError> {
        for (what, value) in self.numbers() {
            if !value.is_finite() {
                return Err(DocumentError::NotFinite { file: Self::FILE, what, value });
            }
        }
        Ok(write(FORMAT_VERSION, self))
    }

    /// Whether every gate was passed; so it is where there is none.
    pub fn gates_passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
    }

    /// One metric on one split.
    pub fn metric(&self, split: &str, metric: &str) -> Option<f64> {
        Some(self.splits.get(split)?.metrics.get(metric)?.value)
    }

    /// Every floating point number, with words for where it stands.
    fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers = Vec::new();
        for (split, scored) in &self.splits {
            for (metric, found) in &scored.metrics {
                numbers.push((format!("{metric} on {split}"), found.value));
                for end in found.interval_95.into_iter().flatten() {
                    numbers.push((format!("the interval of {metric} on {split}"), end));
                }
                if let Some(baseline) = found.baseline {
                    numbers.push((format!("the baseline of {metric} on {split}"), baseline));
                }
            }
            for class in &scored.classes {
                for (score, value) in
                    [("precision", class.precision), ("recall", class.recall), ("f1", class.f1)]
                {
                    numbers.push((format!("{score} of class {:?} on {split}", class.label), value));
                }
            }
        }
        for gate in &self.gates {
            numbers.push((format!("the threshold of the gate on {}", gate.metric), gate.threshold));
            if let Some(value) = gate.value {
                numbers.push((format!("the value of the gate on {}", gate.metric), value));
            }
        }
        numbers
    }
}

impl ConfusionMatrix {
    fn is_square(&self) -> bool {
        let size = self.labels.len();
        self.counts.len() == size && self.counts.iter().all(|row| row.len() == size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(value: f64) -> Scores {
        let metrics = BTreeMap::from([(
            "accuracy".to_owned(),
            MetricValue { value, interval_95: Some([value - 0.01, value + 0.01]), baseline: Some(0.5) },
        )]);
        let confusion = ConfusionMatrix {
            labels: vec!["no".to_owned(), "yes".to_owned()],
            counts: vec![vec![40, 2], vec![1, 57]],
        };
        let split = SplitScores { rows: 100, metrics, classes: Vec::new(), confusion: Some(confusion) };
        let gate = GateResult {
            metric: "accuracy".to_owned(),
            comparison: GateComparison::AtLeast,
            threshold: 0.975,
            split: "test".to_owned(),
            value: Some(value),
            passed: GateComparison::AtLeast.holds(value, 0.975),
        };
        Scores {
            task: "binary".to_owned(),
            splits: BTreeMap::from([("test".to_owned(), split)]),
            gates: vec![gate],
        }
    }

    #[test]
    fn scores_read_back_to_the_last_bit() {
        let written = scores(0.1 + 0.2 + f64::EPSILON);
        let back = Scores::from_json(written.to_json().expect("finite").as_bytes()).expect("our own text");
        assert_eq!(back, written);
        assert_eq!(back.metric("test", "accuracy"), Some(0.1 + 0.2 + f64::EPSILON));
        assert!(!back.gates_passed());
        assert_eq!(back.gates[0].sentence(), "accuracy on test is 0.3000, wanted >= 0.975");
    }

    #[test]
    fn a_value_that_is_no_number_is_not_written() {
        let error = scores(f64::NAN).to_json().expect_err("NaN").to_string();
        assert_eq!(error, "accuracy on test of scores.json is NaN, which is not a finite number");
    }

    #[test]
    fn a_crooked_confusion_matrix_is_refused() {
        let mut written = scores(0.99);
        let split = written.splits.get_mut("test").expect("there");
        split.confusion.as_mut().expect("there").counts[1].pop();
        let text = written.to_json().expect("finite");
        let error = Scores::from_json(text.as_bytes()).expect_err("crooked").to_string();
        assert!(error.ends_with("the confusion matrix of test is not square"), "{error}");
    }

    #[test]
    fn comparisons_read_back_and_nan_never_passes() {
        for comparison in GateComparison::ALL {
            assert_eq!(comparison.as_str().parse(), Ok(comparison));
            assert!(!comparison.holds(f64::NAN, 0.5));
        }
        assert!(GateComparison::AtMost.holds(0.5, 0.5) && !GateComparison::Below.holds(0.5, 0.5));
        assert!("==".parse::<GateComparison>().is_err());
    }
}
