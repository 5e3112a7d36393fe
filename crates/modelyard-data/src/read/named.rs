//! Rows whose values have names, as in JSON lines and Parquet. A name that is in no row at all is an error, for
//! then it is misspelt.

use std::collections::HashSet;
use std::path::Path;

use crate::error::{DataError, Problem, nearest};
use crate::fields::{Builder, Builders, FieldKind, at, expand_columns, matches_pattern};
use crate::spec::SourceSpec;
use crate::value::Value;

/// What one row says under a name: nothing at all, a value, or something that is none.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<Result<Value, Problem>>;

/// What a nested value is told.
pub(super) fn nested() -> Problem {
    Problem::new("takes a number, a text or a list of numbers, not a nested value")
}

/// The rows of one file on their way into the columns.
pub(super) struct NamedRows<'a> {
    path: &'a Path,
    missing: &'a [String],
    /// For each wanted column, whether some row had it.
    seen: Vec<bool>,
    /// The names of the header or of the first row: what patterns mean, and what the message about a misspelt
    /// one shows.
    names: Vec<String>,
    /// The same names, to look one up.
    known: HashSet<String>,
    /// Whether a vector's columns are told by a pattern.
    has_patterns: bool,
}

impl<'a> NamedRows<'a> {
    pub(super) fn new(path: &'a Path, source: &'a SourceSpec, builders: &Builders) -> Self {
        let is_pattern = |builder: &Builder| match &builder.field.kind {
            FieldKind::Vector { columns: Some(columns) } => columns.iter().any(|name| name.contains('*')),
            _ => false,
        };
        Self {
            path,
            missing: &source.missing,
            seen: vec![false; builders.columns.len()],
            names: Vec::new(),
            known: HashSet::new(),
            has_patterns: builders.columns.iter().any(is_pattern),
        }
    }

    /// Whether [`Self::name`] was called.
    pub(super) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    /// Tells the names of the columns.
    pub(super) fn name(&mut self, names: Vec<String>) {
        self.known = names.iter().cloned().collect();
        self.names = names;
    }

    /// Appends one row. `line` is its place in the file, from 1.
    pub(super) fn push(
        &mut self,
        line: u64,
        value_of: Lookup<'_>,
        builders: &mut Builders,
    ) -> Result<(), DataError> {
        for (column, builder) in builders.columns.iter_mut().enumerate() {
            if let FieldKind::Vector { columns: Some(_) } = &builder.field.kind {
                self.push_members(line, value_of, builder)?;
                self.seen[column] = true;
            } else {
                let name = builder.field.column.clone();
                let found = value_of(&name);
                self.seen[column] |= found.is_some();
                let value = self.judge(found).map_err(at(self.path, line, &name))?;
                builder.push_value(&value).map_err(at(self.path, line, &name))?;
            }
        }
        builders.rows += 1;
        Ok(())
    }

    /// A vector that is put together from several names.
    fn push_members(&self, line: u64, value_of: Lookup<'_>, builder: &mut Builder) -> Result<(), DataError> {
        if builder.members.is_empty() {
            builder.members = self.members(line, builder)?;
        }
        let mut numbers = Vec::with_capacity(builder.members.len());
        for name in &builder.members {
            numbers.push(match self.judge(value_of(name)).map_err(at(self.path, line, name))? {
                Value::Number(number) | Value::Moment(number) => number,
                Value::Missing => f64::NAN,
                other => {
                    let problem = Problem::new(format!("takes a number, not {}", other.describe()));
                    return Err(at(self.path, line, name)(problem));
                }
            });
        }
        builder.push_vector(&numbers).map_err(at(self.path, line, &builder.field.name))
    }

    /// The names that a vector's patterns mean.
    pub(super) fn members(&self, line: u64, builder: &Builder) -> Result<Vec<String>, DataError> {
        let FieldKind::Vector { columns: Some(columns) } = &builder.field.kind else {
            return Ok(vec![builder.field.column.clone()]);
        };
        let names = expand_columns(columns, &self.names).map_err(at(self.path, line, &builder.field.name))?;
        match names.iter().find(|name| !self.names.contains(name)) {
            Some(absent) => Err(self.no_column(absent)),
            None => Ok(names),
        }
    }

    /// A marker of a missing value becomes one.
    fn judge(&self, found: Option<Result<Value, Problem>>) -> Result<Value, Problem> {
        Ok(match found.transpose()? {
            None => Value::Missing,
            Some(Value::Text(text)) if self.missing.iter().any(|marker| marker == text.trim()) => {
                Value::Missing
            }
            Some(Value::Number(number)) if self.missing.iter().any(|marker| marker.parse() == Ok(number)) => {
                Value::Missing
            }
            Some(value) => value,
        })
    }

    /// Names that only a later row has: one that a pattern means would be left out of the vector without a word.
    pub(super) fn later<'n>(
        &self,
        line: u64,
        names: impl Iterator<Item = &'n String>,
        builders: &Builders,
    ) -> Result<(), DataError> {
        if !self.has_patterns {
            return Ok(());
        }
        for name in names.filter(|name| !self.known.contains(*name)) {
            for builder in &builders.columns {
                let FieldKind::Vector { columns: Some(columns) } = &builder.field.kind else { continue };
                let means = |pattern: &str| pattern.contains('*') && matches_pattern(pattern, name);
                if columns.iter().any(means) {
                    let problem = Problem::new(format!(
                        "{name:?} is not in the first row, whose names tell the columns"
                    ))
                    .hint("give every name in the first row, with null where there is no value");
                    return Err(at(self.path, line, &builder.field.name)(problem));
                }
            }
        }
        Ok(())
    }

    /// Every wanted column was there.
    pub(super) fn finish(self, builders: &Builders) -> Result<(), DataError> {
        match self.seen.iter().position(|seen| !seen) {
            Some(column) => Err(self.no_column(&builders.columns[column].field.column)),
            None => Ok(()),
        }
    }

    pub(super) fn no_column(&self, name: &str) -> DataError {
        DataError::NoColumn {
            path: self.path.to_owned(),
            column: name.to_owned(),
            nearest: nearest(name, self.names.iter().map(String::as_str)),
            known: self.names.iter().take(20).cloned().collect(),
        }
    }
}
