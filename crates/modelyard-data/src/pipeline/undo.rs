//! From the network's own inputs back to rows in the user's words: what a network that gives its input back drew.

use super::Pipeline;
use super::input::FittedInput;
use super::parts::Cells;
use crate::error::{DataError, Problem};
use crate::picture::Picture;
use crate::spec::Kind;
use crate::transform::{Block, Form};
use crate::value::{Row, Value};

impl Pipeline {
    /// The rows of which these are the network's numbers, as requests give them: what [`Pipeline::apply`] makes of
    /// them are these numbers again, but for what is lost in a byte, a category, a cut-off or another size. An input
    /// of a window's steps has a value for each of them; images are PNG files.
    ///
    /// # Errors
    /// [`DataError::Fit`] where an input went through a transform that cannot be undone.
    ///
    /// # Panics
    /// Where there are not [`Pipeline::input_shape`] numbers a row.
    pub fn undo(&self, numbers: &[f32]) -> Result<Vec<Row>, DataError> {
        let width = self.input_shape.iter().product::<usize>().max(1);
        assert_eq!(numbers.len() % width, 0, "whole rows of {width} numbers");
        let mut rows = vec![Row::new(); numbers.len() / width];
        let inputs = self.inputs.iter().zip(&self.spec.inputs).zip(&self.layout.cells);
        for ((input, declared), cells) in inputs {
            let is_of_steps = self.spec.steps_of(declared).is_some();
            for (row, numbers) in rows.iter_mut().zip(numbers.chunks_exact(width)) {
                let mut values =
                    input.undo(numbers, *cells).map_err(|problem| problem.in_fit(&input.name))?;
                let value = match values.pop() {
                    Some(only) if !is_of_steps => only,
                    last => together(values.into_iter().chain(last).collect()),
                };
                row.insert(input.name.to_string(), value);
            }
        }
        Ok(rows)
    }
}

/// The values of a window's steps as one: numbers side by side, or a list.
fn together(values: Vec<Value>) -> Value {
    let numbers: Option<Vec<f64>> = values
        .iter()
        .map(|value| match value {
            Value::Number(number) => Some(vec![*number]),
            Value::Vector(numbers) => Some(numbers.clone()),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()
        .map(|numbers| numbers.concat());
    numbers.map_or(Value::List(values), Value::Vector)
}

impl FittedInput {
    /// The value of each of its cells in a row.
    fn undo(&self, row: &[f32], cells: Cells) -> Result<Vec<Value>, Problem> {
        let width = self.width();
        let firsts = (0..cells.steps).map(|step| cells.first + step * cells.stride);
        let mut block = Block {
            rows: cells.steps,
            form: Some(self.output().clone()),
            floats: firsts.flat_map(|first| &row[first..first + width]).map(|v| f64::from(*v)).collect(),
            ..Block::default()
        };
        for (at, (step, _)) in self.steps.iter().enumerate().rev() {
            let before = at.checked_sub(1).map_or(&self.incoming, |before| &self.steps[before].1);
            let Some(form) = step.as_transform().undo(&mut block, before) else {
                let problem =
                    format!("`{}` cannot be undone, so no rows can be made of numbers", step.name());
                return Err(Problem::new(problem).hint("leave the input out, or give it other transforms"));
            };
            block.form = Some(form);
        }
        if let Some(number) = block.floats.iter().find(|number| !number.is_finite()) {
            let problem = format!("what was drawn is {number} in the data's own units");
            return Err(Problem::new(problem).hint("draw by another seed, or train further"));
        }
        self.values(&block)
    }

    /// The raw values of a block.
    fn values(&self, block: &Block) -> Result<Vec<Value>, Problem> {
        match block.form.as_ref().unwrap_or(&self.incoming) {
            Form::Numbers { width: 1 } if self.kind != Kind::Vector => {
                Ok(block.floats.iter().map(|number| Value::Number(*number)).collect())
            }
            Form::Numbers { width } => {
                Ok(block.floats.chunks_exact(*width).map(|row| Value::Vector(row.to_vec())).collect())
            }
            Form::Datetime => Ok(block.floats.iter().map(|seconds| Value::Moment(*seconds)).collect()),
            Form::Category { .. } => {
                let label =
                    |code: &u32| self.dictionary.label(*code).map(|label| Value::Text(label.to_owned()));
                Ok(block.codes.iter().map(|code| label(code).unwrap_or(Value::Missing)).collect())
            }
            Form::Bytes { shape } => {
                let images = block.bytes.chunks_exact(shape.iter().product());
                images.map(|bytes| png(Picture { shape: *shape, bytes: bytes.to_vec() })).collect()
            }
            other @ (Form::Image { .. } | Form::Text) => {
                Err(Problem::new(format!("no value can be made of {}", other.describe())))
            }
        }
    }
}

fn png(picture: Picture) -> Result<Value, Problem> {
    let too_large = || Problem::new(format!("an image of {:?} is too large for a PNG file", picture.shape));
    picture.to_png().map(Value::Bytes).ok_or_else(too_large)
}
