//! Taking a message's fields apart by name, so that what nobody takes is refused with its line, as is what was given
//! already.
//!
//! Source: <https://github.com/triton-inference-server/common>, `protobuf/model_config.proto`.

use std::fmt::Display;
use std::str::FromStr;

use super::text::{Field, Malformed, Value};
use crate::error::ServeError;

/// Fields that may stand in one message again and again, whichever that is.
const REPEATED: [&str; 15] = [
    "bool_false_true",
    "control",
    "control_input",
    "dims",
    "fp32_false_true",
    "input",
    "inputs",
    "instance_group",
    "int32_false_true",
    "model_warmup",
    "output",
    "parameters",
    "preferred_batch_size",
    "state",
    "versions",
];
/// Fields of which a message has one at most.
const CHOICES: [&[&str]; 4] = [
    &["dynamic_batching", "sequence_batching"],
    &["all", "latest", "specific"],
    &["direct", "oldest"],
    &["zero_data", "random_data"],
];

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// From 1.
    pub(super) line: usize,
    /// In a sentence.
    pub(super) what: String,
    /// The way out, where one is known.
    pub(super) hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same as an error, of a configuration in this file.
    pub(super) fn of_file(self, file: &str) -> ServeError {
        let Self { line, what, hint } = self;
        ServeError::ModelConfig { file: file.to_owned(), line, what, hint }
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed { line, what }: Malformed) -> Self {
        Self::new(line, what)
    }
}

impl Field {
    /// The field is known, but what it asks for is not done here.
    pub(super) fn unsupported(&self, hint: &str) -> Refusal {
        Refusal::new(self.line, format!("{} is not supported", self.name)).hint(hint)
    }

    fn not(&self, wanted: &str) -> Refusal {
        let got = match &self.value {
            Value::Text(text) | Value::Quoted(text) => format!("{text:?}"),
            Value::Word(word) => word.clone(),
            Value::Message(_) => "a message".to_owned(),
        };
        Refusal::new(self.line, format!("{} is {got}, which is not {wanted}", self.name))
    }

    /// The text that it holds.
    pub(super) fn text(&self) -> Result<&str, Refusal> {
        match &self.value {
            Value::Text(text) | Value::Quoted(text) => Ok(text),
            _ => Err(self.not("a text in quotes")),
        }
    }

    /// The name of an enumeration's value that it holds.
    pub(super) fn word(&self) -> Result<&str, Refusal> {
        match &self.value {
            Value::Word(word) | Value::Quoted(word) => Ok(word),
            _ => Err(self.not("a name without quotes")),
        }
    }

    /// The truth that it holds.
    pub(super) fn truth(&self) -> Result<bool, Refusal> {
        match self.word()? {
            "true" | "True" | "t" | "1" => Ok(true),
            "false" | "False" | "f" | "0" => Ok(false),
            _ => Err(self.not("true or false")),
        }
    }

    /// The whole number that it holds, within these bounds.
    pub(super) fn number<T>(&self, min: T, max: T) -> Result<T, Refusal>
    where
        T: FromStr + PartialOrd + Display,
    {
        let number = self.word()?.parse().ok().filter(|number| (&min..=&max).contains(&number));
        number.ok_or_else(|| self.not(&format!("a whole number from {min} to {max}")))
    }

    /// The fields that it holds.
    pub(super) fn message(&self) -> Result<Fields<'_>, Refusal> {
        match &self.value {
            Value::Message(fields) => Ok(Fields::new(fields)),
            _ => Err(self.not("a message in braces")),
        }
    }

    /// Refuses the field unless it says `false`, which asks for nothing.
    pub(super) fn must_be_false(&self, hint: &str) -> Result<(), Refusal> {
        if self.truth()? { Err(self.unsupported(hint)) } else { Ok(()) }
    }
}

/// The fields of a message, handed out in their order.
pub(super) struct Fields<'f>(&'f [Field]);

impl<'f> Fields<'f> {
    pub(super) fn new(fields: &'f [Field]) -> Self {
        Self(fields)
    }

    /// Gives every field to `take`, which says whether it knows the name.
    ///
    /// # Errors
    /// What `take` refuses, names that it does not know, and fields of which others that stand before leave no room.
    pub(super) fn each(
        self,
        of: &str,
        mut take: impl FnMut(&'f Field) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        for (at, field) in self.0.iter().enumerate() {
            check_room(&self.0[..at], field)?;
            if !take(field)? {
                return Err(Refusal::new(field.line, format!("{} is no field of {of}", field.name)));
            }
        }
        Ok(())
    }
}

/// As parsers of the text format have it, a field that is no list is given once, and one of a choice.
fn check_room(before: &[Field], field: &Field) -> Result<(), Refusal> {
    let name = field.name.as_str();
    if REPEATED.contains(&name) {
        return Ok(());
    }
    let choice = CHOICES.iter().find(|choice| choice.contains(&name));
    let excludes = |other: &&Field| match choice {
        Some(choice) => choice.contains(&other.name.as_str()),
        None => other.name == name,
    };
    match before.iter().find(excludes) {
        None => Ok(()),
        Some(other) if other.name == name => {
            Err(Refusal::new(field.line, format!("{name} is given twice")).hint("keep one of them"))
        }
        Some(other) => {
            Err(Refusal::new(field.line, format!("{name} stands beside {}", other.name))
                .hint("keep one of them"))
        }
    }
}
