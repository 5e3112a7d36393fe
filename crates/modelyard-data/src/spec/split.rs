//! `[data.split]`: how rows are divided into training, validation and test rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the rows are divided. Fractions left out share what the others leave; with none given they are
/// 0.7, 0.15 and 0.15, or 0.85 and 0.15 beside a separate test source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSpec {
    /// The rule by which rows are chosen.
    pub kind: SplitKind,
    /// The fraction of rows to learn from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<f64>,
    /// The fraction of rows that decide when to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// The fraction of rows kept away until the end; 0 beside a separate test source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// The column to order by (`time`), to keep together (`group`) or to balance (`stratified`; the output
    /// category when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The seed of the shuffle: the same seed gives the same rows.
    pub seed: u64,
}

/// The rules by which rows are divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// Each row by chance.
    #[default]
    Random,
    /// By chance within each category, so that every part has its share of it.
    Stratified,
    /// The earliest rows train, the latest test, with no moment in two parts.
    Time,
    /// Rows that share a value stay together.
    Group,
}
