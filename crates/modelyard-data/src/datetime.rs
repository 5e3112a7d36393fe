//! Points in time from text, as seconds since 1970-01-01 00:00 UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};

use crate::error::{Problem, excerpt};

/// Shorter numbers are more likely a year or a date than Unix seconds.
const UNIX_DIGITS_MIN: usize = 9;

/// Reads a datetime. What names no time zone is taken as UTC.
pub(crate) fn parse(text: &str, format: Option<&str>) -> Result<f64, Problem> {
    let read = match format {
        None => parse_usual(text),
        Some("unix") => parse_unix(text),
        Some("unix_ms") => parse_unix(text).map(|milliseconds| milliseconds / 1000.0),
        Some(format) => parse_format(text, format),
    };
    read.ok_or_else(|| {
        let expected = format.unwrap_or("an RFC 3339 time, YYYY-MM-DD HH:MM[:SS], a date or Unix seconds");
        Problem::new(format!("{:?} is no datetime ({expected})", excerpt(text)))
            .hint("set format on the input, as in format = \"%d.%m.%Y %H:%M\"")
    })
}

/// Whether a text that [`parse()`] reads as a datetime names its time zone; Unix seconds do.
pub(crate) fn names_zone(text: &str, format: Option<&str>) -> bool {
    match format {
        None => seconds_in_utc_of(text).is_none(),
        Some("unix" | "unix_ms") => true,
        Some(format) => format.contains("%z") || format.contains("%:z") || format.contains("%Q"),
    }
}

/// The seconds of a text that names no time zone.
fn seconds_in_utc_of(text: &str) -> Option<f64> {
    if text.parse::<Timestamp>().is_ok() { None } else { seconds_in_utc(text.parse().ok()?) }
}

fn parse_usual(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let digits = digits.split('.').next().unwrap_or(digits);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return if digits.len() >= UNIX_DIGITS_MIN { parse_unix(text) } else { None };
    }
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Some(seconds_of(timestamp)),
        Err(_) => seconds_in_utc(text.parse().ok()?),
    }
}

fn parse_unix(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|seconds| seconds.is_finite())
}

fn parse_format(text: &str, format: &str) -> Option<f64> {
    let parts = strtime::parse(format, text).ok()?;
    if let Ok(timestamp) = parts.to_timestamp() {
        return Some(seconds_of(timestamp));
    }
    match parts.to_datetime() {
        Ok(datetime) => seconds_in_utc(datetime),
        Err(_) => seconds_in_utc(parts.to_date().ok()?.into()),
    }
}

fn seconds_in_utc(datetime: DateTime) -> Option<f64> {
    Offset::UTC.to_timestamp(datetime).ok().map(seconds_of)
}

fn seconds_of(timestamp: Timestamp) -> f64 {
    timestamp.as_second() as f64 + f64::from(timestamp.subsec_nanosecond()) / 1e9
}

/// The datetime as RFC 3339 text, for messages.
pub(crate) fn show(seconds: f64) -> Option<String> {
    write_datetime(seconds.floor(), None)
}

/// A datetime, in seconds since 1970-01-01 00:00 UTC, as a text that is read back by this format: RFC 3339 without
/// one. None where it is no time, or the format cannot write it.
pub fn write_datetime(seconds: f64, format: Option<&str>) -> Option<String> {
    if !seconds.is_finite() {
        return None;
    }
    let milliseconds = (seconds * 1000.0).round();
    let timestamp = Timestamp::from_millisecond(milliseconds as i64).ok()?;
    match format {
        None => Some(timestamp.to_string()),
        Some("unix") => Some(seconds.to_string()),
        Some("unix_ms") => Some(milliseconds.to_string()),
        Some(format) => strtime::format(format, &timestamp.to_zoned(TimeZone::UTC)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Option<&str>, expected: Option<f64>) {
        assert_eq!(parse(text, format).ok(), expected, "{text} as {format:?}");
    }

    #[test]
    fn the_usual_ways_to_write_a_time() {
        check("2024-02-29T06:30:00Z", None, Some(1_709_188_200.0));
        check("2024-02-29T07:30:00+01:00", None, Some(1_709_188_200.0));
        check("2024-02-29T06:30:00.5Z", None, Some(1_709_188_200.5));
        check("2024-02-29 06:30", None, Some(1_709_188_200.0));
        check("2024-02-29 06:30:00", None, Some(1_709_188_200.0));
        check("2024-02-29", None, Some(1_709_164_800.0));
        check("1709188200", None, Some(1_709_188_200.0));
        check("1709188200.25", None, Some(1_709_188_200.25));
    }

    #[test]
    fn a_year_is_not_taken_for_unix_seconds() {
        check("2024", None, None);
        check("20240229", None, None);
        check("20240229", Some("%Y%m%d"), Some(1_709_164_800.0));
        check("300", Some("unix"), Some(300.0));
        check("1500", Some("unix_ms"), Some(1.5));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for format in
            [None, Some("unix"), Some("unix_ms"), Some("%d.%m.%Y %H:%M"), Some("%Y-%m-%dT%H:%M:%S%z")]
        {
            let text = write_datetime(1_709_188_200.0, format).expect("a time");
            check(&text, format, Some(1_709_188_200.0));
        }
        assert_eq!(write_datetime(1_709_188_200.5, None).as_deref(), Some("2024-02-29T06:30:00.5Z"));
        assert_eq!(write_datetime(f64::NAN, None), None);
    }

    #[test]
    fn a_given_format_is_the_only_one() {
        check("29.02.2024 06:30", Some("%d.%m.%Y %H:%M"), Some(1_709_188_200.0));
        check("2024-02-29", Some("%d.%m.%Y"), None);
        check("29.02.2024 07:30 +0100", Some("%d.%m.%Y %H:%M %z"), Some(1_709_188_200.0));
        check("yesterday", None, None);
        check("", None, None);
        check("2024-02-30", None, None);
    }
}
