//! What can go wrong with a store on disk, and what its owner can do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use modelyard_types::ErrorKind;

/// A store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The path of the store is taken by something that is not a folder.
    #[error("{} is a file; a store is a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The operating system forbids it.
    #[error("{} may not be written", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space is left, or a quota or file size limit was reached.
    #[error("the disk is full: {} could not be written", path.display())]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// What the system or the database said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there already, and artifacts are never overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A key that could leave the store's folder or that the file system cannot hold.
    #[error("{key:?} cannot be an artifact's key")]
    BadKey {
        /// The key.
        key: String,
        /// Why not.
        source: object_store::path::Error,
    },
    /// The tables were laid out by a newer program.
    #[error(
        "{} was written by a newer modelyard: its {owner} tables are of version {found}, \
         this program knows them up to {known}",
        path.display()
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Which crate's tables.
        owner: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// There are files of versions, and no database that knows them.
    #[error("{} has the files of versions, and their database {} is missing or empty", versions.display(), database.display())]
    DatabaseLost {
        /// The folder of the files.
        versions: PathBuf,
        /// The database file.
        database: PathBuf,
    },
    /// Another process kept the database locked for longer than we wait.
    #[error("{} stayed locked by another process", path.display())]
    Busy {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database file is damaged or is no database.
    #[error("{} is damaged or not a modelyard store", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// Any other failure of the database.
    #[error("the tables in {} could not be used", path.display())]
    Tables {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// Any other failure of the file system.
    #[error("{} could not be used", path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StorageError {
    /// Sorts a failure of the file system into the kinds above.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            kind if is_full(kind) => Self::DiskFull { path, source: source.into() },
            _ => Self::Files { path, source: source.into() },
        }
    }

    /// Sorts a failure of the object store into the kinds above.
    pub(crate) fn object(path: &Path, source: object_store::Error) -> Self {
        let path = path.to_owned();
        match source {
            object_store::Error::NotFound { .. } => return Self::Missing { path },
            object_store::Error::AlreadyExists { .. } => return Self::Exists { path },
            _ => {}
        }
        match io_kind(&source) {
            Some(kind) if is_full(kind) => Self::DiskFull { path, source: source.into() },
            Some(kind @ (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)) => {
                Self::NotWritable { path, source: io::Error::new(kind, source) }
            }
            _ => Self::Files { path, source: source.into() },
        }
    }

    /// Sorts a failure of the database in `path` into the kinds above.
    pub fn tables(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match sqlite_code(&source) {
            Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Busy { path, source },
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Damaged { path, source },
            Some(SQLITE_FULL | SQLITE_IOERR_SHMSIZE) => Self::DiskFull { path, source: source.into() },
            Some(SQLITE_READONLY | SQLITE_PERM) => {
                Self::NotWritable { path, source: io::Error::new(io::ErrorKind::PermissionDenied, source) }
            }
            _ if matches!(source, sqlx::Error::PoolTimedOut) => Self::Busy { path, source },
            _ => Self::Tables { path, source },
        }
    }

    /// The protocol-independent kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAFolder { .. } | Self::BadKey { .. } => ErrorKind::InvalidArgument,
            Self::NotWritable { .. } => ErrorKind::PermissionDenied,
            Self::DiskFull { .. } => ErrorKind::ResourceExhausted,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::TooNew { .. } | Self::DatabaseLost { .. } => ErrorKind::FailedPrecondition,
            Self::Busy { .. } => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::DataCorrupt,
            Self::Tables { .. } | Self::Files { .. } => ErrorKind::Internal,
        }
    }

    /// What the store's owner can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotAFolder { .. } => "choose another path for the store, or move the file away",
            Self::NotWritable { .. } => "check the folder's owner and permissions, or choose another store",
            Self::DiskFull { .. } => "free some space and try again; nothing was published",
            Self::TooNew { .. } => "use the modelyard that wrote it, or a newer one; nothing was changed",
            Self::DatabaseLost { .. } => {
                "put back a backup of the database, or move the folder of the store away to begin a new one; \
                 nothing was changed"
            }
            Self::Busy { .. } => "try again when the other modelyard process is done",
            Self::Damaged { .. } => {
                "restore the store from a backup; the files under versions/ are untouched"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

const SQLITE_PERM: u32 = 3;
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_NOTADB: u32 = 26;
/// The file that connections share could not grow.
const SQLITE_IOERR_SHMSIZE: u32 = 4874;

/// The primary result code (<https://sqlite.org/rescode.html>), which is the low byte of the extended one;
/// the extended one where only it tells that the disk is full.
fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(if code == SQLITE_IOERR_SHMSIZE { code } else { code & 0xff })
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The kind of the first [`io::Error`] in the chain of causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
