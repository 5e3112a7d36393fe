//! Which rows were anomalous, by a column of labels or by times that a file names.

use super::Windows;
use crate::dataset::{Categories, Column, ColumnData, MISSING};
use crate::error::DataError;
use crate::numbers::Numbers;

/// The labels that mean a healthy row where the output names none.
const HEALTHY: [&str; 8] = ["0", "0.0", "false", "no", "normal", "healthy", "ok", "none"];

/// The column of an output of kind `anomaly` from labels: 1 for an anomalous row, 0 for a healthy one, missing
/// where nothing is known.
pub(crate) fn by_label(labels: &Categories, healthy: Option<&str>) -> ColumnData {
    let is_healthy = |label: &str| match healthy {
        Some(healthy) => label == healthy,
        None => HEALTHY.iter().any(|usual| label.eq_ignore_ascii_case(usual)),
    };
    let of_code: Vec<f64> =
        labels.dictionary.labels().map(|label| if is_healthy(label) { 0.0 } else { 1.0 }).collect();
    let mut numbers = Numbers::default();
    for &code in &labels.codes {
        numbers.push(if code == MISSING { f64::NAN } else { of_code[code as usize] });
    }
    ColumnData::Numbers(numbers)
}

/// The same from times between which a series was anomalous.
///
/// # Errors
/// [`DataError::Spec`] where there are no windows, whose time the file speaks of.
pub(crate) fn by_time(
    name: &str,
    spans: &[[f64; 2]],
    windows: Option<&Windows>,
) -> Result<Column, DataError> {
    let Some(windows) = windows else {
        return Err(DataError::spec("labels", "times of anomalies need to know which column is the time")
            .with_hint("set [data.windows] with its time, or name the output's column of labels"));
    };
    let mut numbers = Numbers::default();
    for time in &windows.times {
        let inside = spans.iter().any(|[from, to]| from <= time && time <= to);
        numbers.push(f64::from(u8::from(inside)));
    }
    Ok(Column { name: name.into(), data: ColumnData::Numbers(numbers), members: Vec::new() })
}
