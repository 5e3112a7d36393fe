//! JSON lines: one object a line. A key that is not there is a missing value.

use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::named::{NamedRows, nested};
use super::open::{NO_FILE, io_error, open, skip_byte_order_mark, unpack};
use super::{Files, Reader};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::fields::Builders;
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
            Lines::new(path, source, builders).read(open(path)?, builders)?;
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
    Lines::new(path, source, &builders).read(unpack(bytes, path)?, &mut builders)?;
    builders.finish(None, &Side::default())
}

/// One file on its way.
struct Lines<'a> {
    path: &'a Path,
    rows: NamedRows<'a>,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, source: &'a SourceSpec, builders: &Builders) -> Self {
        Self { path, rows: NamedRows::new(path, source, builders), line: 0 }
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
        self.rows.finish(builders)
    }

    /// The parser stops at 128 levels of nesting, so no line is too deep for the stack.
    fn push_line(&mut self, line: &[u8], builders: &mut Builders) -> Result<(), DataError> {
        let object: Map<String, Json> =
            serde_json::from_slice(line).map_err(|error| self.malformed(&error.to_string()))?;
        if !self.rows.is_named() {
            self.rows.name(object.keys().cloned().collect());
        } else {
            self.rows.later(self.line, object.keys(), builders)?;
        }
        let value_of = |name: &str| Some(Value::from_json(object.get(name)?).ok_or_else(nested));
        self.rows.push(self.line, &value_of, builders)
    }

    fn malformed(&self, problem: &str) -> DataError {
        DataError::Malformed {
            path: self.path.to_owned(),
            format: "JSON lines",
            problem: format!("line {}: {problem}", self.line),
        }
    }
}
