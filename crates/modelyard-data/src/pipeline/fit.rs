//! Learning from the training rows, and from nothing else.

use std::sync::Arc;

use super::input::{Coding, FittedInput, Scratch};
use super::language::FittedNextToken;
use super::output::{FittedOutput, wrong_column};
use super::parts::Layout;
use super::rows::Keys;
use super::{OutputActivation, Pipeline, Task, column_of, labels};
use crate::dataset::{Categories, ColumnData, Dataset, Dictionary, Images, MISSING, Vectors};
use crate::datetime::write_datetime;
use crate::error::{DataError, Problem};
use crate::fields::{Field, intake_len, wanted};
use crate::spec::{InputSpec, Kind, OutputKind, OutputSpec, PipelineSpec};
use crate::transform::{
    Block, DatetimeParts, Fitted, Form, ImageToFloat, Impute, Moments, OneHot, Standard, Strategy, Training,
    TransformSpec,
};
use crate::value::Value;
use crate::window::Windows;

use serde_json::Value as Json;

/// Rows a block while fitting.
const BLOCK_ROWS: usize = 1024;
/// An example image larger than this is not kept.
const EXAMPLE_BYTES_MAX: usize = 16 << 10;
/// An example is looked for among this many rows.
const EXAMPLE_ROWS: usize = 100;

impl Pipeline {
    /// Learns from the training rows of a data set that was read with the same spec.
    ///
    /// # Errors
    /// [`DataError::Spec`] where the declaration contradicts itself or the data set, [`DataError::Fit`] where
    /// a transform cannot learn from the rows.
    pub fn fit(spec: &PipelineSpec, data: &Dataset, training_rows: &[usize]) -> Result<Self, DataError> {
        Self::fit_from(spec, data, training_rows, None)
    }

    /// As [`Pipeline::fit`], but inputs that are declared as in an earlier pipeline are taken as they were fitted
    /// there: a network that was trained behind it sees the same numbers and tokens as before.
    ///
    /// # Errors
    /// As [`Pipeline::fit`].
    pub fn fit_from(
        spec: &PipelineSpec,
        data: &Dataset,
        training_rows: &[usize],
        earlier: Option<&Self>,
    ) -> Result<Self, DataError> {
        if training_rows.is_empty() {
            return Err(DataError::Split { problem: "there are no training rows".into(), hint: None });
        }
        let fields = wanted(spec)?;
        let spec = &spec.clone().with_boundaries();
        let mut warnings = data.warnings().to_vec();
        let seen = data.windows().map(|windows| windows.rows_seen(training_rows)).unwrap_or_default();
        let mut inputs = Vec::with_capacity(spec.inputs.len());
        for (place, (input, field)) in spec.inputs.iter().zip(&fields).enumerate() {
            let kept = match earlier {
                Some(earlier) => {
                    earlier.fitted_for(input, &column_of(data, place, &input.name)?.data, &mut warnings)
                }
                None => None,
            };
            let windows = data.windows().filter(|_| spec.steps_of(input).is_some());
            let rows = if windows.is_some() { &seen } else { training_rows };
            let fit = InputFit { input, data, rows, windows, first: training_rows[0] };
            inputs.push(match kept {
                Some(fitted) => fitted,
                None => fit.run(place, Arc::new(field.clone()), &mut warnings)?,
            });
        }
        let horizon = spec.windows.as_ref().map_or(0, |windows| windows.horizon);
        let output_rows = match data.windows() {
            Some(windows) => windows.rows_forecast(training_rows, horizon),
            None => training_rows.to_vec(),
        };
        let mut outputs = Vec::with_capacity(spec.outputs.len());
        for (at, output) in spec.outputs.iter().enumerate() {
            outputs.push(match output.kind {
                OutputKind::NextToken => {
                    FittedOutput::NextToken(FittedNextToken::new(output, spec, &inputs)?)
                }
                _ => fit_output(output, spec.inputs.len() + at, data, &output_rows, &mut warnings)?,
            });
        }
        Self::assemble(spec.without_augmentation(), inputs, outputs, warnings)
    }

    /// The input as it was fitted here, where it is declared the same way and takes this column.
    fn fitted_for(
        &self,
        declared: &InputSpec,
        column: &ColumnData,
        warnings: &mut Vec<String>,
    ) -> Option<FittedInput> {
        let at = self.spec.inputs.iter().position(|input| input.name == declared.name)?;
        let same = self.spec.inputs[at] == InputSpec { augment: None, ..declared.clone() };
        let fitted = Some(&self.inputs[at]).filter(|fitted| same && fitted.coding(column).is_ok());
        if fitted.is_none() {
            warnings.push(format!(
                "{:?} is declared otherwise than in the model that training starts from: the layers taken over see \
                 other numbers than before",
                declared.name
            ));
        }
        fitted.cloned()
    }

    /// Puts fitted parts together, having checked that they fit each other.
    pub(super) fn assemble(
        spec: PipelineSpec,
        inputs: Vec<FittedInput>,
        outputs: Vec<FittedOutput>,
        warnings: Vec<String>,
    ) -> Result<Self, DataError> {
        let layout = Layout::new(&spec, &inputs)?;
        let input_shape = layout.row_shape();
        let task = task_of(&spec, &outputs, &input_shape)?;
        let keys = Keys::new(&inputs, &outputs);
        let activation = OutputActivation::default();
        Ok(Self {
            spec,
            inputs,
            input_shape,
            layout,
            outputs,
            task,
            activation,
            calibration: None,
            warnings,
            keys,
        })
    }
}

fn task_of(spec: &PipelineSpec, outputs: &[FittedOutput], input: &[usize]) -> Result<Task, DataError> {
    let mut numbers = Vec::new();
    for output in outputs {
        match output {
            FittedOutput::Category { name, classes, .. } if outputs.len() == 1 => {
                return Ok(Task::Classification {
                    output: name.to_string(),
                    classes: classes.labels().map(String::from).collect(),
                });
            }
            FittedOutput::Labels { name, classes, .. } if outputs.len() == 1 => {
                return Ok(Task::Labels {
                    output: name.to_string(),
                    classes: classes.labels().map(String::from).collect(),
                });
            }
            FittedOutput::NextToken(output) if outputs.len() == 1 => return Ok(output.task()),
            FittedOutput::Category { .. } | FittedOutput::Labels { .. } | FittedOutput::NextToken(_) => {
                return Err(DataError::spec(&**output.name(), "a category must be the only output")
                    .with_hint("declare one category, or one or more numbers"));
            }
            FittedOutput::Number { name, .. } => numbers.push(name.to_string()),
            FittedOutput::Anomaly { name } => {
                return Ok(Task::Anomaly { output: name.to_string(), size: input.iter().product() });
            }
        }
    }
    if numbers.is_empty() {
        return Err(
            DataError::spec("outputs", "at least one output is needed").with_hint("declare [[outputs]]")
        );
    }
    let horizon = spec.windows.as_ref().map_or(0, |windows| windows.horizon);
    if horizon > 0 {
        let quantiles = spec.outputs[0].quantiles.clone().unwrap_or_default();
        return Ok(Task::Forecast { output: numbers.swap_remove(0), horizon, quantiles });
    }
    Ok(Task::Regression { outputs: numbers })
}

/// One input being fitted.
struct InputFit<'a> {
    input: &'a InputSpec,
    data: &'a Dataset,
    rows: &'a [usize],
    /// Where it gives the steps of windows.
    windows: Option<&'a Windows>,
    /// The first sample to learn from.
    first: usize,
}

impl InputFit<'_> {
    fn run(
        &self,
        place: usize,
        field: Arc<Field>,
        warnings: &mut Vec<String>,
    ) -> Result<FittedInput, DataError> {
        let input = self.input;
        let column = &column_of(self.data, place, &input.name)?.data;
        let transforms = self.transforms(column, warnings);
        let dictionary = Arc::new(self.dictionary(column, &transforms));
        let mut fitted = FittedInput {
            name: field.name.clone(),
            kind: input.kind,
            field,
            incoming: incoming(column, &dictionary),
            steps: Vec::new(),
            dictionary,
            members: self.data.columns().get(place).map(|c| c.members.clone()).unwrap_or_default(),
            example: self.example(column),
        };
        let coding = fitted.coding(column)?;
        self.warn(column, &fitted, warnings);
        for transform in &transforms[intake_len_of(input.kind, &transforms)..] {
            let form = fitted.output().clone();
            let step = {
                let visit = |see: &mut dyn FnMut(&Block)| self.visit(&fitted, column, &coding, see);
                let training = Training { form: &form, dictionary: Some(&fitted.dictionary), visit: &visit };
                transform.fit(&training).map_err(|problem| problem.in_fit(&input.name))?
            };
            let next = step.as_transform().output(&form).map_err(|problem| problem.in_fit(&input.name))?;
            fitted.steps.push((step, next));
        }
        check_numeric(&fitted)?;
        Ok(fitted)
    }

    /// A value as a request gives it: of a row, or of each step of a window.
    fn example(&self, column: &ColumnData) -> Option<Value> {
        let format = self.input.format.as_deref();
        let Some(windows) = self.windows else {
            return self.rows.iter().take(EXAMPLE_ROWS).find_map(|&row| example(column, row, format));
        };
        let ahead = if self.input.known_future { windows.ahead() } else { 0 };
        let rows = windows.rows_of(self.first, 0).chain(self.first + 1..self.first + 1 + ahead);
        let steps: Vec<Value> =
            rows.map(|row| example(column, row, format).unwrap_or(Value::Missing)).collect();
        Value::from_json(&Json::Array(steps.iter().map(Value::to_json).collect()))
    }

    /// Shows the training rows as the steps so far leave them.
    fn visit(&self, fitted: &FittedInput, column: &ColumnData, coding: &Coding, see: &mut dyn FnMut(&Block)) {
        let mut scratch = Scratch::default();
        for rows in self.rows.chunks(BLOCK_ROWS) {
            scratch.gather(fitted, column, coding, rows);
            fitted.run(&mut scratch.block);
            see(&scratch.block);
        }
    }

    /// The declared transforms, or the usual ones for the kind.
    fn transforms(&self, column: &ColumnData, warnings: &mut Vec<String>) -> Vec<TransformSpec> {
        if let Some(transforms) = &self.input.transforms {
            return transforms.clone();
        }
        let mut transforms = Vec::new();
        let missing = self.rows.iter().filter(|&&row| is_missing(column, row)).count();
        if missing > 0 {
            let strategy = match self.input.kind {
                Kind::Number | Kind::Vector => Strategy::Mean,
                Kind::Category => Strategy::MostFrequent,
                Kind::Datetime | Kind::Image | Kind::Text | Kind::Audio => Strategy::Median,
            };
            let (name, rows) = (&self.input.name, self.rows.len());
            warnings.push(format!(
                "{name:?} is missing in {missing} of {rows} training rows; as no transforms are declared, \
                 impute fills it in"
            ));
            transforms.push(TransformSpec::Impute(Impute { strategy, value: None }));
        }
        let usual = match self.input.kind {
            Kind::Number | Kind::Vector => TransformSpec::Standard(Standard {}),
            Kind::Category => TransformSpec::OneHot(OneHot::default()),
            Kind::Datetime => TransformSpec::DatetimeParts(DatetimeParts::default()),
            Kind::Image => TransformSpec::ImageToFloat(ImageToFloat {}),
            // How long a text or a sound may be is for a person to say.
            Kind::Text | Kind::Audio => return transforms,
        };
        transforms.push(usual);
        transforms
    }

    /// The labels of the training rows, sorted, with the one that `impute` may put in.
    fn dictionary(&self, column: &ColumnData, transforms: &[TransformSpec]) -> Dictionary {
        let ColumnData::Categories(categories) = column else { return Dictionary::default() };
        let mut labels = labels_of(categories, self.rows);
        for transform in transforms {
            if let TransformSpec::Impute(Impute { strategy: Strategy::Constant, value: Some(value) }) =
                transform
            {
                labels.push(value.as_label());
            }
        }
        sort_labels(&mut labels);
        Dictionary::new(labels)
    }

    fn warn(&self, column: &ColumnData, fitted: &FittedInput, warnings: &mut Vec<String>) {
        let constant = match column {
            ColumnData::Numbers(numbers) => {
                let mut moments = Moments::default();
                self.rows.iter().for_each(|&row| moments.add(numbers.get(row)));
                moments.count > 0 && moments.min == moments.max
            }
            ColumnData::Categories(_) => fitted.dictionary.len() == 1,
            _ => false,
        };
        if constant {
            warnings.push(format!(
                "{:?} has the same value in every training row: it teaches nothing",
                self.input.name
            ));
        }
    }
}

/// Resize, grey and log_mel already ran while reading.
fn intake_len_of(kind: Kind, transforms: &[TransformSpec]) -> usize {
    if matches!(kind, Kind::Image | Kind::Audio) { intake_len(transforms) } else { 0 }
}

fn incoming(column: &ColumnData, dictionary: &Dictionary) -> Form {
    match column {
        ColumnData::Numbers(_) => Form::Numbers { width: 1 },
        ColumnData::Categories(_) => Form::Category { size: dictionary.len() },
        ColumnData::Datetimes(_) => Form::Datetime,
        ColumnData::Vectors(Vectors { width, .. }) => Form::Numbers { width: *width },
        ColumnData::Images(Images { shape, .. }) => Form::Bytes { shape: *shape },
        ColumnData::Texts(_) => Form::Text,
    }
}

/// What leaves the last step must be numbers.
pub(super) fn check_numeric(fitted: &FittedInput) -> Result<(), DataError> {
    let hint = match fitted.output() {
        Form::Numbers { .. } | Form::Image { .. } => return Ok(()),
        Form::Category { .. } => "end its transforms with one_hot or ordinal",
        Form::Datetime => "end its transforms with datetime_parts",
        Form::Bytes { .. } => "put image_to_float after resize and grey",
        Form::Text => {
            "give it transforms = [{ type = \"tokenize\", model = \"words\", length = 64 }], or bag_of_words"
        }
    };
    let problem = format!("{} cannot go into a network as it is", fitted.output().describe());
    Err(Problem::new(problem).hint(hint).in_fit(&fitted.name))
}

fn is_missing(column: &ColumnData, row: usize) -> bool {
    match column {
        ColumnData::Numbers(numbers) => numbers.get(row).is_nan(),
        ColumnData::Categories(categories) => categories.codes[row] == MISSING,
        ColumnData::Datetimes(seconds) => seconds[row].is_nan(),
        ColumnData::Vectors(v) => v.values[row * v.width..(row + 1) * v.width].iter().any(|x| x.is_nan()),
        ColumnData::Images(_) | ColumnData::Texts(_) => false,
    }
}

/// The value of a row as a request would give it, where it can be written.
fn example(column: &ColumnData, row: usize, format: Option<&str>) -> Option<Value> {
    if is_missing(column, row) {
        return None;
    }
    Some(match column {
        ColumnData::Numbers(numbers) => Value::Number(numbers.get(row)),
        ColumnData::Categories(Categories { codes, dictionary }) => {
            Value::Text(dictionary.label(codes[row])?.to_owned())
        }
        ColumnData::Datetimes(seconds) => Value::Text(write_datetime(seconds[row], format)?),
        ColumnData::Vectors(v) => {
            // By way of text, so that 0.1 is written as 0.1 and not with the digits of its float32.
            let short = |x: &f32| x.to_string().parse().unwrap_or(f64::from(*x));
            Value::Vector(v.values[row * v.width..(row + 1) * v.width].iter().map(short).collect())
        }
        ColumnData::Images(images) => {
            let png = images.png(row)?;
            (png.len() <= EXAMPLE_BYTES_MAX).then_some(Value::Bytes(png))?
        }
        ColumnData::Texts(texts) => {
            let text = texts.get(row);
            (!text.is_empty() && text.len() <= EXAMPLE_BYTES_MAX).then(|| Value::Text(text.to_owned()))?
        }
    })
}

fn labels_of(categories: &Categories, rows: &[usize]) -> Vec<String> {
    let mut seen = vec![false; categories.dictionary.len()];
    for &row in rows {
        if let Some(seen) = seen.get_mut(categories.codes[row] as usize) {
            *seen = true;
        }
    }
    let labels = categories.dictionary.labels().zip(seen);
    labels.filter(|(_, seen)| *seen).map(|(label, _)| label.to_owned()).collect()
}

/// By number where all labels are numbers, so that 10 comes after 9; otherwise as texts.
fn sort_labels(labels: &mut Vec<String>) {
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse().ok()).collect();
    match numbers {
        Some(numbers) => {
            let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(labels.drain(..)).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            labels.extend(pairs.into_iter().map(|(_, label)| label));
        }
        None => labels.sort(),
    }
}

fn fit_output(
    output: &OutputSpec,
    place: usize,
    data: &Dataset,
    rows: &[usize],
    warnings: &mut Vec<String>,
) -> Result<FittedOutput, DataError> {
    let name: Arc<str> = output.name.as_str().into();
    if output.kind == OutputKind::Anomaly {
        return Ok(FittedOutput::Anomaly { name });
    }
    let column = &column_of(data, place, &output.name)?.data;
    match (output.kind, column) {
        (OutputKind::Category, ColumnData::Categories(categories)) => {
            let mut labels = labels_of(categories, rows);
            sort_labels(&mut labels);
            if let Some(declared) = &output.labels {
                labels.sort_by_key(|label| declared.iter().position(|name| name == label));
            }
            check_classes(output, &labels, rows.len(), warnings)?;
            Ok(FittedOutput::Category { name, place, classes: Arc::new(Dictionary::new(labels)) })
        }
        (OutputKind::Labels, ColumnData::Texts(texts)) => {
            let classes = Arc::new(Dictionary::new(labels::fit(output, texts, rows)?));
            Ok(FittedOutput::Labels { name, place, classes })
        }
        (OutputKind::Number | OutputKind::Remaining, ColumnData::Numbers(numbers)) => {
            let usual = [TransformSpec::Standard(Standard {})];
            let transforms = output.transforms.as_deref().unwrap_or(&usual);
            let raw: Vec<f64> = rows.iter().map(|&row| numbers.get(row)).collect();
            let steps = fit_number_steps(transforms, raw).map_err(|problem| problem.in_fit(&output.name))?;
            Ok(FittedOutput::Number { name, place, steps, cap: cap_of(output) })
        }
        _ => Err(wrong_column(&output.name)),
    }
}

/// The largest answer of an output of a life; without a cap nothing but the smallest, 0, is known.
pub(super) fn cap_of(output: &OutputSpec) -> Option<f64> {
    (output.kind == OutputKind::Remaining).then(|| output.cap.unwrap_or(f64::INFINITY))
}

fn check_classes(
    output: &OutputSpec,
    labels: &[String],
    rows: usize,
    warnings: &mut Vec<String>,
) -> Result<(), DataError> {
    if labels.len() < 2 {
        let only = labels.first().map(|label| format!(", {label:?}")).unwrap_or_default();
        return Err(Problem::new(format!(
            "the training rows have {} class{only}; two are needed",
            labels.len()
        ))
        .hint("check the column, or split with kind = \"stratified\"")
        .in_fit(&output.name));
    }
    if labels.len() > 20 && labels.len() * 2 > rows {
        warnings.push(format!(
            "{:?} has {} classes in {rows} training rows; if it is a quantity, its kind is number",
            output.name,
            labels.len()
        ));
    }
    Ok(())
}

fn fit_number_steps(transforms: &[TransformSpec], raw: Vec<f64>) -> Result<Vec<Fitted>, Problem> {
    let form = Form::Numbers { width: 1 };
    let mut block = Block { rows: raw.len(), form: Some(form.clone()), floats: raw, ..Block::default() };
    let mut steps = Vec::with_capacity(transforms.len());
    for transform in transforms {
        let step = {
            let visit = |see: &mut dyn FnMut(&Block)| see(&block);
            transform.fit(&Training { form: &form, dictionary: None, visit: &visit })?
        };
        step.as_transform().invert(&mut [0.0])?;
        step.as_transform().apply(&mut block);
        steps.push(step);
    }
    Ok(steps)
}
