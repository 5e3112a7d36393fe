//! Raw rows of a request into a data set, by the very builders that read files.

use super::Pipeline;
use super::input::FittedInput;
use super::output::FittedOutput;
use super::steps::Steps;
use crate::dataset::Dataset;
use crate::error::{DataError, Problem, nearest};
use crate::fields::Builder;
use crate::spec::Kind;
use crate::transform::Form;
use crate::value::{Row, Value};
use crate::window::Windows;

/// Every name that a row may use, sorted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Keys {
    keys: Vec<(String, Slot)>,
}

/// What a name in a row means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    /// An input.
    Input(usize),
    /// One number of a vector input.
    Member(usize, usize),
    /// An output: rows copied from training data may bring it, and it is passed over.
    Output,
}

impl Keys {
    /// Names of inputs come first, then their columns, then outputs; a name that comes twice keeps its first
    /// meaning.
    pub(super) fn new(inputs: &[FittedInput], outputs: &[FittedOutput]) -> Self {
        let mut keys: Vec<(String, Slot)> = Vec::new();
        for (at, input) in inputs.iter().enumerate() {
            keys.push((input.name.to_string(), Slot::Input(at)));
        }
        for (at, input) in inputs.iter().enumerate() {
            if input.kind == Kind::Vector {
                let members = input.members.iter().enumerate();
                keys.extend(members.map(|(place, name)| (name.clone(), Slot::Member(at, place))));
            } else {
                keys.push((input.field.column.clone(), Slot::Input(at)));
            }
        }
        for output in outputs {
            keys.push((output.name().to_string(), Slot::Output));
        }
        // A stable sort, so that of equal names the first stays first.
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        keys.dedup_by(|later, first| later.0 == first.0);
        Self { keys }
    }

    /// What a name means. Rows are sorted as the keys are, so the name is most often the one at the cursor,
    /// just after the one before.
    fn slot(&self, name: &str, cursor: &mut usize) -> Option<Slot> {
        let at = match self.keys.get(*cursor) {
            Some((key, _)) if key == name => *cursor,
            _ => self.keys.binary_search_by(|(key, _)| key.as_str().cmp(name)).ok()?,
        };
        *cursor = at + 1;
        Some(self.keys[at].1)
    }

    fn input_names(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|(_, slot)| *slot != Slot::Output).map(|(key, _)| key.as_str())
    }
}

/// What one row gives for each input.
struct Given<'a> {
    whole: Vec<Option<&'a Value>>,
    /// For vectors given number by number.
    parts: Vec<Vec<Option<f64>>>,
}

impl Pipeline {
    /// Raw rows as a data set whose [`Dataset::samples`] [`Pipeline::apply`] takes, one for each. A row names
    /// inputs (or their columns, also those of a vector one by one); what an `impute` fills in may be left out;
    /// outputs are passed over.
    ///
    /// # Errors
    /// [`DataError::Row`] naming the row's index and the name: unknown, absent, or of another kind.
    pub fn dataset_from_rows(&self, rows: &[Row]) -> Result<Dataset, DataError> {
        let windows = self.spec.windows.as_ref();
        let mut builders: Vec<Builder> = self.inputs.iter().map(builder).collect();
        let mut given = Given { whole: Vec::new(), parts: vec![Vec::new(); self.inputs.len()] };
        for (index, row) in rows.iter().enumerate() {
            self.sort_out(index, row, &mut given)?;
            for (at, (input, builder)) in self.inputs.iter().zip(&mut builders).enumerate() {
                let declared = &self.spec.inputs[at];
                if let (Some(windows), Some(_)) = (windows, self.spec.steps_of(declared)) {
                    let steps = Steps { input, windows, is_known_future: declared.known_future };
                    let pushed = steps.push(given.whole[at], self.steps_ahead(), builder);
                    pushed.map_err(|problem| problem.in_row(index, &input.name))?;
                    continue;
                }
                let pushed = match given.whole[at] {
                    Some(value) => builder.push_value(value),
                    None if !given.parts[at].is_empty() => push_parts(input, &given.parts[at], builder),
                    None if input.is_optional() => builder.push_value(&Value::Missing),
                    None => Err(Problem::new("the row has no value of this name")
                        .hint(format!("every row needs {}", self.needed_names()))),
                };
                pushed.map_err(|problem| problem.in_row(index, &input.name))?;
            }
        }
        let columns = builders.into_iter().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        Ok(match windows {
            Some(windows) => {
                let laid = Windows::of_request(rows.len(), windows.length, self.steps_ahead());
                Dataset::of_request(columns, laid)
            }
            None => Dataset::new(columns, None),
        })
    }

    /// How many steps behind a window a request gives of what is known ahead.
    fn steps_ahead(&self) -> usize {
        let horizon = self.spec.windows.as_ref().map_or(0, |windows| windows.horizon);
        if self.knows_future() { horizon } else { 0 }
    }

    fn sort_out<'a>(&self, index: usize, row: &'a Row, given: &mut Given<'a>) -> Result<(), DataError> {
        given.whole.clear();
        given.whole.resize(self.inputs.len(), None);
        given.parts.iter_mut().for_each(Vec::clear);
        let mut cursor = 0;
        for (name, value) in row {
            match self.keys.slot(name, &mut cursor) {
                Some(Slot::Input(at)) => given.whole[at] = Some(value),
                Some(Slot::Member(at, place)) => {
                    let number = match value {
                        Value::Number(number) => *number,
                        Value::Missing => f64::NAN,
                        other => {
                            let problem = format!("takes a number, not {}", other.describe());
                            return Err(Problem::new(problem).in_row(index, name));
                        }
                    };
                    given.parts[at].resize(self.inputs[at].members.len(), None);
                    given.parts[at][place] = Some(number);
                }
                Some(Slot::Output) => {}
                None => return Err(self.unknown_name(index, name)),
            }
        }
        Ok(())
    }

    fn unknown_name(&self, index: usize, name: &str) -> DataError {
        let near = nearest(name, self.keys.input_names());
        let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        Problem::new(format!("this model has no input of this name{near}"))
            .hint(format!("it takes {}", self.needed_names()))
            .in_row(index, name)
    }

    fn needed_names(&self) -> String {
        let names: Vec<&str> = self.inputs.iter().take(20).map(|input| &*input.name).collect();
        let more = if self.inputs.len() > names.len() { ", …" } else { "" };
        format!("{}{more}", names.join(", "))
    }
}

fn builder(input: &FittedInput) -> Builder {
    let builder = Builder::new(input.field.clone());
    match &input.incoming {
        Form::Category { .. } => builder.with_labels(input.dictionary.clone()),
        Form::Numbers { width } => builder.with_width(*width),
        Form::Bytes { shape } => builder.with_shape(*shape),
        Form::Datetime | Form::Image { .. } | Form::Text => builder,
    }
}

fn push_parts(input: &FittedInput, parts: &[Option<f64>], builder: &mut Builder) -> Result<(), Problem> {
    let mut numbers = Vec::with_capacity(parts.len());
    for (part, name) in parts.iter().zip(&input.members) {
        match part {
            Some(number) => numbers.push(*number),
            None if input.is_optional() => numbers.push(f64::NAN),
            None => {
                return Err(Problem::new(format!(
                    "the row gives only some columns of this vector; {name:?} is absent"
                )));
            }
        }
    }
    builder.push_vector(&numbers)
}
