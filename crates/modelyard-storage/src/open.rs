//! Opens the folder that holds everything a project has registered, and says clearly why when it cannot.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Artifacts, LockFile, Migrations, StorageError, Tables};

/// A store's folder:
///
/// ```text
/// store.db          what is registered (SQLite, with -wal and -shm beside it while it is in use)
/// versions/         the artifacts
/// runs/             a folder for each training run: checkpoints, report ([`crate::Folder`])
/// open.lock         held while the layout is made or brought up to date
/// publishing.lock   shared by those who write artifacts, taken alone by who collects leftovers
/// ```
#[derive(Clone, Debug)]
pub struct Store {
    /// The rows.
    pub tables: Tables,
    /// The files.
    pub artifacts: Artifacts,
    /// Shared while artifacts are written whose rows are not committed yet.
    pub publishing: LockFile,
    path: PathBuf,
}

impl Store {
    /// Opens the store at `path`, laying it out where it is new, and brings the tables up to date.
    ///
    /// # Errors
    /// Where the path is a file, may not be written, is full, or was written by a newer program;
    /// [`StorageError::DatabaseLost`] where the tables would be new and versions have files already.
    pub async fn open(path: &Path, migrations: Migrations) -> Result<Self, StorageError> {
        make_folder(path)?;
        let versions = path.join("versions");
        make_folder(&versions)?;
        let opening = LockFile::new(path.join("open.lock")).exclusive().await?;
        let database = path.join("store.db");
        let is_new = !database.exists();
        let lost = || StorageError::DatabaseLost { versions: versions.clone(), database: database.clone() };
        let has_files = has_folders(&versions)?;
        if is_new && has_files {
            return Err(lost());
        }
        let tables = Tables::open(&database).await?;
        if has_files && tables.are_new().await? {
            tables.close().await;
            return Err(lost());
        }
        tables.migrate(migrations).await?;
        if is_new {
            sync_folder(path)?;
        }
        drop(opening);
        Ok(Self {
            tables,
            artifacts: Artifacts::open(&versions)?,
            publishing: LockFile::new(path.join("publishing.lock")),
            path: path.to_owned(),
        })
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make_folder(path: &Path) -> Result<(), StorageError> {
    match std::fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(source) => match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Err(StorageError::NotAFolder { path: first_file(path) })
            }
            _ => Err(StorageError::io(path, source)),
        },
    }
}

/// Whether there is a folder in this folder.
fn has_folders(path: &Path) -> Result<bool, StorageError> {
    let failed = |source| StorageError::io(path, source);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        if entry.and_then(|entry| entry.file_type()).map_err(failed)?.is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The part of the path that is a file, so that the message names what is in the way.
fn first_file(path: &Path) -> PathBuf {
    path.ancestors().find(|ancestor| ancestor.is_file()).unwrap_or(path).to_owned()
}

/// Makes the names in a folder durable, not only the files' contents.
fn sync_folder(path: &Path) -> Result<(), StorageError> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| StorageError::io(path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use modelyard_types::ErrorKind;

    use super::*;

    const NONE: Migrations = Migrations { owner: "test", scripts: &["CREATE TABLE a (x INTEGER) STRICT"] };

    #[tokio::test]
    async fn a_store_is_laid_out_once_and_opens_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deep/down/.modelyard");
        for _ in 0..2 {
            let store = Store::open(&path, NONE).await.expect("opens");
            assert!(path.join("store.db").is_file() && path.join("versions").is_dir());
            store.tables.close().await;
        }
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("store");
        std::fs::write(&file, "text").expect("written");
        for path in [file.clone(), file.join("below")] {
            let error = Store::open(&path, NONE).await.expect_err("a file");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert_eq!(error.to_string(), format!("{} is a file; a store is a folder", file.display()));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_folder_that_may_not_be_written_is_named() {
        // Even root may not make folders here.
        let error = Store::open(Path::new("/sys/modelyard"), NONE).await.expect_err("forbidden");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(error.hint().is_some());
    }

    #[tokio::test]
    async fn files_without_the_database_that_knows_them_are_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let version = folder.path().join("versions/digits/abc");
        std::fs::create_dir_all(&version).expect("made");
        let database = folder.path().join("store.db");
        let refused = async |what: &str| {
            let error = Store::open(folder.path(), NONE).await.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{what}: {error:?}");
            assert!(error.to_string().contains("store.db"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("backup")), "{what}");
            assert!(version.is_dir(), "{what}");
        };
        refused("missing").await;
        assert!(!database.exists(), "a backup can be put back");
        std::fs::write(&database, "").expect("written");
        refused("empty").await;
        refused("still empty").await;
    }

    #[tokio::test]
    async fn many_open_a_new_store_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store");
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { Store::open(&path, NONE).await.map(drop) })
            })
            .collect();
        for opener in openers {
            opener.await.expect("no panic").expect("opens");
        }
    }
}
