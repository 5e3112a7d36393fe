//! The `[data]` section: where the rows come from and how they are divided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SplitSpec, WindowSpec};

/// Where the rows come from, in which format, and how they are divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// The file or files, relative to the project file. The last part may hold `*`, as in `days/2024-*.csv`.
    /// For `image_folder`, the folder that holds one folder of images per class.
    pub source: Paths,
    /// The file or files with the labels, one per row, where the format keeps them apart (`idx`, `npy`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Paths>,
    /// A separate test set, of the same form as `source`. Without it the split cuts one from `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_source: Option<Paths>,
    /// The labels of `test_source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<Paths>,
    /// The format; when absent it is told from the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Whether the first line of a CSV or TSV file names the columns. Without a header they are called
    /// `c0`, `c1`, and so on.
    #[serde(default = "yes")]
    pub has_header: bool,
    /// Cuts text files into rows of this many characters, rather than into lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<usize>,
    /// The character between cells: `,` for CSV and a tab for TSV when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The texts that stand for a missing value.
    #[serde(default = "missing_markers")]
    pub missing: Vec<String>,
    /// How the rows are divided into training, validation and test rows.
    #[serde(default)]
    pub split: SplitSpec,
    /// How rows become windows over series; when absent each row is a sample of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowSpec>,
}

impl SourceSpec {
    /// A source with every setting at its default.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: Paths::One(source.into()),
            labels: None,
            test_source: None,
            test_labels: None,
            format: None,
            has_header: true,
            chunk: None,
            delimiter: None,
            missing: missing_markers(),
            split: SplitSpec::default(),
            windows: None,
        }
    }
}

fn yes() -> bool {
    true
}

fn missing_markers() -> Vec<String> {
    ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"].map(String::from).to_vec()
}

/// One path or several, whose rows follow each other in the order given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    /// One path or glob.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Paths {
    /// The paths in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Cells separated by commas (or `delimiter`), one row a line.
    Csv,
    /// Cells separated by tabs.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// The format of MNIST: an array of bytes or numbers with a short binary header.
    Idx,
    /// One NumPy array.
    Npy,
    /// Apache Parquet: a table of named and typed columns.
    Parquet,
    /// A folder per class with PNG and JPEG files.
    ImageFolder,
    /// A folder per class with WAV files.
    AudioFolder,
    /// Plain text files: each line is a text, and the file's name is its class.
    TextLines,
}
