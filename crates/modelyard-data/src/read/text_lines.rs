//! Plain text: a line is a row, and where a class is asked for, it is the name of the file. With `chunk`, rows are
//! stretches of so many characters instead, line ends included: what a language model learns from.

use std::io::{BufRead, Read};
use std::path::Path;

use super::open::{NO_FILE, io_error, open, skip_byte_order_mark, unpack};
use super::{Files, Reader};
use crate::dataset::Dataset;
use crate::error::{DataError, Problem};
use crate::fields::{Builders, FieldKind, at};
use crate::spec::{Format, PipelineSpec, SourceSpec};
use crate::window::Side;

/// A line longer than this is surely no text.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// One text a line.
pub(crate) struct TextLines;

impl Reader for TextLines {
    fn format(&self) -> Format {
        Format::TextLines
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".txt"]
    }

    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        for path in &files.data {
            Text::new(path, source)?.read(open(path)?, builders)?;
        }
        Ok(())
    }
}

/// Reads texts from bytes, gzipped or not: the reader without its files.
///
/// # Errors
/// [`DataError`], as [`crate::read()`].
pub fn from_bytes(bytes: &[u8], source: &SourceSpec, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    let mut builders = Builders::new(spec, &source.split)?;
    let path = Path::new(NO_FILE);
    Text::new(path, source)?.read(unpack(bytes, path)?, &mut builders)?;
    builders.finish(None, &Side::default())
}

/// One file on its way.
struct Text<'a> {
    path: &'a Path,
    /// The file's name without its endings.
    label: &'a str,
    chunk: Option<usize>,
    line: u64,
}

impl<'a> Text<'a> {
    fn new(path: &'a Path, source: &'a SourceSpec) -> Result<Self, DataError> {
        if source.chunk == Some(0) {
            return Err(DataError::spec("chunk", "a row of 0 characters holds no text"));
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let label = name.split_once('.').map_or(name, |(label, _)| label);
        Ok(Self { path, label, chunk: source.chunk, line: 0 })
    }

    fn read(mut self, mut bytes: Box<dyn BufRead + '_>, builders: &mut Builders) -> Result<(), DataError> {
        skip_byte_order_mark(&mut bytes, self.path)?;
        let rows_before = builders.rows;
        let mut line = Vec::new();
        let mut pending = Pending::default();
        while self.next_line(&mut bytes, &mut line)? {
            let text = std::str::from_utf8(&line).map_err(|error| self.not_text(&line, error))?;
            match self.chunk {
                None => self.push_row(text.trim(), builders)?,
                Some(chunk) => {
                    for character in text.chars() {
                        if let Some(row) = pending.push(character, chunk) {
                            self.push_row(&row, builders)?;
                        }
                    }
                }
            }
        }
        self.push_row(pending.row.trim_end(), builders)?;
        if builders.rows == rows_before {
            return Err(DataError::NoRows { path: self.path.to_owned() });
        }
        Ok(())
    }

    /// Reads the next line with its end; false after the last.
    fn next_line(&mut self, bytes: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, DataError> {
        line.clear();
        self.line += 1;
        let read = bytes.take(LINE_BYTES_MAX).read_until(b'\n', line);
        let count = read.map_err(|source| io_error(self.path, source))?;
        if count as u64 == LINE_BYTES_MAX {
            let problem = format!("line {} is longer than 64 MiB", self.line);
            return Err(DataError::Malformed { path: self.path.to_owned(), format: "text", problem });
        }
        Ok(count > 0)
    }

    fn push_row(&self, text: &str, builders: &mut Builders) -> Result<(), DataError> {
        if text.is_empty() {
            return Ok(());
        }
        for builder in &mut builders.columns {
            let name = builder.field.name.clone();
            let value = match &builder.field.kind {
                FieldKind::Text => text,
                FieldKind::Category { .. } => self.label,
                _ => {
                    let problem = "a text file gives a text and, by the file's name, its class, nothing else";
                    return Err(DataError::spec(&*name, problem));
                }
            };
            builder.push_text(value).map_err(at(self.path, self.line, &name))?;
        }
        builders.rows += 1;
        Ok(())
    }

    fn not_text(&self, line: &[u8], error: std::str::Utf8Error) -> DataError {
        let byte = line.get(error.valid_up_to()).copied().unwrap_or_default();
        let problem = Problem::new(format!(
            "this is no UTF-8 text: byte {} of the line is 0x{byte:02x}",
            error.valid_up_to() + 1
        ));
        at(self.path, self.line, "text")(
            problem.hint("convert the file, as with `iconv -f GB18030 -t UTF-8`"),
        )
    }
}

/// The characters of a row that is not yet full.
#[derive(Default)]
struct Pending {
    row: String,
    count: usize,
}

impl Pending {
    /// Adds a character; gives the row once it is full.
    fn push(&mut self, character: char, chunk: usize) -> Option<String> {
        // Line ends are one character, whatever the file's.
        if character == '\r' {
            return None;
        }
        self.row.push(character);
        self.count += 1;
        if self.count < chunk {
            return None;
        }
        self.count = 0;
        Some(std::mem::take(&mut self.row))
    }
}
