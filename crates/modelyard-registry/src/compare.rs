//! Two versions side by side: which files differ, how the scores moved, what went into each.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_types::{ModelName, VersionSelector};

use crate::document::{Lineage, Scores};
use crate::registry::Registry;
use crate::{ModelVersion, RegistryError};

/// How a file of one version relates to the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// The same bytes in both.
    Same,
    /// Other bytes.
    Changed,
    /// Only the first version has it.
    OnlyFirst,
    /// Only the second version has it.
    OnlySecond,
}

impl FileChange {
    /// The stable name, as JSON shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::OnlyFirst => "only_first",
            Self::OnlySecond => "only_second",
        }
    }
}

/// One file in the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDifference {
    /// The file's name.
    pub name: String,
    /// How it differs.
    pub change: FileChange,
}

/// One metric on one split in both versions.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreDifference {
    /// The split.
    pub split: String,
    /// The metric.
    pub metric: String,
    /// Its value in the first version, where it has one.
    pub first: Option<f64>,
    /// Its value in the second version, where it has one.
    pub second: Option<f64>,
}

/// One field of the lineage that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDifference {
    /// The field.
    pub field: &'static str,
    /// Its value in the first version, as text.
    pub first: Option<String>,
    /// Its value in the second version, as text.
    pub second: Option<String>,
}

/// Two versions of one model, side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The first version.
    pub first: ModelVersion,
    /// The second version.
    pub second: ModelVersion,
    /// Every file of either, by name.
    pub files: Vec<FileDifference>,
    /// Every metric of either, by split and name.
    pub scores: Vec<ScoreDifference>,
    /// What went into them, where it differs.
    pub lineage: Vec<FieldDifference>,
}

impl Registry {
    /// Compares two versions of a model. Versions without scores or lineage (imported ones) compare by
    /// what they have.
    ///
    /// # Errors
    /// Where one of them is not there, or its scores or lineage are damaged.
    pub async fn compare(
        &self,
        name: &ModelName,
        first: &VersionSelector,
        second: &VersionSelector,
    ) -> Result<Comparison, RegistryError> {
        let first = self.find(name, first).await?;
        let second = self.find(name, second).await?;
        let scores = scores(&self.scores(&first).await?, &self.scores(&second).await?);
        let lineage = lineage(self.lineage(&first).await?.as_ref(), self.lineage(&second).await?.as_ref());
        Ok(Comparison { files: files(&first, &second), scores, lineage, first, second })
    }

    async fn scores(&self, version: &ModelVersion) -> Result<Option<Scores>, RegistryError> {
        let bytes = self.load_file(version, Scores::FILE).await?;
        Ok(bytes.map(|bytes| Scores::from_json(&bytes)).transpose()?)
    }

    async fn lineage(&self, version: &ModelVersion) -> Result<Option<Lineage>, RegistryError> {
        let bytes = self.load_file(version, Lineage::FILE).await?;
        Ok(bytes.map(|bytes| Lineage::from_json(&bytes)).transpose()?)
    }
}

fn files(first: &ModelVersion, second: &ModelVersion) -> Vec<FileDifference> {
    let hashes = |version: &ModelVersion| -> BTreeMap<String, String> {
        version.files.iter().map(|file| (file.name.clone(), file.sha256.clone())).collect()
    };
    let (first, second) = (hashes(first), hashes(second));
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let difference = |name: &String| FileDifference {
        name: name.clone(),
        change: match (first.get(name), second.get(name)) {
            (Some(a), Some(b)) if a == b => FileChange::Same,
            (Some(_), Some(_)) => FileChange::Changed,
            (Some(_), None) => FileChange::OnlyFirst,
            (None, _) => FileChange::OnlySecond,
        },
    };
    names.into_iter().map(difference).collect()
}

fn scores(first: &Option<Scores>, second: &Option<Scores>) -> Vec<ScoreDifference> {
    let values = |scores: &Option<Scores>| -> BTreeMap<(String, String), f64> {
        let splits = scores.iter().flat_map(|scores| &scores.splits);
        let metrics = splits.flat_map(|(split, scored)| {
            scored.metrics.iter().map(|(metric, found)| ((split.clone(), metric.clone()), found.value))
        });
        metrics.collect()
    };
    let (first, second) = (values(first), values(second));
    let keys: BTreeSet<&(String, String)> = first.keys().chain(second.keys()).collect();
    let difference = |key: &(String, String)| ScoreDifference {
        split: key.0.clone(),
        metric: key.1.clone(),
        first: first.get(key).copied(),
        second: second.get(key).copied(),
    };
    keys.into_iter().map(difference).collect()
}

fn lineage(first: Option<&Lineage>, second: Option<&Lineage>) -> Vec<FieldDifference> {
    let fields = |lineage: Option<&Lineage>| lineage.map(Lineage::fields).unwrap_or_default();
    let (first, second) = (fields(first), fields(second));
    let names: BTreeSet<&'static str> = first.keys().chain(second.keys()).copied().collect();
    let difference = |field| FieldDifference {
        field,
        first: first.get(field).cloned(),
        second: second.get(field).cloned(),
    };
    names.into_iter().map(difference).filter(|found| found.first != found.second).collect()
}
