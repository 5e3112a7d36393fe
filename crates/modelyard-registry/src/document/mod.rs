//! The JSON documents of a version that more than one crate reads. Each carries a format version: a newer
//! one is refused, and what does not follow its format is an error, not a guess.

mod graph;
mod lineage;
mod route;
mod run;
mod scores;
mod signature;

use modelyard_types::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use graph::{
    Case, Combine, CombineStep, Comparison, Condition, Graph, ModelStep, OUTPUT, REQUEST, SECURE, Source,
    Step, SwitchStep, TlsFiles, WiredGraph, Work,
};
pub use lineage::{Lineage, Machine};
pub use route::{Canary, Guard, Route, Shadow};
pub use run::{EpochRecord, RunFold, RunRecord, RunStart, RunStatus};
pub use scores::{ClassScore, ConfusionMatrix, GateComparison, GateResult, MetricValue, Scores, SplitScores};
pub use signature::{SignatureDocument, TensorDocument};

/// A document could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The bytes are not JSON of the right shape.
    #[error("{file} is not what modelyard writes: {why}")]
    Malformed {
        /// The file's name.
        file: &'static str,
        /// What is wrong, with line and column where it is known.
        why: String,
    },
    /// A newer program wrote it.
    #[error("{file} has format version {found}, this program reads up to {known}")]
    TooNew {
        /// The file's name.
        file: &'static str,
        /// The format found.
        found: u64,
        /// The newest format known.
        known: u32,
    },
    /// A number that JSON cannot hold.
    #[error("{what} of {file} is {value}, which is not a finite number")]
    NotFinite {
        /// The file's name.
        file: &'static str,
        /// Which number.
        what: String,
        /// Its value.
        value: f64,
    },
}

impl DocumentError {
    /// The protocol-independent kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::DataCorrupt,
            Self::TooNew { .. } => ErrorKind::FailedPrecondition,
            Self::NotFinite { .. } => ErrorKind::InvalidArgument,
        }
    }

    fn malformed(file: &'static str, why: impl ToString) -> Self {
        Self::Malformed { file, why: why.to_string() }
    }
}

/// A document as it stands in its file: the format version beside the fields.
#[derive(serde::Serialize)]
struct Numbered<'a, T> {
    format_version: u32,
    #[serde(flatten)]
    document: &'a T,
}

/// Pretty JSON with a line feed at the end, so that people can read and compare it.
fn write<T: Serialize>(format_version: u32, document: &T) -> String {
    let numbered = Numbered { format_version, document };
    let mut text = serde_json::to_string_pretty(&numbered).expect("plain fields always make JSON");
    text.push('\n');
    text
}

fn read<T: DeserializeOwned>(file: &'static str, known: u32, bytes: &[u8]) -> Result<T, DocumentError> {
    let mut value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|why| DocumentError::malformed(file, why))?;
    let fields = value.as_object_mut().ok_or_else(|| DocumentError::malformed(file, "it is no object"))?;
    let format_version = fields.remove("format_version");
    let found = format_version.and_then(|number| number.as_u64());
    let found = found.ok_or_else(|| DocumentError::malformed(file, "its format version is missing"))?;
    if found > u64::from(known) {
        return Err(DocumentError::TooNew { file, found, known });
    }
    if found == 0 {
        return Err(DocumentError::malformed(file, "there is no format version 0"));
    }
    serde_json::from_value(value).map_err(|why| DocumentError::malformed(file, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every document refuses the same hostile bytes.
    #[test]
    fn hostile_json_is_an_error() {
        let deep = "[".repeat(100_000);
        let nested = format!("{{\"format_version\":1,\"inputs\":{deep}");
        let cases = [
            "",
            "null",
            "[]",
            "{}",
            "{\"format_version\":1",
            "{\"format_version\":0}",
            "{\"format_version\":-1}",
            "{\"format_version\":1.5}",
            "{\"format_version\":\"1\"}",
            "{\"format_version\":1,\"surprise\":true}",
            "\u{feff}{}",
            &deep,
            &nested,
        ];
        for text in cases {
            let short = &text[..text.len().min(40)];
            for error in [
                SignatureDocument::from_json(text.as_bytes()).expect_err(short),
                Scores::from_json(text.as_bytes()).expect_err(short),
                Lineage::from_json(text.as_bytes()).expect_err(short),
            ] {
                assert_eq!(error.kind(), ErrorKind::DataCorrupt, "{short}");
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = br#"{"format_version": 2, "anything": ["may", "stand", "here"]}"#;
        for error in [
            SignatureDocument::from_json(newer).expect_err("newer"),
            Scores::from_json(newer).expect_err("newer"),
            Lineage::from_json(newer).expect_err("newer"),
        ] {
            assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
            assert!(
                error.to_string().ends_with("has format version 2, this program reads up to 1"),
                "{error}"
            );
        }
    }
}
