//! What a request gives for one input of a window: a value for each step.

use super::input::FittedInput;
use crate::error::Problem;
use crate::fields::Builder;
use crate::spec::{Kind, Short, WindowSpec};
use crate::value::Value;

/// One input of a window.
pub(super) struct Steps<'a> {
    pub(super) input: &'a FittedInput,
    pub(super) windows: &'a WindowSpec,
    pub(super) is_known_future: bool,
}

impl Steps<'_> {
    /// Appends a window's values to the input's column, and `ahead` more rows.
    pub(super) fn push(
        &self,
        given: Option<&Value>,
        ahead: usize,
        builder: &mut Builder,
    ) -> Result<(), Problem> {
        let wanted = self.windows.length + if self.is_known_future { ahead } else { 0 };
        let mut values = match given {
            Some(value) => self.split(value, wanted)?,
            None if self.input.is_optional() => vec![Value::Missing; wanted],
            None => return Err(Problem::new("the row has no value of this name").hint(self.hint(wanted))),
        };
        if values.len() < wanted && self.windows.short == Short::Pad && !values.is_empty() {
            let missing = wanted - values.len();
            values.splice(..0, vec![values[0].clone(); missing]);
        }
        if values.len() != wanted {
            let problem = format!("takes a list of {wanted} values, one for each step, not {}", values.len());
            return Err(Problem::new(problem).hint(self.hint(wanted)));
        }
        values.resize(self.windows.length + ahead, Value::Missing);
        for (step, value) in values.iter().enumerate() {
            builder.push_value(value).map_err(|problem| Problem {
                text: format!("at step {step}: {}", problem.text),
                hint: problem.hint,
            })?;
        }
        Ok(())
    }

    fn hint(&self, wanted: usize) -> String {
        format!("give the last {wanted} values in the order of time, as in [1.5, 1.6, …]")
    }

    /// The value of each step.
    fn split(&self, value: &Value, wanted: usize) -> Result<Vec<Value>, Problem> {
        let numbers_a_step = if self.input.kind == Kind::Vector { self.input.incoming_width() } else { 1 };
        match value {
            Value::Vector(numbers) if self.input.kind == Kind::Vector => {
                if numbers.len() % numbers_a_step != 0 {
                    let problem = format!(
                        "takes {wanted} lists of {numbers_a_step} numbers, and {} numbers are no such lists",
                        numbers.len()
                    );
                    return Err(Problem::new(problem));
                }
                Ok(numbers.chunks_exact(numbers_a_step).map(|step| Value::Vector(step.to_vec())).collect())
            }
            Value::Vector(numbers) => Ok(numbers.iter().map(|number| of_number(*number)).collect()),
            Value::List(items) => Ok(items.clone()),
            other => {
                let problem =
                    format!("takes a list of {wanted} values, one for each step, not {}", other.describe());
                Err(Problem::new(problem).hint(self.hint(wanted)))
            }
        }
    }
}

fn of_number(number: f64) -> Value {
    if number.is_nan() { Value::Missing } else { Value::Number(number) }
}
