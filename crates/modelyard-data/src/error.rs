//! Everything that can be wrong with data, said so that a person can mend it: which file, which line,
//! which column, what stood there, and what would do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use modelyard_types::ErrorKind;

/// Where a cell stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1 as editors do.
    pub line: u64,
    /// The column's name.
    pub column: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}, column {:?}", self.path.display(), self.line, self.column)
    }
}

/// What went wrong with data, its description, or a stored pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A source names a file that is not there.
    #[error("there is no data at {}", path.display())]
    Missing {
        /// The path or glob.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// A file of no bytes.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file whose header is followed by nothing.
    #[error("{} has no rows", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Bytes that are not what the format says.
    #[error("{} is no valid {format}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A row with more or fewer cells than the header.
    #[error("{}:{line}: this row has {got} cells, the first has {expected}", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Cells in the first row.
        expected: usize,
        /// Cells in this one.
        got: usize,
    },
    /// A column that the description names and the file does not have.
    #[error("{} has no column {column:?}{}", path.display(), did_you_mean(nearest))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The name or pattern looked for.
        column: String,
        /// The nearest name that is there.
        nearest: Option<String>,
        /// The names that are there, the first few.
        known: Vec<String>,
    },
    /// A cell that does not fit its column's kind.
    #[error("{place}: {problem}")]
    Cell {
        /// Where.
        place: Place,
        /// What is wrong, with the offending text.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A description that contradicts itself.
    #[error("{field}: {problem}")]
    Spec {
        /// The input, output or key.
        field: String,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A transform that cannot be fitted on, or does not fit, what comes in.
    #[error("{field}: {problem}")]
    Fit {
        /// The input or output.
        field: String,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A row that the pipeline cannot take; rows are counted from 0 as in the request.
    #[error("row {row}{}: {problem}", in_field(field))]
    Row {
        /// The row's index.
        row: usize,
        /// The input or output.
        field: Option<String>,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// Rows that make no series.
    #[error("{problem}")]
    Series {
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A split that cannot be made.
    #[error("split: {problem}")]
    Split {
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A stored document that is damaged or was never ours.
    #[error("{document} cannot be read: {problem}")]
    Document {
        /// Its file name.
        document: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A stored document of a later program.
    #[error("{document} has format version {found}; this program reads up to {known}")]
    TooNew {
        /// Its file name.
        document: &'static str,
        /// The version found.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

fn in_field(field: &Option<String>) -> String {
    field.as_ref().map(|name| format!(", {name:?}")).unwrap_or_default()
}

impl DataError {
    /// The coarse kind, for protocols and exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Document { .. } => ErrorKind::DataCorrupt,
            Self::TooNew { .. } => ErrorKind::FailedPrecondition,
            _ => ErrorKind::InvalidArgument,
        }
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("paths are taken from the project file's folder".into()),
            Self::NoRows { .. } => {
                Some("if the first line is data already, set has_header = false under [data]".into())
            }
            Self::Ragged { .. } => {
                Some("check the quoting of this line, or set delimiter under [data]".into())
            }
            Self::NoColumn { known, .. } => Some(format!("the file has {}", known.join(", "))),
            Self::TooNew { .. } => Some("update the program".into()),
            Self::Cell { hint, .. }
            | Self::Spec { hint, .. }
            | Self::Fit { hint, .. }
            | Self::Row { hint, .. }
            | Self::Series { hint, .. }
            | Self::Split { hint, .. } => hint.clone(),
            _ => None,
        }
    }

    pub(crate) fn spec(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Spec { field: field.into(), problem: problem.into(), hint: None }
    }

    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Cell { hint, .. }
        | Self::Spec { hint, .. }
        | Self::Fit { hint, .. }
        | Self::Row { hint, .. }
        | Self::Series { hint, .. }
        | Self::Split { hint, .. } = &mut self
        {
            *hint = Some(text.into());
        }
        self
    }
}

/// What is wrong and, where known, the way out: made by code that does not know which file, row or field
/// it works for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn in_fit(self, field: &str) -> DataError {
        DataError::Fit { field: field.into(), problem: self.text, hint: self.hint }
    }

    pub(crate) fn in_row(self, row: usize, field: &str) -> DataError {
        DataError::Row { row, field: Some(field.into()), problem: self.text, hint: self.hint }
    }

    pub(crate) fn at(self, place: Place) -> DataError {
        DataError::Cell { place, problem: self.text, hint: self.hint }
    }
}

/// The known name most like the one given, where one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

/// A text cut to a length that fits a message.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
