//! One real row of the test part, as a request would send it: what the printed `curl` line asks about. It is
//! kept with the version, so that serving again needs no data.

use std::path::{Path, PathBuf};

use modelyard_data::read::image_folder::row_files;
use modelyard_data::{ColumnData, Dataset, Format, Kind, Numbers, PipelineSpec, write_datetime};
use modelyard_train::{Prepared, Project};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// Rows longer than this, as JSON, make no line that anybody would paste.
const ROW_BYTES_MAX: usize = 16 << 10;

/// So many characters begin a text that is to be continued.
const BEGINNING_CHARS: usize = 8;

/// A row to ask about, and the answer that the data gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Example {
    /// What to send.
    pub(crate) input: Input,
    /// What the data says, by output name.
    pub(crate) truth: Map<String, Value>,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// Values by input name.
    Row(Map<String, Value>),
    /// The bytes of a file, relative to the project's folder.
    File(PathBuf),
}

impl Example {
    /// The first test row of a project; the first training row where the split leaves no test rows. None
    /// where it cannot be sent in a line.
    pub(crate) fn of(project: &Project, prepared: &Prepared) -> Option<Self> {
        let row = *prepared.parts.test.first().or_else(|| prepared.parts.train.first())?;
        let spec = project.pipeline();
        let truth = truth_as_json(&prepared.dataset, &spec, row);
        if project.data().format == Some(Format::ImageFolder) {
            let file = image_file(project, row, &truth)?;
            return Some(Self { input: Input::File(file), truth });
        }
        // The data set keeps what is heard of a sound, not the sound.
        if spec.inputs.iter().any(|input| input.kind == Kind::Audio) {
            return None;
        }
        let mut values = row_as_json(&prepared.dataset, &spec, row);
        if prepared.pipeline.language().is_some() {
            values.values_mut().for_each(shorten);
        }
        let length = serde_json::to_string(&values).map_or(usize::MAX, |text| text.len());
        (length <= ROW_BYTES_MAX).then_some(Self { input: Input::Row(values), truth })
    }
}

/// Leaves the beginning of a text, for a language model to go on with.
fn shorten(value: &mut Value) {
    if let Value::String(text) = value {
        *text = text.chars().take(BEGINNING_CHARS).collect();
    }
}

/// The file of a row in a folder of images. None where its folder is not the class that the data set has for
/// that row, or its name is not one that a shell takes as it is.
fn image_file(project: &Project, row: usize, truth: &Map<String, Value>) -> Option<PathBuf> {
    let roots: Vec<PathBuf> = project.data().source.iter().map(|path| project.folder().join(path)).collect();
    let files =
        roots.iter().map(|root| row_files(root, Format::ImageFolder)).collect::<Result<Vec<_>, _>>().ok()?;
    let files = files.concat();
    // Images outside any class folder are no rows.
    let mut rows = files.iter().filter(|file| !roots.iter().any(|root| file.parent() == Some(root)));
    let file = rows.nth(row)?;
    let class = file.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let is_the_row = truth.values().next().and_then(Value::as_str) == class;
    let relative = file.strip_prefix(project.folder()).ok()?;
    is_the_row.then(|| relative.to_owned())
}

/// One row of a data set, by input name.
fn row_as_json(dataset: &Dataset, spec: &PipelineSpec, row: usize) -> Map<String, Value> {
    let fields = spec.inputs.iter().filter_map(|input| {
        let column = dataset.column(&input.name)?;
        let format = input.format.as_deref();
        let (Some(windows), Some(_)) = (dataset.windows(), spec.steps_of(input)) else {
            return Some((input.name.clone(), cell(column, row, format)));
        };
        let ahead = if input.known_future { windows.ahead() } else { 0 };
        let steps = windows.window(row).chain(row + 1..row + 1 + ahead).map(|row| cell(column, row, format));
        Some((input.name.clone(), Value::Array(steps.collect())))
    });
    fields.collect()
}

/// What the data says the answer is, by output name.
fn truth_as_json(dataset: &Dataset, spec: &PipelineSpec, row: usize) -> Map<String, Value> {
    let fields = spec.outputs.iter().filter_map(|output| {
        let column = dataset.column(&output.name)?;
        let horizon = spec.windows.as_ref().map_or(0, |windows| windows.horizon);
        if horizon > 0 {
            let steps = (row + 1..row + 1 + horizon).map(|row| cell(column, row, None));
            return Some((output.name.clone(), Value::Array(steps.collect())));
        }
        let value = match (cell(column, row, None), &output.labels) {
            // The data writes 0, 1, 2, …; the project file names them.
            (Value::String(code), Some(labels)) => {
                let label = code.parse::<usize>().ok().and_then(|code| labels.get(code)).cloned();
                Value::String(label.unwrap_or(code))
            }
            (value, _) => value,
        };
        Some((output.name.clone(), value))
    });
    fields.collect()
}

/// A cell as a request gives it; datetimes in this format.
fn cell(column: &ColumnData, row: usize, format: Option<&str>) -> Value {
    match column {
        ColumnData::Numbers(Numbers::Single(values)) => single(values[row]),
        ColumnData::Numbers(numbers) => number(numbers.get(row)),
        ColumnData::Categories(categories) => {
            categories.dictionary.label(categories.codes[row]).map_or(Value::Null, Value::from)
        }
        ColumnData::Texts(texts) => Value::from(texts.get(row)),
        ColumnData::Datetimes(seconds) => {
            write_datetime(seconds[row], format).map_or(Value::Null, Value::from)
        }
        ColumnData::Vectors(vectors) => {
            let values = &vectors.values[row * vectors.width..(row + 1) * vectors.width];
            values.iter().copied().map(single).collect()
        }
        ColumnData::Images(images) => {
            let size: usize = images.shape.iter().product();
            images.bytes[row * size..(row + 1) * size].iter().copied().map(Value::from).collect()
        }
    }
}

/// The shortest decimal that reads back as the same number.
fn single(value: f32) -> Value {
    number(value.to_string().parse().unwrap_or(f64::from(value)))
}

/// A whole number without a decimal point, NaN as null.
fn number(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, reason = "whole and far below 2^63")]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use modelyard_data::{Categories, Dictionary, Images, MISSING, Vectors};
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_cell_has_its_json() {
        let check = |column: ColumnData, want: Value| assert_eq!(cell(&column, 1, None), want);
        check(ColumnData::Numbers(Numbers::Single(vec![0.0, 16.0])), json!(16));
        check(ColumnData::Numbers(Numbers::Double(vec![0.0, 0.1])), json!(0.1));
        check(ColumnData::Numbers(Numbers::Single(vec![0.0, f32::NAN])), Value::Null);
        check(ColumnData::Datetimes(vec![0.0, 1_700_000_000.0]), json!("2023-11-14T22:13:20Z"));
        let german = cell(&ColumnData::Datetimes(vec![1_700_000_000.0]), 0, Some("%d.%m.%Y %H:%M"));
        assert_eq!(german, json!("14.11.2023 22:13"));
        check(ColumnData::Vectors(Vectors { width: 2, values: vec![0.0, 0.0, 0.1, 2.0] }), json!([0.1, 2]));
        check(ColumnData::Images(Images { shape: [1, 2, 1], bytes: vec![1, 2, 3, 4] }), json!([3, 4]));
        let dictionary = Arc::new(Dictionary::new(["a", "b"]));
        let categories = |codes| ColumnData::Categories(Categories { codes, dictionary: dictionary.clone() });
        check(categories(vec![0, 1]), json!("b"));
        check(categories(vec![0, MISSING]), Value::Null);
    }
}
