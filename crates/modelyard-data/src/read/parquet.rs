//! Apache Parquet (<https://parquet.apache.org/docs/file-format/>): a table of named and typed columns, of which
//! only the wanted ones are unpacked. Dates and timestamps come as seconds since 1970, a time of day as seconds
//! since midnight, true and false as texts; NaN is a missing value, as pandas writes it.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, TimeUnit};
use parquet::data_type::Decimal;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field as Cell, Row};
use parquet::schema::types::{Type, TypePtr};

use super::named::{NamedRows, nested};
use super::open::{NO_FILE, io_error};
use super::{Files, Reader};
use crate::dataset::Dataset;
use crate::error::{DataError, Problem};
use crate::fields::Builders;
use crate::spec::{Format, PipelineSpec, SourceSpec};
use crate::value::Value;
use crate::window::Side;

const SECONDS_A_DAY: f64 = 86_400.0;

/// Tables of named and typed columns.
pub(crate) struct Parquet;

impl Reader for Parquet {
    fn format(&self) -> Format {
        Format::Parquet
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".parquet", ".pq"]
    }

    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        for path in &files.data {
            builders.read_files_beside(path);
            let file = File::open(path).map_err(|source| io_error(path, source))?;
            if file.metadata().map_err(|source| io_error(path, source))?.len() == 0 {
                return Err(DataError::Empty { path: path.to_owned() });
            }
            read_table(file, path, source, builders)?;
        }
        Ok(())
    }
}

/// Reads Parquet from bytes: the reader without its files.
///
/// # Errors
/// [`DataError`], as [`crate::read()`].
pub fn from_bytes(bytes: &[u8], source: &SourceSpec, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    let mut builders = Builders::new(spec, &source.split)?;
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    read_table(bytes, Path::new(NO_FILE), source, &mut builders)?;
    builders.finish(None, &Side::default())
}

fn read_table(
    chunks: impl ChunkReader + 'static,
    path: &Path,
    source: &SourceSpec,
    builders: &mut Builders,
) -> Result<(), DataError> {
    let file = guarded(path, || SerializedFileReader::new(chunks))?;
    let schema = file.metadata().file_metadata().schema_descr().root_schema_ptr();
    let mut rows = NamedRows::new(path, source, builders);
    rows.name(schema.get_fields().iter().map(|field| field.name().to_owned()).collect());
    let fields = wanted_fields(&rows, &schema, builders)?;
    let places: HashMap<&str, usize> =
        fields.iter().enumerate().map(|(place, field)| (field.name(), place)).collect();
    let rows_before = builders.rows;
    let mut line = 0;
    for row in table_rows(&file, path, schema.name(), &fields)? {
        let row = row?;
        line += 1;
        let cells: Vec<&Cell> = row.get_column_iter().map(|(_, cell)| cell).collect();
        let value_of = |name: &str| {
            let place = *places.get(name)?;
            Some(value(cells.get(place)?, &fields[place]))
        };
        rows.push(line, &value_of, builders)?;
    }
    if builders.rows == rows_before {
        return Err(DataError::NoRows { path: path.to_owned() });
    }
    rows.finish(builders)
}

/// The fields of the schema that some wanted column reads, in the schema's order.
fn wanted_fields(
    rows: &NamedRows<'_>,
    schema: &TypePtr,
    builders: &Builders,
) -> Result<Vec<TypePtr>, DataError> {
    let mut names = Vec::new();
    for builder in &builders.columns {
        names.extend(rows.members(1, builder)?);
    }
    if let Some(absent) = names.iter().find(|name| !schema.get_fields().iter().any(|f| f.name() == **name)) {
        return Err(rows.no_column(absent));
    }
    let wanted = schema.get_fields().iter().filter(|field| names.iter().any(|name| name == field.name()));
    Ok(wanted.cloned().collect())
}

/// The rows, each with its wanted cells only.
fn table_rows<'a>(
    file: &'a dyn FileReader,
    path: &'a Path,
    table: &str,
    fields: &[TypePtr],
) -> Result<impl Iterator<Item = Result<Row, DataError>> + use<'a>, DataError> {
    let mut rows = guarded(path, || {
        let projection = Type::group_type_builder(table).with_fields(fields.to_vec()).build()?;
        file.get_row_iter(Some(projection))
    })?;
    Ok(std::iter::from_fn(move || guarded(path, || rows.next().transpose()).transpose()))
}

/// Broken files make the crate panic here and there; that, too, is a broken file.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let malformed =
        |problem: String| DataError::Malformed { path: path.to_owned(), format: "Parquet", problem };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| malformed(error.to_string())),
        Err(_) => Err(malformed("its parts contradict each other, or a type in it is not known here".into())),
    }
}

fn value(cell: &Cell, field: &Arc<Type>) -> Result<Value, Problem> {
    Ok(match cell {
        Cell::Null => Value::Missing,
        Cell::Bool(flag) => Value::Text(flag.to_string()),
        Cell::Str(text) => Value::Text(text.clone()),
        Cell::Bytes(bytes) => Value::Bytes(bytes.data().to_vec()),
        Cell::ListInternal(list) => {
            let mut numbers = Vec::with_capacity(list.elements().len());
            flatten(list.elements(), field, &mut numbers)?;
            Value::Vector(numbers)
        }
        other => match number(other, field).ok_or_else(nested)? {
            number if number.is_nan() => Value::Missing,
            seconds if is_moment(other, field) => Value::Moment(seconds),
            number => Value::Number(number),
        },
    })
}

fn flatten(cells: &[Cell], field: &Type, numbers: &mut Vec<f64>) -> Result<(), Problem> {
    for cell in cells {
        match cell {
            Cell::ListInternal(list) => flatten(list.elements(), field, numbers)?,
            Cell::Null => numbers.push(f64::NAN),
            other => numbers.push(number(other, field).ok_or_else(nested)?),
        }
    }
    Ok(())
}

/// A number of any type, and a moment in seconds.
fn number(cell: &Cell, field: &Type) -> Option<f64> {
    Some(match cell {
        Cell::Byte(number) => f64::from(*number),
        Cell::Short(number) => f64::from(*number),
        Cell::Int(number) => f64::from(*number),
        Cell::Long(number) => *number as f64 / ticks_a_second(field),
        Cell::UByte(number) => f64::from(*number),
        Cell::UShort(number) => f64::from(*number),
        Cell::UInt(number) => f64::from(*number),
        Cell::ULong(number) => *number as f64,
        Cell::Float16(number) => f64::from(*number),
        Cell::Float(number) => f64::from(*number),
        Cell::Double(number) => *number,
        Cell::Decimal(decimal) => decimal_number(decimal)?,
        Cell::Date(days) => f64::from(*days) * SECONDS_A_DAY,
        Cell::TimeMillis(milliseconds) => f64::from(*milliseconds) / 1e3,
        Cell::TimestampMillis(milliseconds) => *milliseconds as f64 / 1e3,
        Cell::TimeMicros(microseconds) | Cell::TimestampMicros(microseconds) => *microseconds as f64 / 1e6,
        _ => return None,
    })
}

/// Whether a number of the file is a date or a timestamp.
fn is_moment(cell: &Cell, field: &Type) -> bool {
    matches!(cell, Cell::Date(_) | Cell::TimestampMillis(_) | Cell::TimestampMicros(_))
        || matches!(field.get_basic_info().logical_type_ref(), Some(LogicalType::Timestamp(_)))
}

/// Timestamps that older readers do not know, such as those of nanoseconds, come as plain whole numbers.
fn ticks_a_second(field: &Type) -> f64 {
    match field.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(time) | LogicalType::Time(time)) => match time.unit {
            TimeUnit::MILLIS => 1e3,
            TimeUnit::MICROS => 1e6,
            TimeUnit::NANOS => 1e9,
        },
        _ => 1.0,
    }
}

/// A whole number in two's complement, highest byte first, and where its point stands.
fn decimal_number(decimal: &Decimal) -> Option<f64> {
    let bytes = decimal.data();
    if bytes.is_empty() || bytes.len() > size_of::<i128>() {
        return None;
    }
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
    let mut whole = [sign; size_of::<i128>()];
    whole[size_of::<i128>() - bytes.len()..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(whole) as f64 / 10f64.powi(decimal.scale()))
}
