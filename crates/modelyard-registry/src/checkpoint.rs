//! The checkpoints of a run: files that appear whole or not at all, each known by its digest.

use std::path::Path;

use modelyard_storage::{Folder, StorageError};

use crate::RegistryError;
use crate::content::sha256_hex;

/// The folder of a run's checkpoints; whoever has the run open writes them.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: Folder,
    keep: usize,
}

/// One checkpoint in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    /// Steps done when it was written.
    pub step: u64,
    /// The file's name: the step and the digest of the bytes.
    pub name: String,
}

const FOLDER: &str = "checkpoints";
const ENDING: &str = ".checkpoint";

impl Checkpoints {
    /// The checkpoints in a run's folder, of which the newest `keep` stay; at least 1. What a killed process left
    /// half written goes.
    ///
    /// # Errors
    /// Where their folder cannot be made.
    pub fn open(run: &Path, keep: usize) -> Result<Self, RegistryError> {
        let folder = Folder::open(run.join(FOLDER))?;
        folder.clear_unfinished()?;
        Ok(Self { folder, keep: keep.max(1) })
    }

    /// Whether there is a checkpoint in a run's folder.
    pub(crate) fn any_in(run: &Path) -> Result<bool, RegistryError> {
        match Folder::at(run.join(FOLDER)).names() {
            Ok(names) => Ok(names.iter().any(|name| name.ends_with(ENDING))),
            Err(StorageError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps a checkpoint, on the disk, and then removes those that are too many.
    ///
    /// # Errors
    /// Where it cannot be written (such as on a full disk); the older ones are all still there then.
    pub fn save(&self, step: u64, bytes: &[u8]) -> Result<(), RegistryError> {
        let name = format!("{step:012}-{}{ENDING}", sha256_hex(bytes));
        self.folder.write(&name, bytes)?;
        for old in self.newest_first()?.into_iter().filter(|file| file.name != name).skip(self.keep - 1) {
            self.folder.remove(&old.name)?;
        }
        Ok(())
    }

    /// All checkpoints, newest first.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn newest_first(&self) -> Result<Vec<CheckpointFile>, RegistryError> {
        let file = |name: String| {
            let step = name.strip_suffix(ENDING)?.split_once('-')?.0.parse().ok()?;
            Some(CheckpointFile { step, name })
        };
        let mut files: Vec<CheckpointFile> = self.folder.names()?.into_iter().filter_map(file).collect();
        files.reverse();
        Ok(files)
    }

    /// The bytes of a checkpoint; none where they are not those that were written.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn load(&self, file: &CheckpointFile) -> Result<Option<Vec<u8>>, RegistryError> {
        match self.folder.read(&file.name) {
            Ok(bytes) => Ok(file.name.contains(&sha256_hex(&bytes)).then_some(bytes)),
            Err(StorageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps weights that were still good when training diverged, beside the checkpoints.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn save_weights(&self, file: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        Ok(self.folder.write(file, bytes)?)
    }

    /// Removes all checkpoints of a run that needs them no more.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn clear(&self) -> Result<(), RegistryError> {
        for file in self.newest_first()? {
            self.folder.remove(&file.name)?;
        }
        Ok(())
    }
}
