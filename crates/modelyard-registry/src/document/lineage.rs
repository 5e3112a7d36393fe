//! `lineage.json`: what went into a version, so that it can be made again and be held to account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DocumentError, read, write};

const FORMAT_VERSION: u32 = 1;

/// Where a version comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// SHA-256 of the data, in hexadecimal; none for imported models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// SHA-256 of the project file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_sha256: Option<String>,
    /// One value over everything that decides the outcome: equal means that nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The file a foreign model was brought in from; or, where training started from the weights of another model,
    /// that model's version or folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The seed of the training run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The version of the same model that training started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Name and version of the program.
    pub program: String,
    /// The machine it ran on.
    pub machine: Machine,
    /// When, in milliseconds since 1970 (UTC).
    pub created_unix_ms: u64,
}

/// What of a machine decides speed and the last bits of a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The operating system.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// How many threads were used.
    pub threads: u32,
}

impl Lineage {
    /// The file's name in a version.
    pub const FILE: &'static str = "lineage.json";

    /// Reads the document.
    ///
    /// # Errors
    /// Where the bytes are not a lineage of a known format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        read(Self::FILE, FORMAT_VERSION, bytes)
    }

    /// The document's text.
    pub fn to_json(&self) -> String {
        write(FORMAT_VERSION, self)
    }

    /// Every field that has a value, as text, for comparing.
    pub(crate) fn fields(&self) -> BTreeMap<&'static str, String> {
        let number = |number: u64| number.to_string();
        let fields = [
            ("data_sha256", self.data_sha256.clone()),
            ("project_sha256", self.project_sha256.clone()),
            ("source", self.source.clone()),
            ("seed", self.seed.map(number)),
            ("parent", self.parent.map(number)),
            ("program", Some(self.program.clone())),
            ("os", Some(self.machine.os.clone())),
            ("arch", Some(self.machine.arch.clone())),
            ("threads", Some(self.machine.threads.to_string())),
            ("created_unix_ms", Some(number(self.created_unix_ms))),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_reads_back_with_its_largest_seed() {
        let written = Lineage {
            seed: Some(u64::MAX),
            data_sha256: Some("00ff".to_owned()),
            program: "modelyard 0.1.0".to_owned(),
            created_unix_ms: 1_700_000_000_000,
            ..Lineage::default()
        };
        assert_eq!(Lineage::from_json(written.to_json().as_bytes()).expect("our own text"), written);
        assert!(!written.fields().contains_key("parent"));
    }
}
