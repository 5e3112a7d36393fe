//! Which columns are wanted and of which kind: what every reader works towards, and the one place where text
//! and raw values are judged, for files and requests alike.

mod builder;
mod cell_file;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use builder::{Builder, Builders, at};
pub(crate) use cell_file::{FILE_BYTES_MAX, names_a_file};

use crate::datetime;
use crate::error::{DataError, Problem};
use crate::spec::{Columns, InputSpec, Kind, OutputKind, OutputSpec, PipelineSpec, SplitKind, SplitSpec};
use crate::transform::{Fitted, Form, LogMel, Training, TransformSpec};
use crate::window;

/// One column that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// The name of the input or output.
    pub(crate) name: Arc<str>,
    /// The name of the column in the source.
    pub(crate) column: String,
    pub(crate) kind: FieldKind,
    /// Whether a file of labels may give it.
    pub(crate) is_output: bool,
}

/// The kind of column, with what reading it needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldKind {
    Number,
    Category {
        names: Option<Vec<String>>,
    },
    Datetime {
        format: Option<String>,
    },
    /// Something that orders rows: a number or a datetime.
    Moment,
    /// What orders the rows of a series: a number or a datetime, and either all or none name a time zone.
    SeriesTime {
        format: Option<String>,
    },
    Vector {
        columns: Option<Columns>,
    },
    Image {
        intake: Vec<Fitted>,
    },
    Text,
    Audio {
        mel: LogMel,
    },
    /// The file that a cell names, by its name alone.
    FileName,
}

impl FieldKind {
    /// The moment that a text means.
    fn moment(&self, text: &str) -> Result<f64, Problem> {
        match self {
            Self::Datetime { format } | Self::SeriesTime { format: format @ Some(_) } => {
                datetime::parse(text, format.as_deref())
            }
            _ => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => datetime::parse(text, None),
            },
        }
    }

    /// The moment that a bare number means: seconds, where no format says otherwise.
    fn moment_of(&self, number: f64) -> Result<f64, Problem> {
        match self {
            Self::Datetime { format: Some(format) } | Self::SeriesTime { format: Some(format) } => {
                datetime::parse(&number.to_string(), Some(format))
            }
            _ => Ok(number),
        }
    }
}

/// All columns that are wanted, inputs before outputs.
pub(crate) fn wanted(spec: &PipelineSpec) -> Result<Vec<Field>, DataError> {
    window::check(spec)?;
    let mut names = BTreeSet::new();
    let mut fields = Vec::with_capacity(spec.inputs.len() + spec.outputs.len());
    for input in &spec.inputs {
        fields.push(input_field(input)?);
    }
    for output in &spec.outputs {
        fields.extend(output_field(output)?);
    }
    let declared = spec.inputs.iter().map(|input| &input.name);
    for name in declared.chain(spec.outputs.iter().map(|output| &output.name)) {
        if name.is_empty() {
            return Err(DataError::spec("inputs and outputs", "a name is empty"));
        }
        if !names.insert(name) {
            return Err(DataError::spec(name, "this name is declared twice"));
        }
    }
    Ok(fields)
}

fn input_field(input: &InputSpec) -> Result<Field, DataError> {
    let wrong = |key: &str, kind: Kind| {
        DataError::spec(&input.name, format!("{key} belongs to the kind {kind}, and this is {}", input.kind))
    };
    if input.columns.is_some() && input.kind != Kind::Vector {
        return Err(wrong("columns", Kind::Vector).with_hint("a single column is named by column"));
    }
    if input.shape.is_some() && input.kind != Kind::Vector {
        return Err(wrong("shape", Kind::Vector));
    }
    if input.format.is_some() && input.kind != Kind::Datetime {
        return Err(wrong("format", Kind::Datetime));
    }
    crate::augment::check(input)?;
    if input.columns.is_some() && input.column.is_some() {
        return Err(DataError::spec(&input.name, "column and columns are both set; one of them is enough"));
    }
    let kind = match input.kind {
        Kind::Number => FieldKind::Number,
        Kind::Category => FieldKind::Category { names: None },
        Kind::Datetime => FieldKind::Datetime { format: input.format.clone() },
        Kind::Vector => FieldKind::Vector { columns: input.columns.clone() },
        Kind::Image => FieldKind::Image { intake: intake(input)? },
        Kind::Text => FieldKind::Text,
        Kind::Audio => FieldKind::Audio { mel: log_mel(input)? },
    };
    Ok(Field {
        name: input.name.as_str().into(),
        column: input.column.clone().unwrap_or_else(|| input.name.clone()),
        kind,
        is_output: false,
    })
}

/// The column that an output is read from; none where it follows from other columns, or stands in the text itself.
fn output_field(output: &OutputSpec) -> Result<Option<Field>, DataError> {
    check_keys(output)?;
    let kind = match output.kind {
        OutputKind::Remaining => return Ok(None),
        OutputKind::Anomaly if output.column.is_none() => return Ok(None),
        OutputKind::Anomaly => FieldKind::Category { names: None },
        OutputKind::Category => {
            if output.transforms.as_ref().is_some_and(|transforms| !transforms.is_empty()) {
                return Err(DataError::spec(&output.name, "an output category takes no transforms"));
            }
            FieldKind::Category { names: output.labels.clone() }
        }
        OutputKind::Labels if output.transforms.is_some() => {
            let problem = "an output of labels takes no transforms";
            return Err(DataError::spec(&output.name, problem));
        }
        OutputKind::Labels => FieldKind::Text,
        OutputKind::NextToken
            if output.column.is_some() || output.labels.is_some() || output.transforms.is_some() =>
        {
            let problem =
                "the next token is that of the text input: it takes no column, labels or transforms";
            return Err(DataError::spec(&output.name, problem));
        }
        OutputKind::NextToken => return Ok(None),
        OutputKind::Number => FieldKind::Number,
    };
    Ok(Some(Field {
        name: output.name.as_str().into(),
        column: output.column.clone().unwrap_or_else(|| output.name.clone()),
        kind,
        is_output: true,
    }))
}

/// The columns whose cells may name files, each as the names alone.
pub(crate) fn file_name_fields(spec: &PipelineSpec) -> Vec<Field> {
    let of_files = spec.inputs.iter().filter(|input| matches!(input.kind, Kind::Image | Kind::Audio));
    let field = |input: &InputSpec| Field {
        name: input.name.as_str().into(),
        column: input.column.clone().unwrap_or_else(|| input.name.clone()),
        kind: FieldKind::FileName,
        is_output: false,
    };
    of_files.map(field).collect()
}

/// Keys that belong to another kind of output.
fn check_keys(output: &OutputSpec) -> Result<(), DataError> {
    let wrong = |key: &str, kinds: &str| {
        Err(DataError::spec(&output.name, format!("{key} belongs to {kinds}, and this is {}", output.kind)))
    };
    if output.cap.is_some() && output.kind != OutputKind::Remaining {
        return wrong("cap", "the kind remaining");
    }
    if output.cap.is_some_and(|cap| !cap.is_finite() || cap <= 0.0) {
        return Err(DataError::spec(&output.name, "cap is a number above 0"));
    }
    if output.column.is_some() && output.kind == OutputKind::Remaining {
        return Err(DataError::spec(
            &output.name,
            "what remains is counted from the rows, not read from a column",
        )
        .with_hint("a column that holds it is an output of kind number"));
    }
    if (output.quantile.is_some() || output.healthy.is_some()) && output.kind != OutputKind::Anomaly {
        return wrong("quantile and healthy", "the kind anomaly");
    }
    if output.quantile.is_some_and(|quantile| !(0.0..1.0).contains(&quantile)) {
        return Err(DataError::spec(&output.name, "quantile is a fraction from 0 to below 1"));
    }
    if (output.quantiles.is_some() || output.coverage.is_some()) && output.kind != OutputKind::Number {
        return wrong("quantiles and coverage", "the kind number, forecast");
    }
    if output.transforms.is_some() && output.kind == OutputKind::Anomaly {
        return wrong("transforms", "numbers");
    }
    if output.labels.is_some() && output.kind != OutputKind::Category {
        return wrong("labels", "the kind category");
    }
    Ok(())
}

/// The column of the time of a series, and that of its unit, where windows are laid.
pub(crate) fn series_fields(spec: &PipelineSpec) -> (Option<Field>, Option<Field>) {
    let Some(windows) = &spec.windows else { return (None, None) };
    let field = |name: &str, column: &String, kind| Field {
        name: name.into(),
        column: column.clone(),
        kind,
        is_output: false,
    };
    let time = FieldKind::SeriesTime { format: windows.format.clone() };
    let unit = windows.unit.as_ref();
    (
        Some(field("time", &windows.time, time)),
        unit.map(|column| field("unit", column, FieldKind::Category { names: None })),
    )
}

/// The column that decides the split, where one does.
pub(crate) fn split_field(split: &SplitSpec, spec: &PipelineSpec) -> Result<Option<Field>, DataError> {
    let kind = match split.kind {
        SplitKind::Random => return Ok(None),
        SplitKind::Stratified if split.column.is_none() => return Ok(None),
        // The windows know the time and the unit of their rows.
        SplitKind::Time if split.column.is_none() && spec.windows.is_some() => return Ok(None),
        SplitKind::Group if split.column.is_none() && has_units(spec) => return Ok(None),
        SplitKind::Stratified | SplitKind::Group => FieldKind::Category { names: None },
        SplitKind::Time => {
            let input = spec.inputs.iter().find(|input| {
                input.kind == Kind::Datetime
                    && split.column.as_deref() == Some(input.column.as_ref().unwrap_or(&input.name))
            });
            match input {
                Some(input) => FieldKind::Datetime { format: input.format.clone() },
                None => FieldKind::Moment,
            }
        }
    };
    let column = split.column.clone().ok_or_else(|| {
        DataError::spec("split", "this kind of split needs to know by which column")
            .with_hint("set column under [data.split]")
    })?;
    Ok(Some(Field { name: "split".into(), column, kind, is_output: false }))
}

fn has_units(spec: &PipelineSpec) -> bool {
    spec.windows.as_ref().is_some_and(|windows| windows.unit.is_some())
}

/// How many leading transforms run as values come in: resize and grey of images, log_mel of sounds.
pub(crate) fn intake_len(transforms: &[TransformSpec]) -> usize {
    let is_intake = |t: &&TransformSpec| {
        matches!(t, TransformSpec::Resize(_) | TransformSpec::Grey(_) | TransformSpec::LogMel(_))
    };
    transforms.iter().take_while(is_intake).count()
}

/// The transforms that run as images come in. They learn nothing, so they are fitted before any data is read.
fn intake(input: &InputSpec) -> Result<Vec<Fitted>, DataError> {
    let transforms = input.transforms.as_deref().unwrap_or_default();
    // Any colour image stands for all: these transforms change sizes, not whether they fit.
    let form = Form::Bytes { shape: [1, 1, 3] };
    let training = Training { form: &form, dictionary: None, visit: &|_| {} };
    transforms[..intake_len(transforms)]
        .iter()
        .map(|transform| transform.fit(&training).map_err(|problem| problem.in_fit(&input.name)))
        .collect()
}

/// The settings by which sounds are heard as they come in.
fn log_mel(input: &InputSpec) -> Result<LogMel, DataError> {
    match input.transforms.as_deref().unwrap_or_default().first() {
        Some(TransformSpec::LogMel(mel)) => {
            mel.check().map_err(|problem| problem.in_fit(&input.name))?;
            Ok(mel.clone())
        }
        _ => Err(DataError::spec(&input.name, "a sound needs to know how it is heard")
            .with_hint("transforms = [{ type = \"log_mel\", seconds = 1.0 }, { type = \"standard\" }]")),
    }
}

/// The names that the patterns mean, in order. A range means its names whether or not they are there.
pub(crate) fn expand_columns(columns: &Columns, header: &[String]) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for pattern in columns.iter() {
        if let Some((first, last)) = pattern.split_once("..") {
            names.extend(expand_range(first, last).ok_or_else(|| {
                Problem::new(format!("{pattern:?} is no range of columns")).hint("write it as in c0..c63")
            })?);
        } else if pattern.contains('*') {
            let before = names.len();
            names.extend(header.iter().filter(|name| matches_pattern(pattern, name)).cloned());
            if names.len() == before {
                return Err(Problem::new(format!("no column matches {pattern:?}")));
            }
        } else {
            names.push(pattern.to_owned());
        }
    }
    if names.is_empty() { Err(Problem::new("columns names no column")) } else { Ok(names) }
}

/// Past this a range of columns is surely a slip of the pen.
const RANGE_MAX: usize = 1_000_000;

fn expand_range(first: &str, last: &str) -> Option<Vec<String>> {
    let split = |name: &str| {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (prefix, number) = name.split_at(name.len() - digits);
        number.parse::<usize>().ok().map(|value| (prefix.to_owned(), value, digits))
    };
    let ((prefix, from, digits), (last_prefix, to, _)) = (split(first)?, split(last)?);
    if prefix != last_prefix || from > to || to - from >= RANGE_MAX {
        return None;
    }
    let padding =
        if first.len() > prefix.len() + 1 && first[prefix.len()..].starts_with('0') { digits } else { 0 };
    Some((from..=to).map(|number| format!("{prefix}{number:0padding$}")).collect())
}

/// Whether a name fits a pattern in which each `*` stands for any text.
pub(crate) fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("pixel_*", "pixel_12", true),
            ("pixel_*", "pixel_", true),
            ("pixel_*", "a_pixel_1", false),
            ("*_x_*", "a_x_b", true),
            ("*.csv", "a.csv.gz", false),
            ("a*a", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} on {name}");
        }
    }

    fn check(columns: &str, expected: Option<&[&str]>) {
        let header = ["x1", "y", "x0"].map(String::from);
        let names = expand_columns(&Columns::One(columns.into()), &header).ok();
        assert_eq!(
            names.as_deref(),
            expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn columns_expand_to_names() {
        check("x*", Some(&["x1", "x0"]));
        check("x0..x2", Some(&["x0", "x1", "x2"]));
        check("p08..p10", Some(&["p08", "p09", "p10"]));
        check("y", Some(&["y"]));
        check("z*", None);
        check("x2..x1", None);
        check("x0..y1", None);
        check("x0..x99999999999", None);
    }
}
