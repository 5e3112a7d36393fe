//! The record of a training run: what was to be done, on what, and how every epoch went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DocumentError, Machine, read, write};

const FORMAT_VERSION: u32 = 1;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It trains.
    Running,
    /// It trained to its end.
    Finished,
    /// It ended with an error.
    Failed,
    /// Somebody asked it to stop.
    Stopped,
    /// Its process is gone without a word: killed, or the machine went down.
    Interrupted,
}

impl RunStatus {
    /// The name, as JSON shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The project, whose name its versions have.
    pub project: String,
    /// How it stands.
    pub status: RunStatus,
    /// When it began, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_unix_ms: Option<u64>,
    /// Why it failed or stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Name and version of the program.
    pub program: String,
    /// The machine, with the threads that trained.
    pub machine: Machine,
    /// The processor, as the operating system names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the data, in hexadecimal.
    pub data_sha256: String,
    /// SHA-256 of the project file.
    pub project_sha256: String,
    /// Training rows.
    pub rows: u64,
    /// Weights of the network.
    pub parameters: u64,
    /// What its weights were before the first step, where they were taken from another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<RunStart>,
    /// Which part of a backtest it was, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<RunFold>,
    /// Epochs, at most.
    pub epochs_max: u64,
    /// The leading metric in [`EpochRecord::metrics`].
    pub metric: String,
    /// The epochs after which it went on after a stop or a kill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed_after: Vec<u64>,
    /// Every epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_epoch: Option<u64>,
    /// The metrics on the test rows, of the kept weights.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test: BTreeMap<String, f64>,
    /// The version that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Where a run took its first weights from, and what became of each layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStart {
    /// The model: a version as in `digits version 3`, or a folder.
    pub from: String,
    /// The digest of its files.
    pub digest: String,
    /// The layers whose weights were taken over.
    pub taken: Vec<String>,
    /// The layers whose weights were drawn anew.
    pub anew: Vec<String>,
    /// The layers that training did not move.
    pub frozen: Vec<String>,
}

/// One training of a backtest, which publishes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFold {
    /// Its number, from 1.
    pub number: u64,
    /// How many there are.
    pub of: u64,
    /// The time from which on it was judged.
    pub origin: String,
}

impl fmt::Display for RunFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {} of {}, {}", self.number, self.of, self.origin)
    }
}

impl fmt::Display for RunStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: took over {}", self.from, self.taken.join(", "))?;
        for (what, layers) in [("drawn anew", &self.anew), ("frozen", &self.frozen)] {
            if !layers.is_empty() {
                write!(f, "; {what}: {}", layers.join(", "))?;
            }
        }
        Ok(())
    }
}

/// How an epoch went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean training loss.
    pub loss: f64,
    /// The mean loss on the validation rows; none where there are none.
    pub validation_loss: Option<f64>,
    /// The leading metric on the validation rows; none where there are none or it is undefined.
    pub metric: Option<f64>,
    /// Every metric that is defined on the validation rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Whether this is the best epoch so far, by what early stopping watches.
    pub best: bool,
    /// The learning rate of the last step.
    pub learning_rate: f32,
    /// Training rows a second, without the validation.
    pub rows_per_second: f64,
    /// The time of the epoch, validation included; seconds in JSON.
    #[serde(rename = "seconds", serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub elapsed: Duration,
}

fn to_seconds<S: Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(elapsed.as_secs_f64())
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

impl RunRecord {
    /// What the document is called in messages; it stands in a table.
    pub const FILE: &'static str = "the record of a run";

    /// Reads the document.
    ///
    /// # Errors
    /// Where the bytes are not a record of a known format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        read(Self::FILE, FORMAT_VERSION, bytes)
    }

    /// The document's text.
    pub fn to_json(&self) -> String {
        write(FORMAT_VERSION, self)
    }

    /// The time spent in epochs.
    pub fn training_time(&self) -> Duration {
        self.epochs.iter().map(|epoch| epoch.elapsed).sum()
    }
}
