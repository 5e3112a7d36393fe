//! One growing column, fed by text, raw values, numbers or pictures, and all of them together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cell_file::{decode_base64, names_a_file, read_file};
use super::{Field, FieldKind, series_fields, split_field, wanted};
use crate::dataset::{
    Categories, Column, ColumnData, Dataset, Dictionary, Images, MISSING, UNKNOWN, Vectors, shrink,
};
use crate::datetime;
use crate::error::{DataError, Place, Problem, excerpt};
use crate::numbers::Numbers;
use crate::picture::Picture;
use crate::sound::MelPlan;
use crate::spec::{PipelineSpec, SplitSpec};
use crate::texts::Texts;
use crate::transform::Fitted;
use crate::value::Value;
use crate::window::{Rows, Side, derive, lay};

/// One growing column.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    pub(crate) field: Arc<Field>,
    data: Growing,
    pub(crate) members: Vec<String>,
    /// Where files lie that cells name; none where values come from a request, which names no files.
    pub(crate) folder: Option<PathBuf>,
    /// For the time of a series: whether its datetimes name a time zone, once there is one.
    pub(crate) zoned: Option<bool>,
}

#[derive(Clone, Debug)]
enum Growing {
    Numbers(Numbers),
    Categories { codes: Vec<u32>, labels: Labels },
    Datetimes(Vec<f64>),
    Vectors { width: Option<usize>, values: Vec<f32> },
    Images { shape: Option<[usize; 3]>, bytes: Vec<u8>, fixed: bool },
    Texts(Texts),
    Sounds { plan: MelPlan, values: Vec<f32> },
}

/// Where labels get their codes.
#[derive(Clone, Debug)]
enum Labels {
    /// Each new label gets the next code.
    Open(Dictionary),
    /// A label that is not there is unknown.
    Closed(Arc<Dictionary>),
}

impl Builder {
    pub(crate) fn new(field: Arc<Field>) -> Self {
        let data = match &field.kind {
            FieldKind::Number => Growing::Numbers(Numbers::default()),
            FieldKind::Category { .. } => {
                Growing::Categories { codes: Vec::new(), labels: Labels::Open(Dictionary::default()) }
            }
            FieldKind::Datetime { .. } | FieldKind::Moment | FieldKind::SeriesTime { .. } => {
                Growing::Datetimes(Vec::new())
            }
            FieldKind::Vector { .. } => Growing::Vectors { width: None, values: Vec::new() },
            FieldKind::Text | FieldKind::FileName => Growing::Texts(Texts::default()),
            FieldKind::Audio { mel } => Growing::Sounds { plan: MelPlan::new(mel), values: Vec::new() },
            FieldKind::Image { .. } => Growing::Images { shape: None, bytes: Vec::new(), fixed: false },
        };
        Self { field, data, members: Vec::new(), folder: None, zoned: None }
    }

    /// The labels are known: another one is unknown.
    pub(crate) fn with_labels(mut self, dictionary: Arc<Dictionary>) -> Self {
        if let Growing::Categories { labels, .. } = &mut self.data {
            *labels = Labels::Closed(dictionary);
        }
        self
    }

    /// The size is known: vectors of this many numbers.
    pub(crate) fn with_width(mut self, expected: usize) -> Self {
        if let Growing::Vectors { width, .. } = &mut self.data {
            *width = Some(expected);
        }
        self
    }

    /// The size is known: images of this shape after the intake.
    pub(crate) fn with_shape(mut self, expected: [usize; 3]) -> Self {
        if let Growing::Images { shape, fixed, .. } = &mut self.data {
            (*shape, *fixed) = (Some(expected), true);
        }
        self
    }

    /// Appends a trimmed text, known not to be a marker of a missing value.
    pub(crate) fn push_text(&mut self, text: &str) -> Result<(), Problem> {
        self.watch_zone(text)?;
        match &mut self.data {
            Growing::Numbers(numbers) => numbers.push(parse_number(text)?),
            Growing::Categories { codes, labels } => codes.push(labels.code(text)),
            Growing::Datetimes(seconds) => seconds.push(self.field.kind.moment(text)?),
            Growing::Vectors { values, .. } => values.push(narrow(parse_number(text)?)?),
            Growing::Images { .. } => self.push_picture(Picture::decode(&self.file_of(text)?)?)?,
            Growing::Sounds { .. } => self.push_sound(&self.file_of(text)?)?,
            Growing::Texts(texts) => texts.push(text),
        }
        Ok(())
    }

    /// Of a series either every datetime names a time zone or none does: UTC and local time cannot be told apart
    /// and would put rows in a wrong order.
    fn watch_zone(&mut self, text: &str) -> Result<(), Problem> {
        let FieldKind::SeriesTime { format } = &self.field.kind else { return Ok(()) };
        if format.is_none() && text.parse::<f64>().is_ok() {
            return Ok(());
        }
        let names_zone = datetime::names_zone(text, format.as_deref());
        if *self.zoned.get_or_insert(names_zone) == names_zone {
            return Ok(());
        }
        let (this, before) = if names_zone { ("a", "none") } else { ("no", "one") };
        Err(Problem::new(format!("{text:?} names {this} time zone, and the rows before name {before}"))
            .hint("write every time of a series with its zone, as in 2024-02-29T06:30:00Z, or none of them"))
    }

    /// Appends a missing value; for a vector read cell by cell, one missing number.
    pub(crate) fn push_missing_cell(&mut self) -> Result<(), Problem> {
        match &mut self.data {
            Growing::Numbers(numbers) => numbers.push(f64::NAN),
            Growing::Categories { codes, .. } => codes.push(MISSING),
            Growing::Datetimes(seconds) => seconds.push(f64::NAN),
            Growing::Vectors { values, .. } => values.push(f32::NAN),
            Growing::Texts(texts) => texts.push(""),
            Growing::Sounds { .. } => {
                return Err(Problem::new("a sound is needed here").hint("leave out rows without sound"));
            }
            Growing::Images { .. } => {
                return Err(Problem::new("an image is needed here").hint("leave out rows without an image"));
            }
        }
        Ok(())
    }

    /// Appends a raw value of a request or a JSON line.
    pub(crate) fn push_value(&mut self, value: &Value) -> Result<(), Problem> {
        if let Value::Text(text) = value {
            self.watch_zone(text.trim())?;
        }
        match (&mut self.data, value) {
            // Bytes and pixels stand in the row itself and name nothing.
            (Growing::Texts(texts), other)
                if self.field.kind == FieldKind::FileName && !matches!(other, Value::Text(_)) =>
            {
                texts.push("");
            }
            (Growing::Vectors { width, values }, Value::Missing) => match width {
                Some(width) => values.extend(std::iter::repeat_n(f32::NAN, *width)),
                None => return Err(Problem::new("the first vector tells the width and cannot be missing")),
            },
            (_, Value::Missing) => self.push_missing_cell()?,
            (Growing::Numbers(numbers), Value::Number(number)) => numbers.push(finite(*number)?),
            (Growing::Categories { codes, labels }, Value::Text(text)) => {
                codes.push(labels.code(text.trim()))
            }
            (Growing::Categories { codes, labels }, Value::Number(number)) => {
                codes.push(labels.code(&finite(*number)?.to_string()));
            }
            (Growing::Datetimes(seconds), Value::Moment(moment)) => seconds.push(finite(*moment)?),
            (_, Value::Moment(moment)) => self.push_value(&Value::Number(*moment))?,
            (Growing::Datetimes(seconds), Value::Number(number)) => {
                seconds.push(self.field.kind.moment_of(finite(*number)?)?);
            }
            (Growing::Datetimes(seconds), Value::Text(text)) => {
                seconds.push(self.field.kind.moment(text.trim())?);
            }
            (Growing::Vectors { .. }, Value::Vector(numbers)) => self.push_vector(numbers)?,
            (Growing::Images { .. }, Value::Bytes(bytes)) => self.push_picture(Picture::decode(bytes)?)?,
            (Growing::Images { .. }, Value::Text(text)) => {
                self.push_picture(Picture::decode(&self.file_of(text)?)?)?;
            }
            (Growing::Sounds { .. }, Value::Bytes(bytes)) => self.push_sound(bytes)?,
            (Growing::Sounds { .. }, Value::Text(text)) => self.push_sound(&self.file_of(text)?)?,
            (Growing::Images { .. }, Value::Vector(pixels)) => self.push_pixels(pixels)?,
            (Growing::Texts(texts), Value::Text(text)) => texts.push(text.trim()),
            (data, value) => {
                return Err(Problem::new(format!("takes {}, not {}", data.takes(), value.describe())));
            }
        }
        Ok(())
    }

    /// Appends one vector, all of it.
    pub(crate) fn push_vector(&mut self, numbers: &[f64]) -> Result<(), Problem> {
        let Growing::Vectors { width, values } = &mut self.data else {
            return Err(Problem::new(format!("takes {}, not a vector", self.data.takes())));
        };
        let expected = *width.get_or_insert(numbers.len());
        if numbers.len() != expected {
            return Err(Problem::new(format!("takes {expected} numbers, not {}", numbers.len())));
        }
        for &number in numbers {
            values.push(if number.is_nan() { f32::NAN } else { narrow(finite(number)?)? });
        }
        Ok(())
    }

    /// Appends a picture, having run the intake. A grey one among colour ones is made colour; where the
    /// shape is fixed (serving) a colour one is made grey too.
    pub(crate) fn push_picture(&mut self, picture: Picture) -> Result<(), Problem> {
        let (Growing::Images { shape, bytes, fixed }, FieldKind::Image { intake }) =
            (&mut self.data, &self.field.kind)
        else {
            return Err(Problem::new(format!("takes {}, not an image", self.data.takes())));
        };
        let mut picture = picture.prepare(intake)?;
        let expected = *shape.get_or_insert(picture.shape);
        if expected[2] == 3 {
            picture = picture.into_colour();
        } else if *fixed && picture.shape[2] == 3 {
            let grey = [Fitted::Grey(crate::transform::FittedGrey {})];
            picture = picture.prepare(&grey)?;
        }
        if picture.shape != expected {
            return Err(wrong_shape(picture.shape, expected));
        }
        bytes.extend_from_slice(&picture.bytes);
        Ok(())
    }

    /// Appends the features of a WAV file.
    pub(crate) fn push_sound(&mut self, wav: &[u8]) -> Result<(), Problem> {
        match &mut self.data {
            Growing::Sounds { plan, values } => plan.hear(wav, values),
            other => Err(Problem::new(format!("takes {}, not a sound", other.takes()))),
        }
    }

    /// The file that a text holds in base64 or, in a table, names.
    fn file_of(&self, text: &str) -> Result<Vec<u8>, Problem> {
        match &self.folder {
            Some(folder) if names_a_file(text) => read_file(&folder.join(text.trim())),
            _ => decode_base64(text),
        }
    }

    fn push_pixels(&mut self, pixels: &[f64]) -> Result<(), Problem> {
        let Growing::Images { shape: Some(shape), bytes, .. } = &mut self.data else {
            return Err(Problem::new("pixels without a known shape; give the image as a file in base64"));
        };
        if pixels.len() != shape.iter().product::<usize>() {
            return Err(Problem::new(format!("takes an image {shape:?}, not {} numbers", pixels.len())));
        }
        for &pixel in pixels {
            if !(0.0..=255.0).contains(&pixel) {
                return Err(Problem::new(format!("a pixel is a number from 0 to 255, not {pixel}")));
            }
            bytes.push(pixel.round() as u8);
        }
        Ok(())
    }

    /// The column is complete.
    pub(crate) fn finish(self) -> Result<Column, DataError> {
        let data = match self.data {
            Growing::Numbers(mut numbers) => {
                numbers.shrink();
                ColumnData::Numbers(numbers)
            }
            Growing::Categories { mut codes, labels } => {
                shrink(&mut codes);
                let categories = match labels {
                    Labels::Closed(dictionary) => Categories { codes, dictionary },
                    Labels::Open(dictionary) => match &self.field.kind {
                        FieldKind::Category { names: Some(names) } => {
                            rename(&self.field.name, codes, &dictionary, names)?
                        }
                        _ => Categories { codes, dictionary: Arc::new(dictionary) },
                    },
                };
                ColumnData::Categories(categories)
            }
            Growing::Datetimes(mut seconds) => {
                shrink(&mut seconds);
                ColumnData::Datetimes(seconds)
            }
            Growing::Vectors { width, mut values } => {
                shrink(&mut values);
                let width = if self.members.is_empty() { width.unwrap_or(0) } else { self.members.len() };
                ColumnData::Vectors(Vectors { width, values })
            }
            Growing::Images { shape, mut bytes, .. } => {
                shrink(&mut bytes);
                ColumnData::Images(Images { shape: shape.unwrap_or([0, 0, 0]), bytes })
            }
            Growing::Sounds { plan, mut values } => {
                shrink(&mut values);
                ColumnData::Vectors(Vectors { width: plan.width(), values })
            }
            Growing::Texts(mut texts) => {
                texts.shrink();
                ColumnData::Texts(texts)
            }
        };
        Ok(Column { name: self.field.name.clone(), data, members: self.members })
    }
}

impl Growing {
    fn takes(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "a number",
            Self::Categories { .. } => "a category (a text)",
            Self::Datetimes(_) => "a datetime (a text, or Unix seconds)",
            Self::Vectors { .. } => "a list of numbers",
            Self::Images { .. } => "an image (a PNG or JPEG file in base64)",
            Self::Texts(_) => "a text",
            Self::Sounds { .. } => "a sound (a WAV file in base64)",
        }
    }
}

impl Labels {
    fn code(&mut self, label: &str) -> u32 {
        match self {
            Self::Open(dictionary) => dictionary.insert(label),
            Self::Closed(dictionary) => dictionary.meant(label).unwrap_or(UNKNOWN),
        }
    }
}

fn wrong_shape(got: [usize; 3], expected: [usize; 3]) -> Problem {
    let mut needed = Vec::new();
    if got[..2] != expected[..2] {
        needed.push("resize");
    }
    if got[2] != expected[2] {
        needed.push("grey");
    }
    Problem::new(format!("the image is {got:?} (height, width, channels), and {expected:?} is needed"))
        .hint(format!("declare {} before image_to_float in this input's transforms", needed.join(" and ")))
}

/// Gives the labels 0, 1, 2, … their names.
fn rename(
    field: &str,
    mut codes: Vec<u32>,
    dictionary: &Dictionary,
    names: &[String],
) -> Result<Categories, DataError> {
    let mut renamed = Dictionary::default();
    let mut table = Vec::with_capacity(dictionary.len());
    for label in dictionary.labels() {
        let by_index = label.parse::<usize>().ok().and_then(|index| names.get(index));
        let name = by_index.or_else(|| names.iter().find(|name| *name == label)).ok_or_else(|| {
            DataError::spec(
                field,
                format!("the data has the label {label:?}, and labels gives {} names", names.len()),
            )
            .with_hint("labels names the categories that the data writes as 0, 1, 2, …")
        })?;
        table.push(renamed.insert(name));
    }
    for code in &mut codes {
        *code = table.get(*code as usize).copied().unwrap_or(*code);
    }
    Ok(Categories { codes, dictionary: Arc::new(renamed) })
}

fn parse_number(text: &str) -> Result<f64, Problem> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(number) if number.is_infinite() => finite(number),
        _ => Err(Problem::new(format!("{:?} is no number", excerpt(text)))
            .hint("if it stands for a missing value, add it to missing under [data]; if the column holds texts, its kind is category")),
    }
}

fn finite(number: f64) -> Result<f64, Problem> {
    if number.is_infinite() {
        return Err(
            Problem::new("infinity is no value to compute with").hint("replace it, or leave it missing")
        );
    }
    Ok(number)
}

fn narrow(number: f64) -> Result<f32, Problem> {
    let narrow = number as f32;
    if narrow.is_finite() || number.is_nan() {
        Ok(narrow)
    } else {
        Err(Problem::new(format!("{number:e} is too large for a vector, whose numbers are float32")))
    }
}

/// The columns that a reader fills, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Builders {
    /// Inputs, outputs, and then, where there are such, the column of the split, the time and the unit.
    pub(crate) columns: Vec<Builder>,
    has_split: bool,
    spec: PipelineSpec,
    pub(crate) rows: usize,
}

impl Builders {
    /// Columns for what a pipeline, its split and its windows need.
    pub(crate) fn new(spec: &PipelineSpec, split: &SplitSpec) -> Result<Self, DataError> {
        let wanted = wanted(spec)?;
        let split = split_field(split, spec)?;
        let (time, unit) = series_fields(spec);
        let has_split = split.is_some();
        let fields = wanted.into_iter().chain(split).chain(time).chain(unit);
        let columns = fields.map(|field| Builder::new(Arc::new(field))).collect();
        Ok(Self { columns, has_split, spec: spec.clone(), rows: 0 })
    }

    /// Columns that are read for themselves, without a split and windows.
    pub(crate) fn of_fields(fields: Vec<Field>) -> Self {
        let columns = fields.into_iter().map(|field| Builder::new(Arc::new(field))).collect();
        Self { columns, has_split: false, spec: PipelineSpec::default(), rows: 0 }
    }

    /// How many of the columns are inputs; they come first.
    pub(crate) fn inputs(&self) -> usize {
        self.spec.inputs.len()
    }

    /// Cells may name files from now on: those of this table's folder.
    pub(crate) fn read_files_beside(&mut self, table: &Path) {
        let folder = table.parent().unwrap_or(Path::new("")).to_owned();
        self.columns.iter_mut().for_each(|builder| builder.folder = Some(folder.clone()));
    }

    /// The columns are complete; rows from `test_from` on came from a separate test source, and `side` is what
    /// files beside the rows say.
    pub(crate) fn finish(self, test_from: Option<usize>, side: &Side) -> Result<Dataset, DataError> {
        let spec = self.spec.clone();
        derive(&spec, side, self.lay(test_from)?)
    }

    fn lay(mut self, test_from: Option<usize>) -> Result<Dataset, DataError> {
        let mut pop = |wanted: bool| if wanted { self.columns.pop() } else { None };
        let has_unit = self.spec.windows.as_ref().is_some_and(|windows| windows.unit.is_some());
        let unit = pop(has_unit).map(Builder::finish).transpose()?;
        let time = pop(self.spec.windows.is_some());
        let split = pop(self.has_split).map(Builder::finish).transpose()?.map(|column| column.data);
        let columns = self.columns.into_iter().map(Builder::finish).collect::<Result<Vec<_>, _>>()?;
        let (Some(windows), Some(time)) = (&self.spec.windows, time) else {
            return Ok(Dataset::new(columns, test_from).with_split_column(split));
        };
        let are_datetimes = time.zoned.is_some();
        let ColumnData::Datetimes(times) = time.finish()?.data else { unreachable!("times grow as moments") };
        let units = unit.map(|unit| match unit.data {
            ColumnData::Categories(categories) => categories,
            _ => unreachable!("units grow as categories"),
        });
        lay(windows, self.spec.ahead(), Rows { columns, split, test_from, times, are_datetimes, units })
    }
}

/// Puts a problem at its place in a file.
pub(crate) fn at<'a>(path: &'a Path, line: u64, column: &'a str) -> impl Fn(Problem) -> DataError + 'a {
    move |problem| problem.at(Place { path: path.to_owned(), line, column: column.to_owned() })
}
