//! Immutable files under keys such as `digits/3f2a…/model.onnx`, over the `object_store` crate (a local
//! folder for now). A file appears whole or not at all, is never overwritten, and is on the disk when its
//! writing is acknowledged.

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::StorageError;

/// A tree of immutable files.
#[derive(Clone, Debug)]
pub struct Artifacts {
    root: PathBuf,
    objects: Arc<dyn ObjectStore>,
}

/// One file as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The last part of its key.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Artifacts {
    /// The files under this folder, which must exist.
    ///
    /// # Errors
    /// Where the folder cannot be opened.
    pub fn open(root: &FilePath) -> Result<Self, StorageError> {
        let local = LocalFileSystem::new_with_prefix(root)
            .map_err(|source| StorageError::object(root, source))?
            .with_fsync(true);
        Ok(Self { root: root.to_owned(), objects: Arc::new(local) })
    }

    /// Writes a new file and flushes it, and the folders made for it, to the disk.
    ///
    /// # Errors
    /// [`StorageError::Exists`] where the key is taken; [`StorageError::DiskFull`] and others where the
    /// bytes cannot be written: nothing is visible under the key then.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<(), StorageError> {
        let path = parse(key)?;
        let put = self.objects.put_opts(&path, PutPayload::from_bytes(bytes), PutMode::Create.into());
        put.await.map(drop).map_err(|source| StorageError::object(&self.file(key), source))
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`StorageError::Missing`] where there is none.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let failed = |source| StorageError::object(&self.file(key), source);
        self.objects.get(&parse(key)?).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    /// The files directly in a folder, by name; none where the folder is not there.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub async fn list(&self, folder: &str) -> Result<Vec<Artifact>, StorageError> {
        let listed = self.list_folder(folder).await?;
        let artifact = |meta: object_store::ObjectMeta| {
            Some(Artifact { name: meta.location.filename()?.to_owned(), size: meta.size })
        };
        let mut found: Vec<Artifact> = listed.objects.into_iter().filter_map(artifact).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The names of the folders directly in a folder (`""` for the root), in order.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let listed = self.list_folder(folder).await?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok(listed.common_prefixes.iter().filter_map(name).collect())
    }

    /// Removes a folder with all that is in it, half-written files that listings hide included.
    ///
    /// # Errors
    /// Where something in it cannot be removed. A folder that is not there is no error.
    pub async fn delete_folder(&self, folder: &str) -> Result<(), StorageError> {
        assert!(!folder.is_empty(), "the root is not to be deleted");
        parse(folder)?;
        let path = self.file(folder);
        let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(StorageError::io(&path, source)),
            _ => Ok(()),
        });
        removed.await.expect("removing a folder does not panic")
    }

    /// Removes a folder that nothing is in; one that holds something stays.
    ///
    /// # Errors
    /// Where the folder cannot be read or removed.
    pub fn delete_empty_folder(&self, folder: &str) -> Result<(), StorageError> {
        parse(folder)?;
        let path = self.file(folder);
        match std::fs::remove_dir(&path) {
            Err(source) if !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(StorageError::io(&path, source))
            }
            _ => Ok(()),
        }
    }

    /// Where on this machine a key is kept, for messages.
    pub fn file(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    async fn list_folder(&self, folder: &str) -> Result<object_store::ListResult, StorageError> {
        let prefix = parse(folder)?;
        let listed = self.objects.list_with_delimiter(Some(&prefix)).await;
        listed.map_err(|source| StorageError::object(&self.file(folder), source))
    }
}

fn parse(key: &str) -> Result<Path, StorageError> {
    Path::parse(key).map_err(|source| StorageError::BadKey { key: key.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let artifacts = Artifacts::open(folder.path()).expect("opens");
        (folder, artifacts)
    }

    #[tokio::test]
    async fn a_file_reads_back_and_is_never_overwritten() {
        let (_folder, artifacts) = artifacts();
        artifacts.create("m/1/a.bin", Bytes::from_static(b"one")).await.expect("written");
        let again = artifacts.create("m/1/a.bin", Bytes::from_static(b"two")).await.expect_err("taken");
        assert_eq!(again.kind(), modelyard_types::ErrorKind::AlreadyExists);
        assert_eq!(artifacts.get("m/1/a.bin").await.expect("there"), Bytes::from_static(b"one"));
    }

    #[tokio::test]
    async fn listings_name_files_and_folders_and_a_missing_folder_is_empty() {
        let (_folder, artifacts) = artifacts();
        for key in ["m/1/b", "m/1/a", "m/2/a", "n/1/a"] {
            artifacts.create(key, Bytes::from_static(b"four")).await.expect("written");
        }
        assert_eq!(artifacts.folders("").await.expect("listed"), ["m", "n"]);
        assert_eq!(artifacts.folders("m").await.expect("listed"), ["1", "2"]);
        let names = |size| ["a", "b"].map(|name| Artifact { name: name.to_owned(), size });
        assert_eq!(artifacts.list("m/1").await.expect("listed"), names(4));
        assert_eq!(artifacts.list("nowhere").await.expect("listed"), []);
    }

    #[tokio::test]
    async fn a_deleted_folder_takes_half_written_files_with_it() {
        let (folder, artifacts) = artifacts();
        artifacts.create("m/1/a", Bytes::from_static(b"a")).await.expect("written");
        // The name under which the object store stages what it has not finished.
        std::fs::write(folder.path().join("m/1/b#1"), b"half").expect("written");
        artifacts.delete_folder("m/1").await.expect("removed");
        artifacts.delete_folder("m/1").await.expect("gone is fine");
        assert!(!folder.path().join("m/1").exists());
        let missing = artifacts.get("m/1/a").await.expect_err("gone");
        assert_eq!(missing.kind(), modelyard_types::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn keys_cannot_leave_the_folder() {
        let (_folder, artifacts) = artifacts();
        for key in ["../x", "a/../../x", "a//b", "."] {
            let refused = artifacts.create(key, Bytes::new()).await.expect_err(key);
            assert_eq!(refused.kind(), modelyard_types::ErrorKind::InvalidArgument, "{key}");
            assert!(artifacts.delete_folder(key).await.is_err(), "{key}");
        }
    }
}
