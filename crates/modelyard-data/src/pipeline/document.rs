//! `pipeline.json`: the fitted pipeline at rest. What is read back is checked as strictly as what was fitted,
//! for the file may come from anywhere.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::fit::{cap_of, check_numeric};
use super::input::FittedInput;
use super::language::FittedNextToken;
use super::output::FittedOutput;
use super::{Calibration, OutputActivation, Pipeline};
use crate::dataset::Dictionary;
use crate::error::{DataError, Problem};
use crate::fields::{Field, FieldKind, wanted};
use crate::spec::{InputSpec, Kind, OutputKind, OutputSpec, PipelineSpec};
use crate::transform::{Fitted, Form};
use crate::value::Value;

const NAME: &str = "pipeline.json";
const FORMAT: &str = "modelyard.pipeline";
/// 2 since there are windows, calibration and inputs given back: a program that knows 1 only refuses it as newer.
const FORMAT_VERSION: u64 = 2;

/// The first thing looked at.
#[derive(Deserialize)]
struct Head {
    format: String,
    format_version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    format_version: u64,
    spec: PipelineSpec,
    inputs: Vec<InputDocument>,
    outputs: Vec<OutputDocument>,
    /// How many numbers the network gives a row, and how they are read.
    output_width: usize,
    output_activation: OutputActivation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<Calibration>,
    warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InputDocument {
    incoming: Form,
    steps: Vec<Fitted>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    members: Vec<String>,
    #[serde(default, skip_serializing_if = "Json::is_null")]
    example: Json,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OutputDocument {
    Classes(Vec<String>),
    Steps(Vec<Fitted>),
    /// The next token: all that is fitted is the text input's.
    NextToken,
    /// Nothing is fitted for anomalies.
    Input {},
}

impl Pipeline {
    /// The pipeline as the text of `pipeline.json`.
    pub fn to_json(&self) -> String {
        let document = Document {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            spec: self.spec.clone(),
            inputs: self.inputs.iter().map(input_document).collect(),
            outputs: self.outputs.iter().map(output_document).collect(),
            output_width: self.output_width(),
            output_activation: self.activation,
            calibration: self.calibration.clone(),
            warnings: self.warnings.clone(),
        };
        serde_json::to_string_pretty(&document).expect("every number in it is finite and every key a text")
    }

    /// The pipeline from the bytes of `pipeline.json`.
    ///
    /// # Errors
    /// [`DataError::TooNew`] for a later format, [`DataError::Document`] for anything that is not a sound
    /// pipeline.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DataError> {
        let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
        if head.format != FORMAT {
            return Err(damaged(format!("its format is {:?}", head.format)));
        }
        if head.format_version > FORMAT_VERSION {
            let (found, known) = (head.format_version, FORMAT_VERSION);
            return Err(DataError::TooNew { document: NAME, found, known });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(damaged)?;
        build(document).map_err(|error| match error {
            DataError::Document { .. } => error,
            other => damaged(other),
        })
    }
}

fn damaged(problem: impl ToString) -> DataError {
    DataError::Document { document: NAME, problem: problem.to_string() }
}

fn input_document(input: &FittedInput) -> InputDocument {
    InputDocument {
        incoming: input.incoming.clone(),
        steps: input.steps.iter().map(|(step, _)| step.clone()).collect(),
        categories: input.dictionary.labels().map(String::from).collect(),
        members: input.members.clone(),
        example: input.example.as_ref().map(Value::to_json).unwrap_or_default(),
    }
}

fn output_document(output: &FittedOutput) -> OutputDocument {
    match output {
        FittedOutput::Category { classes, .. } | FittedOutput::Labels { classes, .. } => {
            OutputDocument::Classes(classes.labels().map(String::from).collect())
        }
        FittedOutput::Number { steps, .. } => OutputDocument::Steps(steps.clone()),
        FittedOutput::NextToken(_) => OutputDocument::NextToken,
        FittedOutput::Anomaly { .. } => OutputDocument::Input {},
    }
}

fn build(document: Document) -> Result<Pipeline, DataError> {
    let spec = document.spec;
    if document.inputs.len() != spec.inputs.len() || document.outputs.len() != spec.outputs.len() {
        return Err(damaged("it is not fitted for every input and output"));
    }
    let fields = wanted(&spec)?;
    let mut inputs = Vec::with_capacity(spec.inputs.len());
    for ((input, declared), field) in document.inputs.into_iter().zip(&spec.inputs).zip(fields) {
        inputs.push(build_input(input, declared, field)?);
    }
    let mut outputs = Vec::with_capacity(spec.outputs.len());
    for (at, (output, declared)) in document.outputs.into_iter().zip(&spec.outputs).enumerate() {
        outputs.push(match (&output, declared.kind) {
            (OutputDocument::NextToken, OutputKind::NextToken) => {
                FittedOutput::NextToken(FittedNextToken::new(declared, &spec, &inputs)?)
            }
            _ => build_output(output, declared, spec.inputs.len() + at)?,
        });
    }
    let mut pipeline = Pipeline::assemble(spec, inputs, outputs, document.warnings)?;
    pipeline.set_output_activation(document.output_width, document.output_activation)?;
    pipeline.set_calibration(document.calibration).map_err(|problem| damaged(problem.text))?;
    Ok(pipeline)
}

fn build_input(input: InputDocument, declared: &InputSpec, field: Field) -> Result<FittedInput, DataError> {
    let dictionary = Dictionary::new(&input.categories);
    let sound = match (declared.kind, &input.incoming) {
        (Kind::Audio, Form::Numbers { width }) => {
            matches!(&field.kind, FieldKind::Audio { mel } if mel.shape().iter().product::<usize>() == *width)
        }
        (Kind::Number, Form::Numbers { width }) => *width == 1,
        (Kind::Vector, Form::Numbers { width }) => *width > 0 && [0, *width].contains(&input.members.len()),
        (Kind::Category, Form::Category { size }) => {
            *size == dictionary.len() && *size == input.categories.len()
        }
        (Kind::Datetime, Form::Datetime) | (Kind::Text, Form::Text) => true,
        (Kind::Image, Form::Bytes { shape: [height, width, 1 | 3] }) => {
            *height > 0 && *width > 0 && height.saturating_mul(*width) <= 1 << 28
        }
        _ => false,
    };
    if !sound {
        let problem =
            format!("{:?} is declared as {} and fitted as something else", declared.name, declared.kind);
        return Err(damaged(problem));
    }
    let example = Value::from_json(&input.example).filter(|value| *value != Value::Missing);
    let mut fitted = FittedInput {
        name: field.name.clone(),
        kind: declared.kind,
        field: Arc::new(field),
        incoming: input.incoming,
        steps: Vec::new(),
        dictionary: Arc::new(dictionary),
        members: input.members,
        example,
    };
    for step in input.steps {
        let next = step.as_transform().output(fitted.output());
        let next =
            next.map_err(|problem| problem.in_fit(&format!("{} of {:?}", step.name(), declared.name)))?;
        fitted.steps.push((step, next));
    }
    check_numeric(&fitted)?;
    Ok(fitted)
}

fn build_output(
    output: OutputDocument,
    declared: &OutputSpec,
    place: usize,
) -> Result<FittedOutput, DataError> {
    let name: Arc<str> = declared.name.as_str().into();
    match (declared.kind, output) {
        (OutputKind::Category | OutputKind::Labels, OutputDocument::Classes(labels)) => {
            let classes = Dictionary::new(&labels);
            if classes.len() < 2 || classes.len() != labels.len() {
                return Err(damaged(format!("the classes of {name:?} are not two or more different labels")));
            }
            let classes = Arc::new(classes);
            Ok(match declared.kind {
                OutputKind::Labels => FittedOutput::Labels { name, place, classes },
                _ => FittedOutput::Category { name, place, classes },
            })
        }
        (OutputKind::Anomaly, OutputDocument::Input {}) => Ok(FittedOutput::Anomaly { name }),
        (OutputKind::Number | OutputKind::Remaining, OutputDocument::Steps(steps)) => {
            let form = Form::Numbers { width: 1 };
            for step in &steps {
                let transform = step.as_transform();
                let checked = transform.output(&form).and_then(|_| transform.invert(&mut [0.0]));
                checked.map_err(|problem: Problem| problem.in_fit(&name))?;
            }
            Ok(FittedOutput::Number { name, place, steps, cap: cap_of(declared) })
        }
        _ => Err(damaged(format!("{name:?} is declared as one kind and fitted as another"))),
    }
}
