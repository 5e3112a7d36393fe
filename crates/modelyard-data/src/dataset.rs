//! Rows in memory, column by column, each column in the narrowest type that holds it exactly: a 100 MB CSV
//! file should not become a gigabyte.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::numbers::Numbers;
use crate::picture::Picture;
use crate::texts::Texts;
use crate::window::Windows;

/// The code of a missing category.
pub const MISSING: u32 = u32::MAX;
/// The code of a category that the dictionary does not hold.
pub const UNKNOWN: u32 = u32::MAX - 1;

/// Columns of equal length, by the name of the input or output they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    rows: usize,
    columns: Vec<Column>,
    split_column: Option<ColumnData>,
    test_from: Option<usize>,
    windows: Option<Windows>,
    warnings: Vec<String>,
}

/// One column with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The name of the input or output.
    pub name: Arc<str>,
    /// The values.
    pub data: ColumnData,
    /// For a vector: the names of the columns that it was put together from.
    pub members: Vec<String>,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnData {
    /// Numbers; NaN is missing.
    Numbers(Numbers),
    /// Categories as codes.
    Categories(Categories),
    /// Seconds since 1970-01-01 00:00 UTC; NaN is missing.
    Datetimes(Vec<f64>),
    /// Vectors of one width.
    Vectors(Vectors),
    /// Images of one size.
    Images(Images),
    /// Texts; an empty one may be a missing one.
    Texts(Texts),
}

/// Category codes and what they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Categories {
    /// One code a row: a place in the dictionary, [`MISSING`] or [`UNKNOWN`].
    pub codes: Vec<u32>,
    /// The labels.
    pub dictionary: Arc<Dictionary>,
}

/// Row-major vectors of one width; NaN is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Numbers a row.
    pub width: usize,
    /// rows × width values.
    pub values: Vec<f32>,
}

/// Row-major images of one size, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// rows × height × width × channels bytes.
    pub bytes: Vec<u8>,
}

impl Images {
    /// One row's image as the bytes of a PNG file; none where it is too large for one.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn png(&self, row: usize) -> Option<Vec<u8>> {
        let size: usize = self.shape.iter().product();
        Picture { shape: self.shape, bytes: self.bytes[row * size..(row + 1) * size].to_vec() }.to_png()
    }
}

/// Labels in an order, each with its code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dictionary {
    labels: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
}

impl Dictionary {
    /// A dictionary of these labels; a label that comes twice keeps its first code.
    pub fn new<S: AsRef<str>>(labels: impl IntoIterator<Item = S>) -> Self {
        let mut dictionary = Self::default();
        for label in labels {
            dictionary.insert(label.as_ref());
        }
        dictionary
    }

    /// The label's code, new if need be.
    pub fn insert(&mut self, label: &str) -> u32 {
        if let Some(&code) = self.codes.get(label) {
            return code;
        }
        let code = u32::try_from(self.labels.len()).expect("fewer labels than rows that fit into memory");
        assert!(code < UNKNOWN, "the last two codes are taken");
        let label: Arc<str> = label.into();
        self.labels.push(label.clone());
        self.codes.insert(label, code);
        code
    }

    /// The label's code.
    pub fn code(&self, label: &str) -> Option<u32> {
        self.codes.get(label).copied()
    }

    /// The code of the one label that says the same, where none is written just so: `3` and `3.0`, `true` and
    /// `True`.
    pub fn meant(&self, label: &str) -> Option<u32> {
        if let Some(code) = self.code(label) {
            return Some(code);
        }
        let number = label.parse::<f64>().ok();
        let is_boolean = label.eq_ignore_ascii_case("true") || label.eq_ignore_ascii_case("false");
        if number.is_none() && !is_boolean {
            return None;
        }
        let mut same = self.labels.iter().zip(0..).filter(|(known, _)| match number {
            Some(number) => known.parse() == Ok(number),
            None => known.eq_ignore_ascii_case(label),
        });
        match (same.next(), same.next()) {
            (Some((_, code)), None) => Some(code),
            _ => None,
        }
    }

    /// The code's label.
    pub fn label(&self, code: u32) -> Option<&str> {
        self.labels.get(code as usize).map(AsRef::as_ref)
    }

    /// The labels in the order of their codes.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &str> {
        self.labels.iter().map(AsRef::as_ref)
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// Gives back what growing took ahead of need, where that is worth a copy.
pub(crate) fn shrink<T>(values: &mut Vec<T>) {
    if values.capacity() - values.len() > 1024 {
        values.shrink_to_fit();
    }
}

impl ColumnData {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Categories(categories) => categories.codes.len(),
            Self::Datetimes(seconds) => seconds.len(),
            Self::Vectors(vectors) => vectors.values.len() / vectors.width.max(1),
            Self::Images(images) => images.bytes.len() / images.shape.iter().product::<usize>().max(1),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// The kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "number",
            Self::Categories(_) => "category",
            Self::Datetimes(_) => "datetime",
            Self::Vectors(_) => "vector",
            Self::Images(_) => "image",
            Self::Texts(_) => "text",
        }
    }
}

impl Dataset {
    /// A data set of these columns. `test_from` is the first row that came from a separate test source.
    ///
    /// # Panics
    /// Where the columns are not equally long: readers and builders make them so.
    pub fn new(columns: Vec<Column>, test_from: Option<usize>) -> Self {
        let rows = columns.first().map_or(0, |column| column.data.rows());
        for column in &columns {
            assert_eq!(column.data.rows(), rows, "column {:?} is as long as the first", column.name);
        }
        assert!(test_from.is_none_or(|from| from <= rows), "the test rows are at the end");
        Self { rows, columns, split_column: None, test_from, windows: None, warnings: Vec::new() }
    }

    /// The windows of a request: columns of steps have one value for each step, others one for each window.
    pub(crate) fn of_request(columns: Vec<Column>, windows: Windows) -> Self {
        let (rows, count) = (windows.rows(), windows.ends().len());
        for column in &columns {
            let values = column.data.rows();
            assert!(values == rows || values == count, "column {:?} fits the windows", column.name);
        }
        Self {
            rows,
            columns,
            split_column: None,
            test_from: None,
            windows: Some(windows),
            warnings: Vec::new(),
        }
    }

    /// The same with the column that decides the split.
    pub(crate) fn with_split_column(mut self, data: Option<ColumnData>) -> Self {
        assert!(data.as_ref().is_none_or(|data| data.rows() == self.rows), "one value a row");
        self.split_column = data;
        self
    }

    /// The same with windows over its rows, and what laying them noticed.
    pub(crate) fn with_windows(mut self, windows: Windows, warnings: Vec<String>) -> Self {
        (self.windows, self.warnings) = (Some(windows), warnings);
        self
    }

    /// The same with this column, in the place of one of its name where there is one.
    pub(crate) fn with_column(mut self, column: Column) -> Self {
        assert_eq!(column.data.rows(), self.rows, "column {:?} is as long as the others", column.name);
        match self.columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => *known = column,
            None => self.columns.push(column),
        }
        self
    }

    /// Of the samples from `row` on, keeps the last of each unit.
    pub(crate) fn keep_last_of_each_unit(&mut self, row: usize) {
        let Some(windows) = &mut self.windows else { return };
        let (units, judged) = windows.keep_last_of_each_unit(row);
        if judged < units {
            self.warnings.push(format!(
                "{judged} of the {units} units of the test source have a window that ends with their last row; \
                 the others are not scored"
            ));
        }
    }

    /// The windows over the rows, where a sample is a window.
    pub fn windows(&self) -> Option<&Windows> {
        self.windows.as_ref()
    }

    /// The rows that name a sample each: those at which a window ends, or every row.
    pub fn samples(&self) -> Vec<usize> {
        match &self.windows {
            Some(windows) => windows.ends().to_vec(),
            None => (0..self.rows).collect(),
        }
    }

    /// What reading noticed and a person should know, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many rows there are, those of a separate test source included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns in the order of the inputs, then the outputs.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of an input or output.
    pub fn column(&self, name: &str) -> Option<&ColumnData> {
        self.columns.iter().find(|column| &*column.name == name).map(|column| &column.data)
    }

    /// The column that decides the split, where one does.
    pub fn split_column(&self) -> Option<&ColumnData> {
        self.split_column.as_ref()
    }

    /// The rows of a separate test source, where there is one.
    pub fn test_rows(&self) -> Option<Range<usize>> {
        self.test_from.map(|from| from..self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dictionary_gives_each_label_one_code() {
        let dictionary = Dictionary::new(["a", "b", "a"]);
        assert_eq!(dictionary.len(), 2);
        assert_eq!(dictionary.code("b"), Some(1));
        assert_eq!(dictionary.label(0), Some("a"));
        assert_eq!(dictionary.code("c"), None);
        assert_eq!(dictionary.label(UNKNOWN), None);
    }
}
