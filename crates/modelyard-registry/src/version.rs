//! What the registry hands out: versions, summaries of models, and the checked files of one version.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use modelyard_types::{Alias, ModelName, Version};

use crate::content::FileEntry;

/// Where a version came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Trained by this program from a project.
    Trained,
    /// Brought in as a finished model.
    Imported,
}

impl Origin {
    /// The stable name, as the database and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Imported => "imported",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Origin {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Trained, Self::Imported]
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no origin; known are trained and imported"))
    }
}

/// One registered version of a model. It never changes, except for the aliases that point at it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelVersion {
    /// The model.
    pub name: ModelName,
    /// Its number.
    pub version: Version,
    /// SHA-256 of the manifest of its files, in lower-case hexadecimal.
    pub digest: String,
    /// When it was published, in milliseconds since 1970 (UTC).
    pub created_unix_ms: u64,
    /// Who published it.
    pub by: String,
    /// Where it came from.
    pub origin: Origin,
    /// Whether it passed every gate of its project.
    pub gates_passed: bool,
    /// The version that training started from, or that it replaces.
    pub parent: Option<Version>,
    /// A few numbers for listings, as the publisher gave them.
    pub summary: serde_json::Value,
    /// Its files, by name.
    pub files: Vec<FileEntry>,
    /// The aliases that point at it now, by name.
    pub aliases: Vec<Alias>,
}

impl ModelVersion {
    /// The size of all files together.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Whether it has a file of this name.
    pub fn has_file(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

/// One model as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSummary {
    /// The model.
    pub name: ModelName,
    /// How many versions it has.
    pub versions: u64,
    /// The newest one.
    pub latest: Version,
    /// When the newest one was published, in milliseconds since 1970 (UTC).
    pub latest_created_unix_ms: u64,
    /// Its aliases and what they point at, by name.
    pub aliases: Vec<(Alias, Version)>,
}

/// The bytes of a version's files, checked against its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionFiles {
    files: BTreeMap<String, Bytes>,
}

impl VersionFiles {
    pub(crate) fn new(files: BTreeMap<String, Bytes>) -> Self {
        Self { files }
    }

    /// The bytes of a file, where the version has it.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// All files, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes))
    }

    /// All files, taken out.
    pub fn into_map(self) -> BTreeMap<String, Bytes> {
        self.files
    }
}

/// How a stored file differs from what was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// It is not there.
    Missing,
    /// It is shorter or longer.
    WrongSize {
        /// Bytes published.
        want: u64,
        /// Bytes found.
        got: u64,
    },
    /// It has the right size but other bytes.
    Changed,
    /// It is there but was never published.
    Unexpected,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is missing"),
            Self::WrongSize { want, got } => write!(f, "it has {got} bytes, {want} were published"),
            Self::Changed => f.write_str("its bytes are not those that were published"),
            Self::Unexpected => f.write_str("it was never published"),
        }
    }
}

/// What a full check of one version found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// The version checked.
    pub version: Version,
    /// Its digest.
    pub digest: String,
    /// How many files were read.
    pub files: usize,
    /// How many bytes they have together.
    pub bytes: u64,
    /// The files at fault; empty when all is well.
    pub faults: Vec<(String, FileFault)>,
}

impl VerifyReport {
    /// Whether every file is as it was published.
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}
