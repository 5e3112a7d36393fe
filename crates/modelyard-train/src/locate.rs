//! Finds the line of the project file that an error of the data or of the network is about.

use modelyard_data::DataError;
use modelyard_model::ModelError;

use crate::error::TrainError;
use crate::project::{Problem, Project, Target};

impl Problem {
    pub(crate) fn hint_from(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// An error of the data, with the line of the project file that it is about where there is one.
pub(crate) fn locate_data(project: &Project, error: DataError) -> TrainError {
    let path = match &error {
        DataError::Missing { .. } => Some("data.source".to_owned()),
        DataError::NoColumn { column, .. } => Some(path_of_column(project, column)),
        DataError::Spec { field, .. } | DataError::Fit { field, .. } => path_of_field(project, field),
        DataError::Split { .. } => Some("data.split".to_owned()),
        DataError::Series { .. } => Some("data.windows".to_owned()),
        _ => None,
    };
    match path {
        Some(path) => {
            let problem = Problem::new(error.to_string()).hint_from(error.hint());
            TrainError::misfit(vec![project.complain(&path, Target::Value, problem)])
        }
        None => error.into(),
    }
}

/// Where the project file names a column.
fn path_of_column(project: &Project, column: &str) -> String {
    let spec = project.pipeline();
    for (i, input) in spec.inputs.iter().enumerate() {
        if input.columns.as_ref().is_some_and(|columns| columns.iter().any(|pattern| pattern == column)) {
            return format!("inputs[{i}].columns");
        }
        if input.columns.is_none() && input.column.as_deref().unwrap_or(&input.name) == column {
            let key = if input.column.is_some() { "column" } else { "name" };
            return format!("inputs[{i}].{key}");
        }
    }
    for (i, output) in spec.outputs.iter().enumerate() {
        if output.column.as_deref().unwrap_or(&output.name) == column {
            let key = if output.column.is_some() { "column" } else { "name" };
            return format!("outputs[{i}].{key}");
        }
    }
    let windows = spec.windows.as_ref();
    if windows.is_some_and(|windows| windows.time == column) {
        return "data.windows.time".to_owned();
    }
    if windows.is_some_and(|windows| windows.unit.as_deref() == Some(column)) {
        return "data.windows.unit".to_owned();
    }
    "data.split.column".to_owned()
}

/// Where the project file declares the input or output, or holds the key, that an error is about.
fn path_of_field(project: &Project, field: &str) -> Option<String> {
    let spec = project.pipeline();
    let input = spec.inputs.iter().position(|input| input.name == field).map(|i| format!("inputs[{i}]"));
    let output =
        || spec.outputs.iter().position(|output| output.name == field).map(|i| format!("outputs[{i}]"));
    let key = || {
        let path = if field.starts_with("data") { field.to_owned() } else { format!("data.{field}") };
        project.has(&path).then_some(path)
    };
    input.or_else(output).or_else(key)
}

/// A problem of what the network ends in.
pub(crate) fn at_last_layer(project: &Project, problem: Problem) -> TrainError {
    let path = format!("network.layers[{}]", project.layers().len() - 1);
    TrainError::misfit(vec![project.complain(&path, Target::Value, problem)])
}

/// An error of the network, with the line that it is about where there is one.
pub(crate) fn locate_model(project: &Project, error: ModelError) -> TrainError {
    let path = match &error {
        ModelError::Shape { index, .. } => format!("network.layers[{index}]"),
        ModelError::Layer { index, field, .. } => format!("network.layers[{index}].{field}"),
        ModelError::Spec { .. } | ModelError::TooLarge { .. } => "network.layers".to_owned(),
        ModelError::Loss { .. } => "training.loss".to_owned(),
        ModelError::Config { field, .. } => {
            let inside = format!("training.optimizer.{field}");
            if project.has(&inside) { inside } else { format!("training.{field}") }
        }
        _ => return error.into(),
    };
    let problem = Problem::new(error.to_string()).hint_from(error.hint());
    TrainError::misfit(vec![project.complain(&path, Target::Value, problem)])
}
