//! A folder of plain files, each of which is replaced whole: a reader, or whoever comes after a crash, sees the
//! old bytes or the new ones. For what belongs to one process at a time, such as the checkpoints of a run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::StorageError;

/// How a file is called while it is written.
const UNFINISHED: &str = ".unfinished";

/// A folder with files directly in it.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at this path, made where it is new.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(path: PathBuf) -> Result<Self, StorageError> {
        fs::create_dir_all(&path).map_err(|source| StorageError::io(&path, source))?;
        Ok(Self { path })
    }

    /// The folder at this path, there or not: to read in, without making it.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Removes what killed processes left half written. Only for whoever is alone to write here.
    ///
    /// # Errors
    /// Where the folder cannot be read or a file in it not removed.
    pub fn clear_unfinished(&self) -> Result<(), StorageError> {
        let failed = |source| StorageError::io(&self.path, source);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
                fs::remove_file(&path).map_err(|source| StorageError::io(&path, source))?;
            }
        }
        Ok(())
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file, and has it on the disk before its name is changed to this one.
    ///
    /// # Errors
    /// [`StorageError::DiskFull`] and others; a file of this name is then as it was.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let written = self.replace(&unfinished, name, bytes);
        if written.is_err() {
            // The first error is the one to tell; what cannot be removed is overwritten by the next writing.
            let _ = fs::remove_file(&unfinished);
        }
        written.map_err(|source| StorageError::io(&self.path.join(name), source))
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// [`StorageError::Missing`] where there is none.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, StorageError> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StorageError::Missing { path },
            _ => StorageError::io(&path, source),
        })
    }

    /// The names of all finished files, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StorageError> {
        let failed = |source| StorageError::io(&self.path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !name.ends_with(UNFINISHED) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), StorageError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StorageError::io(&path, source)),
            _ => Ok(()),
        }
    }

    fn replace(&self, unfinished: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(unfinished, self.path.join(name))?;
        if cfg!(unix) {
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use modelyard_types::ErrorKind;

    use super::*;

    #[test]
    fn files_are_replaced_whole_and_unfinished_ones_are_not_listed() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(temporary.path().join("deep/down")).expect("made");
        folder.write("b", b"old").expect("written");
        folder.write("b", b"new").expect("written");
        folder.write("a", b"").expect("written");
        fs::write(folder.path().join("c.unfinished"), b"half").expect("written");
        assert_eq!(folder.names().expect("listed"), ["a", "b"]);
        folder.clear_unfinished().expect("cleared");
        assert!(!folder.path().join("c.unfinished").exists() && folder.path().join("b").exists());
        assert_eq!(folder.read("b").expect("there"), b"new");
        folder.remove("b").expect("removed");
        folder.remove("b").expect("gone is fine");
        assert_eq!(folder.read("b").expect_err("gone").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(temporary.path().to_owned()).expect("made");
        fs::create_dir(folder.path().join("taken")).expect("made");
        assert!(folder.write("taken", b"bytes").is_err());
        assert_eq!(folder.names().expect("listed"), ["taken"]);
    }
}
