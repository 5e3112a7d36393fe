//! What IDX and NPY have in common: one array whose first dimension counts the rows, and perhaps a second
//! array with the labels.

use std::path::{Path, PathBuf};

use super::Files;
use super::csv::{check_members, find};
use crate::error::{DataError, Problem};
use crate::fields::{Builder, Builders, FieldKind, at, expand_columns};
use crate::picture::Picture;

/// An array at rest, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The dimensions; the first counts the rows.
    pub shape: Vec<usize>,
    /// The values.
    pub values: ArrayValues,
}

/// The values of an array, in the narrowest of three types that holds the file's type.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayValues {
    /// Unsigned bytes.
    Bytes(Vec<u8>),
    /// Numbers that single precision holds.
    Single(Vec<f32>),
    /// Other numbers; integers beyond 2^53 are rounded.
    Double(Vec<f64>),
}

impl Array {
    fn get(&self, index: usize) -> f64 {
        match &self.values {
            ArrayValues::Bytes(values) => f64::from(values[index]),
            ArrayValues::Single(values) => f64::from(values[index]),
            ArrayValues::Double(values) => values[index],
        }
    }

    fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

/// The number of elements of a shape that a file claims, where it is a sane one.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &dimension| count.checked_mul(dimension))
}

/// Reads arrays and labels by `decode`, and feeds them to the columns.
pub(super) fn read_files(
    files: &Files,
    builders: &mut Builders,
    decode: impl Fn(&Path) -> Result<Array, DataError>,
) -> Result<(), DataError> {
    if !files.labels.is_empty() && files.labels.len() != files.data.len() {
        return Err(DataError::spec(
            "labels",
            format!("{} files of labels for {} files of data", files.labels.len(), files.data.len()),
        ));
    }
    let labels = files.labels.iter().map(Some).chain(std::iter::repeat(None));
    for (path, labels_path) in files.data.iter().zip(labels) {
        let labels = match labels_path {
            Some(labels_path) => Some((labels_path, decode(labels_path)?)),
            None => None,
        };
        feed(path, &decode(path)?, labels.as_ref(), builders)?;
    }
    Ok(())
}

fn feed(
    path: &Path,
    array: &Array,
    labels: Option<&(&PathBuf, Array)>,
    builders: &mut Builders,
) -> Result<(), DataError> {
    if array.shape.is_empty() || array.rows() == 0 || array.row_len() == 0 {
        return Err(DataError::NoRows { path: path.to_owned() });
    }
    if let Some((labels_path, labels)) = labels
        && (labels.rows() != array.rows() || labels.row_len() != 1)
    {
        return Err(DataError::Malformed {
            path: labels_path.to_path_buf(),
            format: "list of labels",
            problem: format!(
                "its shape is {:?}, and {} needs one label for each of {} rows",
                labels.shape,
                path.display(),
                array.rows()
            ),
        });
    }
    refuse_whole_rows_with_answers(array, labels.is_some(), builders)?;
    for builder in &mut builders.columns {
        match labels {
            Some((labels_path, labels)) if builder.field.is_output => {
                feed_numbers(labels_path, labels, builder, &[0])?;
            }
            _ => feed_input(path, array, builder)?,
        }
    }
    builders.rows += array.rows();
    Ok(())
}

/// A vector of whole rows would take in the output, or what orders or groups the rows, where that is a column of
/// the same array.
fn refuse_whole_rows_with_answers(
    array: &Array,
    has_labels: bool,
    builders: &Builders,
) -> Result<(), DataError> {
    let (inputs, others) = builders.columns.split_at(builders.inputs());
    let whole = inputs.iter().find(|input| matches!(input.field.kind, FieldKind::Vector { columns: None }));
    let inside = others.iter().find(|other| !(has_labels && other.field.is_output));
    let (Some(whole), Some(inside)) = (whole, inside) else { return Ok(()) };
    let column = &inside.field.column;
    let problem =
        format!("this vector takes whole rows, and the column {column:?} of them is not its to see");
    let others = (0..array.row_len()).map(|place| format!("c{place}")).filter(|name| name != column);
    let others: Vec<String> = others.collect();
    Err(DataError::spec(&*whole.field.name, problem).with_hint(match others.as_slice() {
        [first, .., last] => format!("name its columns, as in columns = \"{first}..{last}\""),
        _ => "name its columns by `columns`".to_owned(),
    }))
}

fn feed_input(path: &Path, array: &Array, builder: &mut Builder) -> Result<(), DataError> {
    let header = || (0..array.row_len()).map(|column| format!("c{column}")).collect::<Vec<_>>();
    let name = builder.field.name.clone();
    match &builder.field.kind {
        FieldKind::Image { .. } => feed_images(path, array, builder),
        FieldKind::Vector { columns: None } => {
            for row in 0..array.rows() {
                let start = row * array.row_len();
                let numbers: Vec<f64> =
                    (start..start + array.row_len()).map(|index| array.get(index)).collect();
                builder.push_vector(&numbers).map_err(at(path, row as u64 + 1, &name))?;
            }
            Ok(())
        }
        FieldKind::Vector { columns: Some(columns) } => {
            let header = header();
            let names = expand_columns(columns, &header).map_err(|problem| problem.in_fit(&name))?;
            let places = names.iter().map(|name| find(path, &header, name)).collect::<Result<Vec<_>, _>>()?;
            check_members(&builder.members, &names, path, &name)?;
            builder.members = names;
            feed_numbers(path, array, builder, &places)
        }
        _ => {
            let place = find(path, &header(), &builder.field.column)?;
            feed_numbers(path, array, builder, &[place])
        }
    }
}

/// Feeds the chosen columns of each row as the builder's kind takes them.
fn feed_numbers(
    path: &Path,
    array: &Array,
    builder: &mut Builder,
    places: &[usize],
) -> Result<(), DataError> {
    let name = builder.field.column.clone();
    let mut numbers = Vec::with_capacity(places.len());
    for row in 0..array.rows() {
        numbers.clear();
        numbers.extend(places.iter().map(|place| array.get(row * array.row_len() + place)));
        let pushed = match builder.field.kind {
            FieldKind::Vector { .. } => builder.push_vector(&numbers),
            _ => builder.push_value(&crate::value::Value::Number(numbers[0])),
        };
        pushed.map_err(at(path, row as u64 + 1, &name))?;
    }
    Ok(())
}

fn feed_images(path: &Path, array: &Array, builder: &mut Builder) -> Result<(), DataError> {
    let name = builder.field.name.clone();
    let place = at(path, 1, &name);
    let shape = match array.shape[..] {
        [_, height, width] => [height, width, 1],
        [_, height, width, channels @ (1 | 3)] => [height, width, channels],
        _ => {
            return Err(place(
                Problem::new(format!("an array of shape {:?} holds no images", array.shape))
                    .hint("images are [rows, height, width] or [rows, height, width, 1 or 3]; other arrays are vectors"),
            ));
        }
    };
    let ArrayValues::Bytes(bytes) = &array.values else {
        return Err(place(
            Problem::new("images are arrays of unsigned bytes, and this one holds other numbers")
                .hint("save it as uint8, or declare the input as a vector with a shape"),
        ));
    };
    for (row, pixels) in bytes.chunks_exact(array.row_len()).enumerate() {
        let picture = Picture { shape, bytes: pixels.to_vec() };
        builder.push_picture(picture).map_err(at(path, row as u64 + 1, &name))?;
    }
    Ok(())
}
