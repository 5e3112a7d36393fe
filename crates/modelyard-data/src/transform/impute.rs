//! Fills in missing values with what training rows suggest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::all_missing;
use super::block::quantile;
use super::{Block, Declared, Form, Training, Transform};
use crate::dataset::MISSING;
use crate::error::Problem;

/// Fills in missing values, in training and in serving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Impute {
    /// What is filled in.
    pub strategy: Strategy,
    /// The value of the `constant` strategy: a number, or a category's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Fill>,
}

/// What is filled in for a missing value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The mean of the training rows.
    Mean,
    /// Their median.
    Median,
    /// Their most frequent value; of several, the smallest number or the first label.
    MostFrequent,
    /// Always `value`.
    Constant,
}

/// A number or a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fill {
    /// For numbers, vectors and datetimes (Unix seconds).
    Number(f64),
    /// For categories.
    Label(String),
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FittedImpute {
    /// One number for each component.
    Numbers { fill: Vec<f64> },
    /// One category code.
    Category { fill: u32 },
}

impl Declared for Impute {
    type Fitted = FittedImpute;

    fn fit(&self, training: &Training<'_>) -> Result<FittedImpute, Problem> {
        match training.form {
            Form::Category { size } => self.fit_category(training, *size),
            Form::Numbers { .. } | Form::Datetime => self.fit_numbers(training),
            other => Err(Problem::new(format!("impute does not take {}", other.describe()))),
        }
    }
}

impl Impute {
    fn fit_category(&self, training: &Training<'_>, size: usize) -> Result<FittedImpute, Problem> {
        let fill = match (self.strategy, &self.value) {
            (Strategy::MostFrequent, _) => {
                let counts = training.category_counts(size);
                let most = counts.iter().copied().max().filter(|most| *most > 0).ok_or_else(all_missing)?;
                counts.iter().position(|count| *count == most).expect("the maximum is one of them") as u32
            }
            (Strategy::Constant, Some(value)) => training
                .dictionary
                .and_then(|dictionary| dictionary.code(&value.as_label()))
                .expect("fitting puts the constant's label into the dictionary"),
            (Strategy::Constant, None) => return Err(no_value()),
            (Strategy::Mean | Strategy::Median, _) => {
                return Err(Problem::new("categories have no mean and no median")
                    .hint("use strategy = \"most_frequent\", or \"constant\" with a value"));
            }
        };
        Ok(FittedImpute::Category { fill })
    }

    fn fit_numbers(&self, training: &Training<'_>) -> Result<FittedImpute, Problem> {
        let width = training.form.width().expect("the caller looked at the form");
        let fill = match (self.strategy, &self.value) {
            (Strategy::Mean, _) => {
                let moments = training.moments(width);
                moments.iter().map(|m| (m.count > 0).then_some(m.mean)).collect::<Option<Vec<f64>>>()
            }
            (Strategy::Median, _) => fill_from_sorted(training, width, |sorted| quantile(sorted, 0.5)),
            (Strategy::MostFrequent, _) => fill_from_sorted(training, width, most_frequent),
            (Strategy::Constant, Some(Fill::Number(value))) if value.is_finite() => Some(vec![*value; width]),
            (Strategy::Constant, Some(_)) => {
                return Err(Problem::new("this input is filled with a number, and value is none"));
            }
            (Strategy::Constant, None) => return Err(no_value()),
        };
        Ok(FittedImpute::Numbers { fill: fill.ok_or_else(all_missing)? })
    }
}

impl Fill {
    /// The label of a category, which a project file may write as a number.
    pub(crate) fn as_label(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Label(label) => label.clone(),
        }
    }
}

fn no_value() -> Problem {
    Problem::new("impute with strategy = \"constant\" needs a value")
}

fn fill_from_sorted(training: &Training<'_>, width: usize, pick: impl Fn(&[f64]) -> f64) -> Option<Vec<f64>> {
    let components = training.sorted_components(width);
    components.iter().map(|sorted| (!sorted.is_empty()).then(|| pick(sorted))).collect()
}

fn most_frequent(sorted: &[f64]) -> f64 {
    let mut best = (0, f64::NAN);
    for run in sorted.chunk_by(|a, b| a == b) {
        if run.len() > best.0 {
            best = (run.len(), run[0]);
        }
    }
    best.1
}

impl Transform for FittedImpute {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        let fits = match (self, incoming) {
            (Self::Category { fill }, Form::Category { size }) => (*fill as usize) < *size,
            (Self::Numbers { fill }, Form::Numbers { width }) => fill.len() == *width,
            (Self::Numbers { fill }, Form::Datetime) => fill.len() == 1,
            _ => false,
        };
        if fits { Ok(incoming.clone()) } else { Err(Problem::new("impute does not fit what comes in")) }
    }

    fn apply(&self, block: &mut Block) {
        match self {
            Self::Category { fill } => {
                block.codes.iter_mut().filter(|code| **code == MISSING).for_each(|code| *code = *fill);
            }
            Self::Numbers { fill } => {
                for row in block.floats.chunks_exact_mut(fill.len().max(1)) {
                    for (value, fill) in row.iter_mut().zip(fill) {
                        if value.is_nan() {
                            *value = *fill;
                        }
                    }
                }
            }
        }
    }

    fn undo(&self, _block: &mut Block, before: &Form) -> Option<Form> {
        Some(before.clone())
    }
}
