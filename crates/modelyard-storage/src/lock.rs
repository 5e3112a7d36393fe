//! A lock between processes that the operating system lets go of when its holder dies, so that a killed
//! process never leaves it behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

use crate::StorageError;

/// The path of a lock; each locking opens it anew, so that two users in one process exclude each other too.
#[derive(Clone, Debug)]
pub struct LockFile {
    path: PathBuf,
}

/// The lock while it is held; dropping it lets go.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl LockFile {
    /// The lock at this path; the file is made when it is first taken.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Takes the lock together with other sharers, waiting for an exclusive holder to be done.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub async fn shared(&self) -> Result<FileLock, StorageError> {
        self.blocking(File::lock_shared).await
    }

    /// Takes the lock alone, waiting for every other holder to be done.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub async fn exclusive(&self) -> Result<FileLock, StorageError> {
        self.blocking(File::lock).await
    }

    /// Takes the lock alone if nobody holds it now.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub fn try_exclusive(&self) -> Result<Option<FileLock>, StorageError> {
        let file = self.open()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(StorageError::io(&self.path, source)),
        }
    }

    /// Whether somebody holds the lock alone. A lock that was never taken is not made, and this look at it shares
    /// it for a moment only.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub fn is_held(&self) -> Result<bool, StorageError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StorageError::io(&self.path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(StorageError::io(&self.path, source)),
        }
    }

    async fn blocking(&self, lock: fn(&File) -> std::io::Result<()>) -> Result<FileLock, StorageError> {
        let this = self.clone();
        let locked = tokio::task::spawn_blocking(move || {
            let file = this.open()?;
            lock(&file).map_err(|source| StorageError::io(&this.path, source))?;
            Ok(FileLock { _file: file })
        });
        locked.await.expect("taking a lock does not panic")
    }

    fn open(&self) -> Result<File, StorageError> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(|source| StorageError::io(&self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looking_at_a_lock_neither_makes_nor_keeps_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.lock");
        let lock = LockFile::new(path.clone());
        assert!(!lock.is_held().expect("looked"));
        assert!(!path.exists());
        let held = lock.exclusive().await.expect("taken");
        assert!(lock.is_held().expect("looked"));
        drop(held);
        assert!(!lock.is_held().expect("looked"));
        assert!(lock.try_exclusive().expect("tried").is_some());
    }
}
