//! A point in time as the sine and cosine of its cycles, so that 23:59 lies beside 0:00.

use std::f64::consts::TAU;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

const DAY_SECONDS: f64 = 86_400.0;

/// The sine and cosine of the chosen parts, two columns a part, in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatetimeParts {
    /// The parts, each a cycle.
    #[serde(default = "default_parts")]
    pub parts: Vec<Part>,
}

impl Default for DatetimeParts {
    fn default() -> Self {
        Self { parts: default_parts() }
    }
}

fn default_parts() -> Vec<Part> {
    vec![Part::Hour, Part::Weekday, Part::Month]
}

/// A cycle of the calendar or the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Where in the hour, to the second.
    Minute,
    /// Where in the day, to the second.
    Hour,
    /// Where in the week, by whole days.
    Weekday,
    /// Where in the month, by whole days.
    DayOfMonth,
    /// Where in the year, by whole days.
    DayOfYear,
    /// Where in the year, by whole months.
    Month,
}

impl Part {
    /// How far through its cycle this moment is, from 0 to 1.
    fn phase(self, seconds: f64) -> f64 {
        let days = (seconds / DAY_SECONDS).floor();
        match self {
            Self::Minute => (seconds / 3600.0).rem_euclid(1.0),
            Self::Hour => (seconds / DAY_SECONDS).rem_euclid(1.0),
            // 1970-01-01 was a Thursday; Monday is 0.
            Self::Weekday => (days + 3.0).rem_euclid(7.0) / 7.0,
            Self::DayOfMonth | Self::DayOfYear | Self::Month => self.calendar_phase(days),
        }
    }

    fn calendar_phase(self, days: f64) -> f64 {
        let Ok(timestamp) = jiff::Timestamp::from_second((days * DAY_SECONDS) as i64) else {
            return f64::NAN;
        };
        let date = jiff::tz::Offset::UTC.to_datetime(timestamp).date();
        match self {
            Self::DayOfMonth => f64::from(date.day() - 1) / f64::from(date.days_in_month()),
            Self::DayOfYear => f64::from(date.day_of_year() - 1) / f64::from(date.days_in_year()),
            _ => f64::from(date.month() - 1) / 12.0,
        }
    }
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedDatetimeParts {
    parts: Vec<Part>,
}

impl Declared for DatetimeParts {
    type Fitted = FittedDatetimeParts;

    fn fit(&self, training: &Training<'_>) -> Result<FittedDatetimeParts, Problem> {
        let fitted = FittedDatetimeParts { parts: self.parts.clone() };
        fitted.output(training.form)?;
        Ok(fitted)
    }
}

impl Transform for FittedDatetimeParts {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        if *incoming != Form::Datetime {
            return Err(Problem::new(format!(
                "datetime_parts takes a datetime, not {}",
                incoming.describe()
            )));
        }
        if self.parts.is_empty() {
            return Err(Problem::new("datetime_parts needs at least one part"));
        }
        Ok(Form::Numbers { width: 2 * self.parts.len() })
    }

    fn apply(&self, block: &mut Block) {
        let seconds = std::mem::take(&mut block.floats);
        block.floats.reserve(seconds.len() * 2 * self.parts.len());
        for &moment in &seconds {
            for part in &self.parts {
                let (sine, cosine) = (part.phase(moment) * TAU).sin_cos();
                block.floats.extend([sine, cosine]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part: Part, seconds: f64, expected: f64) {
        let phase = part.phase(seconds);
        assert!((phase - expected).abs() < 1e-9, "{part:?} of {seconds}: {phase}, not {expected}");
    }

    #[test]
    fn phases_follow_the_calendar() {
        // 2024-02-29 06:30:00 UTC, a Thursday.
        let moment = 1_709_188_200.0;
        check(Part::Minute, moment, 0.5);
        check(Part::Hour, moment, 6.5 / 24.0);
        check(Part::Weekday, moment, 3.0 / 7.0);
        check(Part::DayOfMonth, moment, 28.0 / 29.0);
        check(Part::DayOfYear, moment, 59.0 / 366.0);
        check(Part::Month, moment, 1.0 / 12.0);
        // Before 1970 as well: 1969-12-31 18:00, a Wednesday.
        check(Part::Hour, -21_600.0, 0.75);
        check(Part::Weekday, -21_600.0, 2.0 / 7.0);
        assert!(Part::Month.phase(1e300).is_nan());
    }
}
