//! How long each row's unit still lives: counted back from its last row, or from a file of true lives where the
//! units of a test source were cut short.

use super::Windows;
use crate::dataset::{Column, ColumnData};
use crate::error::DataError;
use crate::numbers::Numbers;
use crate::spec::WindowSpec;

/// The column of an output of kind `remaining`: rows of time left, at most `cap`. `lives` holds what is left at the
/// last row of each unit from row `test_from` on, in their order.
///
/// # Errors
/// [`DataError::Series`] where there are more or fewer lives than units.
pub(crate) fn remaining(
    name: &str,
    cap: Option<f64>,
    spec: &WindowSpec,
    windows: &Windows,
    lives: Option<(&[f64], usize)>,
) -> Result<Column, DataError> {
    let every = spec.every.as_ref().and_then(|every| every.value()).unwrap_or(1.0);
    let rows = windows.times.len();
    let first_test = lives.map_or(rows, |(_, from)| from);
    let first_unit = windows.units.get(first_test).copied();
    if let (Some((lives, _)), Some(first)) = (lives, first_unit) {
        let units = (windows.units[rows - 1] - first + 1) as usize;
        if lives.len() != units {
            let problem =
                format!("the file of lives has {}, and the test source has {units} units", lives.len());
            return Err(DataError::Series {
                problem,
                hint: Some(
                    "one number a line, in the order in which units come up in the test source".into(),
                ),
            });
        }
    }
    let mut values = vec![0.0; rows];
    let (mut last, mut unit) = (0.0, None);
    for row in (0..rows).rev() {
        if unit != Some(windows.units[row]) {
            (last, unit) = (windows.times[row], Some(windows.units[row]));
        }
        let known = match (lives, first_unit) {
            (Some((lives, from)), Some(first)) if row >= from => lives[(windows.units[row] - first) as usize],
            _ => 0.0,
        };
        values[row] = ((last - windows.times[row]) / every + known).min(cap.unwrap_or(f64::INFINITY));
    }
    let mut numbers = Numbers::default();
    values.into_iter().for_each(|value| numbers.push(value));
    Ok(Column { name: name.into(), data: ColumnData::Numbers(numbers), members: Vec::new() })
}
