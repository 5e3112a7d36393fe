//! The fitted pipeline: the one way from raw rows to the network's numbers and back to named answers, in
//! training and in serving alike.

mod apply;
mod calibrate;
mod decode;
mod document;
mod fit;
mod input;
mod labels;
mod language;
mod output;
mod parts;
mod rows;
mod steps;
mod undo;

use serde::{Deserialize, Serialize};

use crate::dataset::{Column, Dataset};
use crate::error::DataError;
use crate::spec::{Columns, InputSpec, Kind, PipelineSpec};
use crate::value::Value;

pub use calibrate::Calibration;
pub use decode::{Answer, ForecastStep, Prediction};
use input::FittedInput;
pub use language::{Continuation, Continuing, Finish, Language, NO_TOKEN, NextTokens};
use output::FittedOutput;
pub use parts::InputPart;

/// Everything fitted on the training rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    spec: PipelineSpec,
    inputs: Vec<FittedInput>,
    input_shape: Vec<usize>,
    layout: parts::Layout,
    outputs: Vec<FittedOutput>,
    task: Task,
    activation: OutputActivation,
    calibration: Option<Calibration>,
    warnings: Vec<String>,
    keys: rows::Keys,
}

/// What the network is trained to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// One of several classes: the network gives one number a class.
    Classification {
        /// The output's name.
        output: String,
        /// The classes in the order of the network's outputs.
        classes: Vec<String>,
    },
    /// One of two classes: the network gives one number, the logit or probability of the second.
    Binary {
        /// The output's name.
        output: String,
        /// The classes; the network speaks of the second.
        classes: [String; 2],
    },
    /// Any number of labels: the network gives one number a label, the logit or probability that the row has it.
    Labels {
        /// The output's name.
        output: String,
        /// The labels in the order of the network's outputs.
        classes: Vec<String>,
    },
    /// The next token at each step of a text: the network gives [steps, logits].
    NextToken {
        /// The output's name.
        output: String,
        /// How many tokens the network sees at once.
        steps: usize,
        /// How many different tokens the texts are cut into.
        tokens: usize,
        /// How many numbers the network gives at each step: one for each token at least.
        logits: usize,
    },
    /// One or more numbers.
    Regression {
        /// The outputs' names.
        outputs: Vec<String>,
    },
    /// One number for each of several rows ahead.
    Forecast {
        /// The output's name.
        output: String,
        /// How many rows ahead.
        horizon: usize,
        /// The quantiles that the network gives at each step, ascending; empty where it gives one number.
        quantiles: Vec<f64>,
    },
    /// What the network cannot give back of its input; see [`Pipeline::leave_residuals`].
    Anomaly {
        /// The output's name.
        output: String,
        /// Numbers of one input.
        size: usize,
    },
}

impl Task {
    /// How many numbers the network gives a row.
    pub fn output_width(&self) -> usize {
        match self {
            Self::Classification { classes, .. } | Self::Labels { classes, .. } => classes.len(),
            Self::Binary { .. } => 1,
            Self::NextToken { steps, logits, .. } => steps * logits,
            Self::Regression { outputs } => outputs.len(),
            Self::Forecast { horizon, quantiles, .. } => horizon * quantiles.len().max(1),
            Self::Anomaly { size, .. } => *size,
        }
    }

    /// How many numbers a row's answer has, as metrics see it: a forecast's steps, or the outputs.
    pub fn answer_width(&self) -> usize {
        match self {
            Self::Forecast { horizon, .. } => *horizon,
            _ => self.output_width(),
        }
    }
}

/// What training compares the network's outputs with.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetValues {
    /// One class index a row.
    Classes(Vec<u32>),
    /// rows × outputs numbers, as the output transforms leave them; for labels 1 for each that the row has.
    Values(Vec<f32>),
    /// What follows at each step.
    Tokens(NextTokens),
    /// What went into the network: it learns to give it back.
    Input,
}

/// The last activation of the network, which decides how its outputs are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputActivation {
    /// None: numbers, or logits.
    #[default]
    Linear,
    /// Probabilities over the classes.
    Softmax,
    /// The probability of the second class.
    Sigmoid,
}

/// What one input takes: for forms, example requests and documentation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldInfo {
    /// The name by which requests give it.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// For a category: the labels seen in training.
    pub categories: Vec<String>,
    /// For a vector: how many numbers. For an image: bytes. Otherwise 1.
    pub width: usize,
    /// For an input of a window's steps: how many values a request gives, one for each step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// For an image: height, width and channels.
    pub shape: Option<[usize; 3]>,
    /// Whether it may be left out, because an `impute` transform fills it in.
    pub optional: bool,
    /// The first training row's value; none for images too large to be written in a line.
    #[serde(skip)]
    pub example: Option<Value>,
}

impl Pipeline {
    /// The shape of one row for the network: [features], [height, width, channels], or [steps, features] of a
    /// window; of several parts, all their numbers side by side.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The parts of a row in order: numbers, categories, datetimes and plain vectors side by side are one part,
    /// `features`; each image, sound and text and each vector with a shape is a part of its own name.
    pub fn input_parts(&self) -> &[InputPart] {
        &self.layout.parts
    }

    /// How many different tokens the texts of an input are cut into, padding and unknown included; none where it is
    /// not cut into tokens.
    pub fn vocabulary_len(&self, input: &str) -> Option<usize> {
        self.inputs.iter().find(|fitted| &*fitted.name == input)?.vocabulary_len()
    }

    /// Where each input begins in a row, and its shape where it is a part of its own.
    pub(crate) fn input_places(&self) -> impl Iterator<Item = (usize, &[usize])> {
        self.layout.places()
    }

    /// How many numbers the network gives a row.
    pub fn output_width(&self) -> usize {
        self.task.output_width()
    }

    /// What the network is trained to do.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What was declared.
    pub fn spec(&self) -> &PipelineSpec {
        &self.spec
    }

    /// What was declared, with the columns that patterns meant in training by name: what another file is to be read
    /// by, so that its columns come in the same order however they stand in it.
    pub fn spec_of_columns(&self) -> PipelineSpec {
        let mut spec = self.spec.clone();
        for (declared, fitted) in spec.inputs.iter_mut().zip(&self.inputs) {
            if declared.columns.is_some() && !fitted.members.is_empty() {
                declared.columns = Some(Columns::Many(fitted.members.clone()));
            }
        }
        spec
    }

    /// What fitting noticed and a person should know, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How the network's outputs are read.
    pub fn output_activation(&self) -> OutputActivation {
        self.activation
    }

    /// Told once by training: how many numbers the network gives a row, and its last activation. Two classes
    /// and one number make the task [`Task::Binary`].
    ///
    /// # Errors
    /// [`DataError::Fit`] where the network's outputs do not fit the declared outputs.
    pub fn set_output_activation(
        &mut self,
        width: usize,
        activation: OutputActivation,
    ) -> Result<(), DataError> {
        output::check_activation(&mut self.task, width, activation)?;
        self.activation = activation;
        Ok(())
    }

    /// What each input takes.
    pub fn input_fields(&self) -> Vec<FieldInfo> {
        let horizon = self.spec.windows.as_ref().map_or(0, |windows| windows.horizon);
        let inputs = self.inputs.iter().zip(&self.spec.inputs);
        let field = |(input, declared): (&FittedInput, &InputSpec)| {
            let ahead = if declared.known_future { horizon } else { 0 };
            input.field_info(self.spec.steps_of(declared).map(|length| length + ahead))
        };
        inputs.map(field).collect()
    }

    /// Whether the network learns to give its input back, and what it leaves of it is the answer.
    pub fn gives_input_back(&self) -> bool {
        matches!(self.task, Task::Anomaly { .. })
    }

    /// Between the network and [`Pipeline::decode`], of the same rows: takes the network's inputs from its outputs
    /// where the network learns to give them back, and changes nothing elsewhere.
    ///
    /// # Panics
    /// Where there are not as many inputs as outputs, and the network learns to give them back.
    pub fn leave_residuals(&self, inputs: &[f32], outputs: &mut [f32]) {
        if self.gives_input_back() {
            assert_eq!(inputs.len(), outputs.len(), "one output for each input");
            outputs.iter_mut().zip(inputs).for_each(|(output, input)| *output -= input);
        }
    }

    /// The targets of these rows.
    ///
    /// # Errors
    /// [`DataError::Row`] where a row has no value, or a label that training never saw.
    pub fn targets(&self, data: &Dataset, rows: &[usize]) -> Result<TargetValues, DataError> {
        output::targets(&self.outputs, &self.task, data, rows)
    }
}

/// The column of an input or output: at its usual place, or wherever its name is.
fn column_of<'a>(data: &'a Dataset, place: usize, name: &str) -> Result<&'a Column, DataError> {
    match data.columns().get(place) {
        Some(column) if &*column.name == name => Ok(column),
        _ => data
            .columns()
            .iter()
            .find(|column| &*column.name == name)
            .ok_or_else(|| DataError::spec(name, "the data set was read without this column")),
    }
}
