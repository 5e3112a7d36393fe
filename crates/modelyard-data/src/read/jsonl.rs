//! JSON lines: one object a line. A key that is not there is a missing value; a key in no line at all is an
//! error, for then it is misspelt.

use std::collections::BTreeSet;
use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::open::{NO_FILE, io_error, open, skip_byte_order_mark, unpack};
use super::{Files, Reader};
use crate::dataset::Dataset;
use crate::error::{DataError, Problem, nearest};
use crate::fields::{Builder, Builders, FieldKind, at, expand_columns};
use crate::spec::{Format, PipelineSpec, SourceSpec};
use crate::value::Value;
use crate::window::Side;

/// A line longer than this is surely no row.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// One JSON object a line.
pub(crate) struct Jsonl;

impl Reader for Jsonl {
    fn format(&self) -> Format {
        Format::Jsonl
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".jsonl", ".ndjson", ".json"]
    }

    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        for path in &files.data {
            builders.read_files_beside(path);
            Lines::new(path, source, builders.columns.len()).read(open(path)?, builders)?;
        }
        Ok(())
    }
}

/// Reads JSON lines from bytes, gzipped or not: the reader without its files.
///
/// # Errors
/// [`DataError`], as [`crate::read()`].
pub fn from_bytes(bytes: &[u8], source: &SourceSpec, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    let mut builders = Builders::new(spec, &source.split)?;
    let path = Path::new(NO_FILE);
    Lines::new(path, source, builders.columns.len()).read(unpack(bytes, path)?, &mut builders)?;
    builders.finish(None, &Side::default())
}

/// One file on its way.
struct Lines<'a> {
    path: &'a Path,
    missing: &'a [String],
    /// For each wanted column, whether some line had it.
    seen: Vec<bool>,
    /// The keys of the first line, for the message about a misspelt one.
    keys: BTreeSet<String>,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, source: &'a SourceSpec, columns: usize) -> Self {
        Self { path, missing: &source.missing, seen: vec![false; columns], keys: BTreeSet::new(), line: 0 }
    }

    fn read(mut self, mut bytes: Box<dyn BufRead + '_>, builders: &mut Builders) -> Result<(), DataError> {
        skip_byte_order_mark(&mut bytes, self.path)?;
        let rows_before = builders.rows;
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line += 1;
            let mut limited = (&mut bytes).take(LINE_BYTES_MAX);
            let count = limited.read_until(b'\n', &mut line).map_err(|source| io_error(self.path, source))?;
            if count == 0 {
                break;
            }
            if count as u64 == LINE_BYTES_MAX {
                return Err(self.malformed("the line is longer than 64 MiB"));
            }
            if !line.trim_ascii().is_empty() {
                self.push_line(&line, builders)?;
            }
        }
        if builders.rows == rows_before {
            return Err(DataError::NoRows { path: self.path.to_owned() });
        }
        match self.seen.iter().position(|seen| !seen) {
            Some(column) => Err(self.no_key(&builders.columns[column].field.column)),
            None => Ok(()),
        }
    }

    /// The parser stops at 128 levels of nesting, so no line is too deep for the stack.
    fn push_line(&mut self, line: &[u8], builders: &mut Builders) -> Result<(), DataError> {
        let object: Map<String, Json> =
            serde_json::from_slice(line).map_err(|error| self.malformed(&error.to_string()))?;
        if self.keys.is_empty() {
            self.keys = object.keys().cloned().collect();
        }
        for (column, builder) in builders.columns.iter_mut().enumerate() {
            if let FieldKind::Vector { columns: Some(_) } = &builder.field.kind {
                self.push_members(&object, builder)?;
                self.seen[column] = true;
            } else {
                let json = object.get(&builder.field.column);
                self.seen[column] |= json.is_some();
                let value = self.value_of(json, &builder.field.column)?;
                let name = builder.field.column.clone();
                builder.push_value(&value).map_err(at(self.path, self.line, &name))?;
            }
        }
        builders.rows += 1;
        Ok(())
    }

    /// A vector that is put together from several keys.
    fn push_members(&self, object: &Map<String, Json>, builder: &mut Builder) -> Result<(), DataError> {
        let FieldKind::Vector { columns: Some(columns) } = &builder.field.kind else {
            unreachable!("the caller looked at the kind")
        };
        if builder.members.is_empty() {
            let keys: Vec<String> = object.keys().cloned().collect();
            let names =
                expand_columns(columns, &keys).map_err(at(self.path, self.line, &builder.field.name))?;
            if let Some(absent) = names.iter().find(|name| !object.contains_key(*name)) {
                return Err(self.no_key(absent));
            }
            builder.members = names;
        }
        let mut numbers = Vec::with_capacity(builder.members.len());
        for name in &builder.members {
            match self.value_of(object.get(name), name)? {
                Value::Number(number) => numbers.push(number),
                Value::Missing => numbers.push(f64::NAN),
                other => {
                    let problem = Problem::new(format!("takes a number, not {}", other.describe()));
                    return Err(at(self.path, self.line, name)(problem));
                }
            }
        }
        builder.push_vector(&numbers).map_err(at(self.path, self.line, &builder.field.name))
    }

    fn value_of(&self, json: Option<&Json>, name: &str) -> Result<Value, DataError> {
        let Some(json) = json else { return Ok(Value::Missing) };
        match Value::from_json(json) {
            Some(Value::Text(text)) if self.missing.iter().any(|marker| marker == text.trim()) => {
                Ok(Value::Missing)
            }
            Some(value) => Ok(value),
            None => {
                let problem = Problem::new("takes a number, a text or a list of numbers, not a nested value");
                Err(at(self.path, self.line, name)(problem))
            }
        }
    }

    fn malformed(&self, problem: &str) -> DataError {
        DataError::Malformed {
            path: self.path.to_owned(),
            format: "JSON lines",
            problem: format!("line {}: {problem}", self.line),
        }
    }

    fn no_key(&self, name: &str) -> DataError {
        DataError::NoColumn {
            path: self.path.to_owned(),
            column: name.to_owned(),
            nearest: nearest(name, self.keys.iter().map(String::as_str)),
            known: self.keys.iter().take(20).cloned().collect(),
        }
    }
}
