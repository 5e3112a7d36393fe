//! Taking a message's fields apart by name, so that what nobody takes is refused with its line.

use std::fmt::Display;
use std::str::FromStr;

use super::text::{Field, Malformed, Value};

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
    /// What `take` refuses, and names that it does not know.
    pub(super) fn each(
        self,
        of: &str,
        mut take: impl FnMut(&'f Field) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        for field in self.0 {
            if !take(field)? {
                return Err(Refusal::new(field.line, format!("{} is no field of {of}", field.name)));
            }
        }
        Ok(())
    }
}
