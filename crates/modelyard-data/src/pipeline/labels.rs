//! Outputs of several labels a row: texts such as `red;round`.

use std::collections::BTreeSet;

use crate::dataset::Dictionary;
use crate::error::{DataError, Problem, nearest};
use crate::spec::OutputSpec;
use crate::texts::Texts;

/// What stands between the labels of a row.
const SEPARATOR: char = ';';

/// The labels of one cell; none where it is empty.
fn of_cell(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(SEPARATOR).map(str::trim).filter(|label| !label.is_empty())
}

/// Every label of the training rows, sorted.
pub(super) fn fit(output: &OutputSpec, column: &Texts, rows: &[usize]) -> Result<Vec<String>, DataError> {
    let labels: BTreeSet<&str> = rows.iter().flat_map(|&row| of_cell(column.get(row))).collect();
    if labels.len() < 2 {
        let problem = format!("the training rows have {} different labels; two are needed", labels.len());
        return Err(Problem::new(problem)
            .hint("check the column: labels are separated by `;`, as in \"red;round\"")
            .in_fit(&output.name));
    }
    Ok(labels.into_iter().map(str::to_owned).collect())
}

/// 1 for each label that a row has and 0 for the others, rows × labels.
pub(super) fn targets(
    name: &str,
    column: &Texts,
    classes: &Dictionary,
    rows: &[usize],
) -> Result<Vec<f32>, DataError> {
    let mut values = vec![0.0; rows.len() * classes.len()];
    for (&row, values) in rows.iter().zip(values.chunks_exact_mut(classes.len())) {
        for label in of_cell(column.get(row)) {
            let code = classes.code(label).ok_or_else(|| {
                let near = nearest(label, classes.labels());
                let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                Problem::new(format!("the label {label:?} is in no training row{near}"))
                    .hint("remove the rows with this label, or give more rows that have it")
                    .in_row(row, name)
            })?;
            values[code as usize] = 1.0;
        }
    }
    Ok(values)
}
