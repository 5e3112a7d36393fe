//! `[data.windows]`: how rows of a table become windows over series.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How rows of a table become windows over series. A sample is then a window of `length` rows that follow each
/// other in time, and the network's input is [length, features]. Rows are sorted by `time` within their `unit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// The column that orders the rows: a number (such as a cycle) or a datetime.
    pub time: String,
    /// How `time` is written where it is a datetime, as the `format` of an input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The column that tells whose row it is: an engine, a room, a patient. No window holds rows of two units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How many rows a window has.
    #[schemars(range(min = 1, max = 100_000))]
    pub length: usize,
    /// How many rows lie between the ends of two windows of a unit; the last window ends at its last row.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub stride: usize,
    /// The time between two rows: a number in the unit of `time`, or `"5m"` (`s`, `m`, `h`, `d`) for datetimes.
    /// With it gaps are noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
    /// What is done about rows of a unit that have the same time.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub duplicates: Duplicates,
    /// What is done about gaps, where `every` tells what one is.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub gaps: Gaps,
    /// What is done about units of fewer rows than a window has.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub short: Short,
    /// How many rows ahead the output is forecast; 0 (the usual) for an answer about the window's last row.
    #[serde(default, skip_serializing_if = "is_usual")]
    #[schemars(range(max = 10_000))]
    pub horizon: usize,
    /// How many rows make a season, such as 24 for hours of a day: the forecast that repeats the last season is
    /// shown beside every score. 1 when absent: the last value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub season: Option<usize>,
}

impl WindowSpec {
    /// Windows of this length over rows ordered by `time`, with every other setting at its default.
    pub fn new(time: impl Into<String>, length: usize) -> Self {
        Self {
            time: time.into(),
            format: None,
            unit: None,
            length,
            stride: 1,
            every: None,
            duplicates: Duplicates::default(),
            gaps: Gaps::default(),
            short: Short::default(),
            horizon: 0,
            season: None,
        }
    }
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The time between two rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Every {
    /// In the unit of the time column; seconds for datetimes.
    Number(f64),
    /// A number with `s`, `m`, `h` or `d` behind it.
    Text(String),
}

impl Every {
    /// The time in the unit of the column, seconds for datetimes; none where it is no positive time.
    pub(crate) fn value(&self) -> Option<f64> {
        let value = match self {
            Self::Number(number) => *number,
            Self::Text(text) => {
                let text = text.trim();
                let unit = text.chars().next_back()?;
                let seconds = match unit {
                    's' => 1.0,
                    'm' => 60.0,
                    'h' => 3600.0,
                    'd' => 86_400.0,
                    _ => return None,
                };
                text[..text.len() - 1].trim().parse::<f64>().ok()? * seconds
            }
        };
        (value.is_finite() && value > 0.0).then_some(value)
    }
}

/// What is done about rows of a unit that have the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The data are refused.
    #[default]
    Refuse,
    /// The first of them in the file is taken.
    KeepFirst,
    /// The last of them in the file is taken.
    KeepLast,
}

/// What is done where more time than `every` lies between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// The data are refused.
    #[default]
    Refuse,
    /// No window reaches over the gap.
    Split,
    /// Rows are put in between, with numbers in proportion and categories as before, where the gap is shorter
    /// than a window; a longer one is split. No window ends at such a row, and none has to forecast it.
    Fill,
}

/// What is done about units of fewer rows than a window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Short {
    /// The data are refused.
    #[default]
    Refuse,
    /// One window at the unit's end, whose beginning repeats the unit's first row.
    Pad,
    /// They are left out.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_rows_have_units() {
        let text = |text: &str| Every::Text(text.into()).value();
        assert_eq!(text("5m"), Some(300.0));
        assert_eq!(text("1.5 h"), Some(5400.0));
        assert_eq!(text("1d"), Some(86_400.0));
        for wrong in ["", "m", "5", "5 min", "-5m", "0s", "NaNs", "é"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        assert_eq!(Every::Number(1.0).value(), Some(1.0));
        assert_eq!(Every::Number(-1.0).value(), None);
    }
}
