//! The outputs: class indices or scaled numbers for training, and what undoes the scaling.

use std::sync::Arc;

use super::language::FittedNextToken;
use super::{OutputActivation, TargetValues, Task, column_of, labels};
use crate::dataset::{Categories, ColumnData, Dataset, Dictionary, MISSING};
use crate::error::{DataError, Problem, nearest};
use crate::transform::{Block, Fitted, Form};

/// One output, fitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FittedOutput {
    /// The classes in order.
    Category { name: Arc<str>, place: usize, classes: Arc<Dictionary> },
    /// The labels in order; a row may have any number of them.
    Labels { name: Arc<str>, place: usize, classes: Arc<Dictionary> },
    /// The next token of the text.
    NextToken(FittedNextToken),
    /// The transforms in order, and the largest answer where there is one (the smallest is then 0).
    Number { name: Arc<str>, place: usize, steps: Vec<Fitted>, cap: Option<f64> },
    /// The network's own input, which has no column.
    Anomaly { name: Arc<str> },
}

impl FittedOutput {
    pub(super) fn name(&self) -> &Arc<str> {
        match self {
            Self::Category { name, .. }
            | Self::Labels { name, .. }
            | Self::Number { name, .. }
            | Self::Anomaly { name } => name,
            Self::NextToken(output) => &output.name,
        }
    }

    /// The value in the data's own unit.
    pub(super) fn invert(&self, value: f64) -> f64 {
        let mut values = [value];
        if let Self::Number { steps, cap, .. } = self {
            for step in steps.iter().rev() {
                step.as_transform().invert(&mut values).expect("fitting took only steps that can be undone");
            }
            if let Some(cap) = cap {
                values[0] = values[0].clamp(0.0, *cap);
            }
        }
        values[0]
    }
}

/// The targets of these rows: for a forecast those of the `horizon` rows behind each.
pub(super) fn targets(
    outputs: &[FittedOutput],
    task: &Task,
    data: &Dataset,
    rows: &[usize],
) -> Result<TargetValues, DataError> {
    match outputs {
        [FittedOutput::Category { name, place, classes }] => {
            let ColumnData::Categories(column) = &column_of(data, *place, name)?.data else {
                return Err(wrong_column(name));
            };
            class_targets(name, column, classes, rows).map(TargetValues::Classes)
        }
        [FittedOutput::Labels { name, place, classes }] => {
            let ColumnData::Texts(column) = &column_of(data, *place, name)?.data else {
                return Err(wrong_column(name));
            };
            labels::targets(name, column, classes, rows).map(TargetValues::Values)
        }
        [FittedOutput::Anomaly { .. }] => Ok(TargetValues::Input),
        [FittedOutput::NextToken(output)] => output.targets(data, rows).map(TargetValues::Tokens),
        _ => {
            let mut values = vec![0.0; rows.len() * task.answer_width()];
            let ahead = match task {
                Task::Forecast { horizon, .. } => 1..*horizon + 1,
                _ => 0..1,
            };
            let columns = outputs.iter().flat_map(|output| ahead.clone().map(move |step| (output, step)));
            for (at, (output, step)) in columns.enumerate() {
                let rows: Vec<usize> = rows.iter().map(|row| row + step).collect();
                number_targets(output, data, &rows, &mut values, at)?;
            }
            Ok(TargetValues::Values(values))
        }
    }
}

/// Fills place `at` of each row's targets with the output's transformed numbers.
fn number_targets(
    output: &FittedOutput,
    data: &Dataset,
    rows: &[usize],
    values: &mut [f32],
    at: usize,
) -> Result<(), DataError> {
    let FittedOutput::Number { name, place, steps, .. } = output else {
        unreachable!("fitting takes one category, labels alone, or numbers only")
    };
    let ColumnData::Numbers(column) = &column_of(data, *place, name)?.data else {
        return Err(wrong_column(name));
    };
    let mut block = Block {
        rows: rows.len(),
        form: Some(Form::Numbers { width: 1 }),
        floats: rows.iter().map(|&row| column.get(row)).collect(),
        ..Block::default()
    };
    if let Some(row) = block.floats.iter().position(|value| value.is_nan()) {
        return Err(no_target(name, rows[row]));
    }
    for step in steps {
        step.as_transform().apply(&mut block);
    }
    let width = values.len() / rows.len().max(1);
    for (row, value) in block.floats.iter().enumerate() {
        values[row * width + at] = *value as f32;
    }
    Ok(())
}

fn class_targets(
    name: &str,
    column: &Categories,
    classes: &Dictionary,
    rows: &[usize],
) -> Result<Vec<u32>, DataError> {
    let of_code: Vec<Option<u32>> = column.dictionary.labels().map(|label| classes.meant(label)).collect();
    rows.iter()
        .map(|&row| {
            let code = column.codes[row];
            if code == MISSING {
                return Err(no_target(name, row));
            }
            of_code.get(code as usize).copied().flatten().ok_or_else(|| {
                let label = column.dictionary.label(code).unwrap_or_default();
                let near = nearest(label, classes.labels());
                let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                Problem::new(format!("the label {label:?} is in no training row{near}"))
                    .hint("split with kind = \"stratified\", or remove the rows with this label")
                    .in_row(row, name)
            })
        })
        .collect()
}

fn no_target(name: &str, row: usize) -> DataError {
    Problem::new("this row has no value to learn from or compare with")
        .hint("remove the rows without a label")
        .in_row(row, name)
}

pub(super) fn wrong_column(name: &str) -> DataError {
    DataError::spec(name, "the data set holds this column as another kind")
}

/// Checks the network's outputs against the task, and makes it binary where one number speaks of two classes.
pub(super) fn check_activation(
    task: &mut Task,
    width: usize,
    activation: OutputActivation,
) -> Result<(), DataError> {
    use OutputActivation::{Linear, Sigmoid, Softmax};
    let task_width = task.output_width();
    let (name, expected, hint) = match (&mut *task, activation) {
        (Task::Binary { .. }, Linear | Sigmoid) if width == 1 => return Ok(()),
        (Task::Classification { output, classes }, Linear | Sigmoid) if width == 1 && classes.len() == 2 => {
            let classes = [classes[0].clone(), classes[1].clone()];
            *task = Task::Binary { output: std::mem::take(output), classes };
            return Ok(());
        }
        (Task::Classification { classes, .. }, Linear | Softmax) if width == classes.len() => return Ok(()),
        (Task::Regression { outputs }, Linear | Sigmoid) if width == outputs.len() => return Ok(()),
        (Task::Forecast { .. } | Task::Anomaly { .. }, Linear | Sigmoid) if width == task_width => {
            return Ok(());
        }
        (Task::Labels { classes, .. }, Linear | Sigmoid) if width == classes.len() => return Ok(()),
        (Task::NextToken { steps, tokens, logits, .. }, Linear | Softmax)
            if width.is_multiple_of(*steps) && width / *steps >= *tokens =>
        {
            *logits = width / *steps;
            return Ok(());
        }
        (Task::NextToken { output, steps, tokens, .. }, _) => (
            output.clone(),
            *steps * *tokens,
            format!("end the network with dense units = {tokens} at each of the {steps} steps, and softmax"),
        ),
        (Task::Labels { output, classes }, _) => (
            output.clone(),
            classes.len(),
            format!("end the network with dense units = {} and sigmoid", classes.len()),
        ),
        (Task::Binary { output, .. }, _) => {
            (output.clone(), 1, "end the network with dense units = 1 and sigmoid".to_owned())
        }
        (Task::Classification { output, classes }, _) => (
            output.clone(),
            classes.len(),
            format!(
                "end the network with dense units = {} and softmax{}",
                classes.len(),
                if classes.len() == 2 { ", or units = 1 and sigmoid" } else { "" }
            ),
        ),
        (Task::Forecast { output, .. } | Task::Anomaly { output, .. }, _) => (
            output.clone(),
            task_width,
            format!("end the network with dense units = {task_width} and no activation"),
        ),
        (Task::Regression { outputs }, _) => (
            outputs.join(", "),
            outputs.len(),
            format!("end the network with dense units = {} and no activation", outputs.len()),
        ),
    };
    let ending = match activation {
        Linear => "",
        Softmax => " after softmax",
        Sigmoid => " after sigmoid",
    };
    Err(Problem::new(format!("the network gives {width} numbers{ending}; this output needs {expected}"))
        .hint(hint)
        .in_fit(&name))
}
