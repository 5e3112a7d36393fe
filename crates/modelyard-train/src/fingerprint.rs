//! Digests that tell whether anything has changed since a version was trained.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::project::Project;

/// One value over everything that decides what training makes: the program, the project file, the data, and the digest
/// of the model that it starts from, where it does. Equal fingerprints mean that training again would give the same
/// model.
pub fn fingerprint(project: &Project, data_sha256: &str, start: Option<&str>, program: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["modelyard fingerprint 1", program, data_sha256, project.text()].into_iter().chain(start) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// SHA-256 over the names and bytes of all data files, those that cells name included, in hexadecimal. Names count relative to the project's folder,
/// so that a moved project keeps its digest.
///
/// # Errors
/// Where a file is missing or cannot be read.
pub fn data_digest(project: &Project) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    let mut files = modelyard_data::source_files(project.data(), project.folder())?;
    files.extend(modelyard_data::named_files(project.data(), project.folder(), &project.pipeline())?);
    for path in files {
        let name = path.strip_prefix(project.folder()).unwrap_or(&path);
        let digest =
            file_digest(&path).map_err(|source| TrainError::Unreadable { path: path.clone(), source })?;
        hash.update(format!("{digest}  {}\n", name.display()));
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 of the project file, in hexadecimal.
pub fn project_digest(project: &Project) -> String {
    text_digest(project.text())
}

/// SHA-256 of a text, in hexadecimal.
pub(crate) fn text_digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn file_digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
