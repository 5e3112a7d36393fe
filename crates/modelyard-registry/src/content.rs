//! What makes a version's content addressable: the canonical manifest of its files and the digest over it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::RegistryError;
use crate::version::FileFault;

/// The manifest's own name in the version's folder; `sha256sum manifest.json` gives the version's digest.
pub const MANIFEST: &str = "manifest.json";
const FORMAT_VERSION: u32 = 1;
const NAME_BYTES_MAX: usize = 100;
const FILES_MAX: usize = 1000;

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

impl FileEntry {
    fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), sha256: sha256_hex(bytes), size: bytes.len() as u64 }
    }

    /// How these bytes differ from what was published.
    pub(crate) fn fault(&self, bytes: &[u8]) -> Option<FileFault> {
        let got = bytes.len() as u64;
        if got != self.size {
            return Some(FileFault::WrongSize { want: self.size, got });
        }
        (sha256_hex(bytes) != self.sha256).then_some(FileFault::Changed)
    }
}

/// The names, sizes and hashes of a version's files, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format_version: u32,
    files: Vec<FileEntry>,
}

impl Manifest {
    /// The manifest of these files.
    ///
    /// # Errors
    /// [`RegistryError::BadFiles`] where there is none, there are too many, or a name is not plain.
    pub fn of(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, RegistryError> {
        if files.is_empty() || files.len() > FILES_MAX {
            let why = format!("a version has 1 to {FILES_MAX} files, not {}", files.len());
            return Err(RegistryError::BadFiles { why });
        }
        for name in files.keys() {
            check_name(name)?;
        }
        Ok(Self::from_entries(files.iter().map(|(name, bytes)| FileEntry::of(name, bytes)).collect()))
    }

    /// The manifest that lists these files.
    pub(crate) fn from_entries(mut files: Vec<FileEntry>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Self { format_version: FORMAT_VERSION, files }
    }

    /// The canonical text: compact JSON, keys and files in a fixed order.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("names and numbers always make JSON").into()
    }

    /// SHA-256 of the canonical text, in lower-case hexadecimal: the version's digest.
    pub fn digest(&self) -> String {
        sha256_hex(&self.to_bytes())
    }

    /// The files.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The files, taken out.
    pub(crate) fn into_files(self) -> Vec<FileEntry> {
        self.files
    }
}

/// A name that every file system holds and that cannot leave the folder.
fn check_name(name: &str) -> Result<(), RegistryError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let good = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(plain)
        && !name.starts_with('.')
        && name != MANIFEST;
    if good {
        return Ok(());
    }
    let why = format!("{name:?} cannot be the name of a version's file");
    Err(RegistryError::BadFiles { why })
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_canonical_text_never_changes() {
        let manifest = Manifest::of(&files(&[("b.json", "{}"), ("a.txt", "abc")])).expect("good names");
        let text = concat!(
            r#"{"format_version":1,"files":[{"name":"a.txt","sha256":"ba7816bf8f01cfea414140de5dae2223b003"#,
            r#"61a396177a9cb410ff61f20015ad","size":3},{"name":"b.json","sha256":"44136fa355b3678a1"#,
            r#"146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}"#
        );
        assert_eq!(manifest.to_bytes(), text.as_bytes());
        assert_eq!(manifest.digest(), sha256_hex(text.as_bytes()));
    }

    #[test]
    fn names_and_bytes_both_count() {
        let digest = |list: &[(&str, &str)]| Manifest::of(&files(list)).expect("good names").digest();
        let one = digest(&[("a", "x"), ("b", "y")]);
        assert_eq!(one, digest(&[("b", "y"), ("a", "x")]));
        for other in [&[("a", "y"), ("b", "x")][..], &[("a", "x")], &[("a", "x"), ("c", "y")]] {
            assert_ne!(one, digest(other));
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", ".x", "../x", "a/b", "a b", "a#1", "manifest.json", &"x".repeat(101)] {
            assert!(Manifest::of(&files(&[(name, "")])).is_err(), "{name:?} was taken");
        }
        assert!(Manifest::of(&BTreeMap::new()).is_err());
    }

    #[test]
    fn a_fault_says_what_differs() {
        let entry = FileEntry::of("a", b"abc");
        assert_eq!(entry.fault(b"abc"), None);
        assert_eq!(entry.fault(b"ab"), Some(FileFault::WrongSize { want: 3, got: 2 }));
        assert_eq!(entry.fault(b"abd"), Some(FileFault::Changed));
    }
}
