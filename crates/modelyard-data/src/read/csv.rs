//! CSV and TSV, a record at a time: only the columns that are wanted are kept, in their own type.

use std::io::{BufRead, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::open::{NO_FILE, io_error, open, skip_byte_order_mark, unpack};
use super::{Files, Reader};
use crate::dataset::Dataset;
use crate::error::{DataError, Problem, nearest};
use crate::fields::{Builders, Field, FieldKind, at, expand_columns};
use crate::spec::{Format, PipelineSpec, SourceSpec};
use crate::window::Side;

/// Cells separated by commas.
pub(crate) struct Csv;
/// Cells separated by tabs.
pub(crate) struct Tsv;

impl Reader for Csv {
    fn format(&self) -> Format {
        Format::Csv
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".csv"]
    }

    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_files(files, source, b',', builders)
    }
}

impl Reader for Tsv {
    fn format(&self) -> Format {
        Format::Tsv
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".tsv", ".tab"]
    }

    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_files(files, source, b'\t', builders)
    }
}

/// Reads CSV bytes, gzipped or not: the reader without its files.
///
/// # Errors
/// [`DataError`], as [`crate::read()`].
pub fn from_bytes(bytes: &[u8], source: &SourceSpec, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    let mut builders = Builders::new(spec, &source.split)?;
    let path = Path::new(NO_FILE);
    let usual = if source.format == Some(Format::Tsv) { b'\t' } else { b',' };
    read_table(unpack(bytes, path)?, path, source, delimiter(source, usual)?, &mut builders)?;
    builders.finish(None, &Side::default())
}

fn read_files(
    files: &Files,
    source: &SourceSpec,
    usual: u8,
    builders: &mut Builders,
) -> Result<(), DataError> {
    let delimiter = delimiter(source, usual)?;
    for path in &files.data {
        builders.read_files_beside(path);
        read_table(open(path)?, path, source, delimiter, builders)?;
    }
    Ok(())
}

fn delimiter(source: &SourceSpec, usual: u8) -> Result<u8, DataError> {
    match source.delimiter.map(u8::try_from) {
        None => Ok(usual),
        Some(Ok(byte)) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
        Some(_) => Err(DataError::spec("delimiter", "this character cannot separate cells")
            .with_hint("use an ASCII character such as \",\" or \";\" or a tab")),
    }
}

fn read_table(
    mut bytes: Box<dyn BufRead + '_>,
    path: &Path,
    source: &SourceSpec,
    delimiter: u8,
    builders: &mut Builders,
) -> Result<(), DataError> {
    skip_byte_order_mark(&mut bytes, path)?;
    let mut records = Records::new(bytes, path, delimiter)?;
    if !records.next()? {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    let header = header_of(&records.record, path, source.has_header)?;
    let table = Table::new(path, header, source, builders)?;
    let mut more = if source.has_header { records.next()? } else { true };
    if !more {
        return Err(DataError::NoRows { path: path.to_owned() });
    }
    while more {
        table.push_row(&records, builders)?;
        more = records.next()?;
    }
    Ok(())
}

/// The records of one file, one at a time, and the line of each.
struct Records<'a> {
    path: &'a Path,
    reader: csv::Reader<Box<dyn Read + 'a>>,
    record: ByteRecord,
    /// Whether lines end in a carriage return and a line feed.
    crlf: bool,
}

impl<'a> Records<'a> {
    fn new(mut bytes: Box<dyn BufRead + 'a>, path: &'a Path, delimiter: u8) -> Result<Self, DataError> {
        let start = bytes.fill_buf().map_err(|source| io_error(path, source))?;
        let crlf =
            start.iter().position(|byte| *byte == b'\n').is_some_and(|at| start[..at].ends_with(b"\r"));
        // With a line end after the last line too, lines can be counted back from where a record ends; the
        // empty line that this may add is passed over.
        let bytes: Box<dyn Read + 'a> = Box::new(bytes.chain(if crlf { &b"\r\n"[..] } else { b"\n" }));
        let reader =
            ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(bytes);
        Ok(Self { path, reader, record: ByteRecord::new(), crlf })
    }

    fn next(&mut self) -> Result<bool, DataError> {
        self.reader.read_byte_record(&mut self.record).map_err(|error| malformed(self.path, error))
    }

    /// The line on which the record begins. The csv crate's own count begins before the empty lines ahead of
    /// the record, and takes the line feed of a carriage return for the next record's.
    fn line(&self) -> u64 {
        let inside = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        let own_line_feed = u64::from(!self.crlf);
        self.reader.position().line().saturating_sub(inside + own_line_feed).max(1)
    }
}

fn malformed(path: &Path, error: csv::Error) -> DataError {
    let problem = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => io_error(path, source),
        _ => DataError::Malformed { path: path.to_owned(), format: "CSV", problem },
    }
}

fn header_of(record: &ByteRecord, path: &Path, has_header: bool) -> Result<Vec<String>, DataError> {
    if !has_header {
        return Ok((0..record.len()).map(|column| format!("c{column}")).collect());
    }
    let text = |cell: &[u8]| match std::str::from_utf8(cell) {
        Ok(name) => Ok(name.trim().to_owned()),
        Err(_) => Err(DataError::Malformed {
            path: path.to_owned(),
            format: "CSV",
            problem: "the header is not UTF-8 text".into(),
        }),
    };
    record.iter().map(text).collect()
}

/// One file's header, matched with the columns that are wanted.
struct Table<'a> {
    path: &'a Path,
    header: Vec<String>,
    /// For each wanted column, the cells it takes.
    cells: Vec<Vec<usize>>,
    missing: &'a [String],
    /// Whether a number stands for a missing value, so that numbers must be compared with the markers too.
    numeric_markers: bool,
}

impl<'a> Table<'a> {
    fn new(
        path: &'a Path,
        header: Vec<String>,
        source: &'a SourceSpec,
        builders: &mut Builders,
    ) -> Result<Self, DataError> {
        let mut cells = Vec::with_capacity(builders.columns.len());
        for builder in &mut builders.columns {
            let names = cell_names(&builder.field, &header)?;
            let mut places = Vec::with_capacity(names.len());
            for name in &names {
                places.push(find(path, &header, name)?);
            }
            if matches!(builder.field.kind, FieldKind::Vector { .. }) {
                check_members(&builder.members, &names, path, &builder.field.name)?;
                builder.members = names;
            }
            cells.push(places);
        }
        let numeric_markers =
            source.missing.iter().any(|marker| marker.parse::<f64>().is_ok_and(f64::is_finite));
        Ok(Self { path, header, cells, missing: &source.missing, numeric_markers })
    }

    fn push_row(&self, records: &Records<'_>, builders: &mut Builders) -> Result<(), DataError> {
        let record = &records.record;
        if record.len() != self.header.len() {
            let (expected, got) = (self.header.len(), record.len());
            return Err(DataError::Ragged {
                path: self.path.to_owned(),
                line: records.line(),
                expected,
                got,
            });
        }
        for (builder, cells) in builders.columns.iter_mut().zip(&self.cells) {
            let is_text = matches!(builder.field.kind, FieldKind::Category { .. } | FieldKind::Text);
            for &cell in cells {
                let place = |problem| at(self.path, records.line(), &self.header[cell])(problem);
                let text = std::str::from_utf8(&record[cell])
                    .map_err(|_| place(Problem::new("this is no UTF-8 text")))?
                    .trim();
                let early = is_text || self.numeric_markers || text.is_empty();
                if early && self.is_missing(text) {
                    builder.push_missing_cell().map_err(place)?;
                } else if let Err(problem) = builder.push_text(text) {
                    // Most cells are values, so the markers are looked through last.
                    if early || !self.is_missing(text) {
                        return Err(place(problem));
                    }
                    builder.push_missing_cell().map_err(place)?;
                }
            }
        }
        builders.rows += 1;
        Ok(())
    }

    fn is_missing(&self, text: &str) -> bool {
        if self.missing.iter().any(|marker| marker == text) {
            return true;
        }
        // A marker that is a number stands for the number, however it is written.
        self.numeric_markers
            && text
                .parse::<f64>()
                .is_ok_and(|number| self.missing.iter().any(|marker| marker.parse() == Ok(number)))
    }
}

/// The names of the cells that one wanted column takes.
fn cell_names(field: &Field, header: &[String]) -> Result<Vec<String>, DataError> {
    match &field.kind {
        FieldKind::Vector { columns: Some(columns) } => expand_columns(columns, header).map_err(|problem| {
            DataError::Spec { field: field.name.to_string(), problem: problem.text, hint: problem.hint }
        }),
        FieldKind::Vector { columns: None } => {
            Err(DataError::spec(&*field.name, "a vector in a table needs to know its columns")
                .with_hint("set columns, as in columns = \"pixel_*\" or \"c0..c63\""))
        }
        _ => Ok(vec![field.column.clone()]),
    }
}

pub(super) fn find(path: &Path, header: &[String], name: &str) -> Result<usize, DataError> {
    let mut places = header.iter().enumerate().filter(|(_, known)| *known == name).map(|(place, _)| place);
    let place = places.next().ok_or_else(|| DataError::NoColumn {
        path: path.to_owned(),
        column: name.to_owned(),
        nearest: nearest(name, header.iter().map(String::as_str)),
        known: header.iter().take(20).cloned().collect(),
    })?;
    match places.next() {
        None => Ok(place),
        Some(_) => Err(DataError::Malformed {
            path: path.to_owned(),
            format: "table",
            problem: format!("two columns are called {name:?}"),
        }),
    }
}

/// Each file of a source must give a vector the same columns.
pub(super) fn check_members(
    before: &[String],
    names: &[String],
    path: &Path,
    field: &str,
) -> Result<(), DataError> {
    if before.is_empty() || before == names {
        return Ok(());
    }
    Err(DataError::spec(
        field,
        format!(
            "{} gives this vector {} columns, the file before gave {}",
            path.display(),
            names.len(),
            before.len()
        ),
    )
    .with_hint("the columns must have the same names in the same order in every file"))
}
