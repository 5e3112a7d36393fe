//! Files beside the rows: the true lives of units that a test source cuts short, and the times between which a
//! series was anomalous.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::datetime;
use crate::error::DataError;
use crate::read::open;
use crate::spec::{OutputKind, PipelineSpec, SourceSpec};

/// A file of labels larger than this is surely none.
const BYTES_MAX: u64 = 64 << 20;

/// What the files beside the rows say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Side {
    /// Rows of time left at the last row of each unit of the test source.
    pub(crate) lives: Option<Vec<f64>>,
    /// Times between which the series was anomalous, both inside.
    pub(crate) spans: Option<Vec<[f64; 2]>>,
}

impl Side {
    /// Reads what the outputs need of the files of labels.
    ///
    /// # Errors
    /// A file that cannot be read or says something else.
    pub(crate) fn read(
        spec: &PipelineSpec,
        source: &SourceSpec,
        labels: &[PathBuf],
        test_labels: &[PathBuf],
    ) -> Result<Self, DataError> {
        let mut side = Self::default();
        for output in &spec.outputs {
            match output.kind {
                OutputKind::Remaining if !test_labels.is_empty() => {
                    let mut lives = Vec::new();
                    for path in test_labels {
                        lives.extend(lives_of(&text(path)?, path)?);
                    }
                    side.lives = Some(lives);
                }
                OutputKind::Anomaly if !labels.is_empty() => {
                    let names: Vec<&str> = source.source.iter().collect();
                    let mut spans = Vec::new();
                    for path in labels {
                        spans.extend(spans_of(&text(path)?, &names, path)?);
                    }
                    side.spans = Some(spans);
                }
                _ => {}
            }
        }
        Ok(side)
    }
}

fn text(path: &Path) -> Result<String, DataError> {
    let mut bytes = Vec::new();
    let read = open::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|source| open::io_error(path, source))?;
    String::from_utf8(bytes).map_err(|_| malformed(path, "list of labels", "it is no UTF-8 text"))
}

fn malformed(path: &Path, format: &'static str, problem: impl Into<String>) -> DataError {
    DataError::Malformed { path: path.to_owned(), format, problem: problem.into() }
}

/// One number a line.
fn lives_of(text: &str, path: &Path) -> Result<Vec<f64>, DataError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| match line.trim().parse::<f64>() {
            Ok(life) if life.is_finite() && life >= 0.0 => Ok(life),
            _ => {
                let problem =
                    format!("line {}: {:?} is no time that is left", at + 1, crate::error::excerpt(line));
                Err(malformed(path, "list of lives", problem))
            }
        })
        .collect()
}

/// A JSON list of pairs of times, or an object of such lists by the end of a file's path, as the Numenta Anomaly
/// Benchmark writes them in `combined_windows.json`.
fn spans_of(text: &str, sources: &[&str], path: &Path) -> Result<Vec<[f64; 2]>, DataError> {
    let wrong = |problem: &str| malformed(path, "list of anomalies", problem);
    let json: Json = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    let list = match &json {
        Json::Object(series) => {
            let file_of = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
            let named =
                series.iter().find(|(name, _)| sources.iter().any(|path| file_of(path) == file_of(name)));
            match named {
                Some((_, list)) => list,
                None => return Err(wrong("it names no series after a file of the source")),
            }
        }
        list => list,
    };
    let pairs = list.as_array().ok_or_else(|| wrong("anomalies are pairs of times, [[from, to], …]"))?;
    pairs
        .iter()
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([from, to]) => match (moment(from), moment(to)) {
                (Some(from), Some(to)) if from <= to => Ok([from, to]),
                _ => Err(wrong(&format!("{pair} is no pair of times, the earlier one first"))),
            },
            _ => Err(wrong(&format!("{pair} is no pair of times"))),
        })
        .collect()
}

fn moment(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => datetime::parse(text, None).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_numbers_a_line() {
        let path = Path::new("lives.txt");
        assert_eq!(lives_of("112 \n98\n\n", path).expect("lives"), [112.0, 98.0]);
        let error = lives_of("112\nmany\n", path).expect_err("no number").to_string();
        assert!(error.contains("line 2") && error.contains("many"), "{error}");
        assert!(lives_of("-1\n", path).is_err());
    }

    #[test]
    fn anomalies_are_found_by_the_file_of_the_series() {
        let path = Path::new("windows.json");
        let text = r#"{"a/x.csv": [["1970-01-01 00:00:10.000000", "1970-01-01 00:00:20"]], "b/y.csv": []}"#;
        assert_eq!(spans_of(text, &["data/x.csv"], path).expect("spans"), [[10.0, 20.0]]);
        assert_eq!(spans_of("[[1, 2]]", &[], path).expect("spans"), [[1.0, 2.0]]);
        for wrong in ["{\"z.csv\": []}", "[[2, 1]]", "[1]", "3", "[[", "[[\"soon\", 2]]"] {
            assert!(spans_of(wrong, &["data/x.csv"], path).is_err(), "{wrong}");
        }
    }
}
