//! Bytes and tables on disk: the only crate that opens a database or an object store.
//!
//! [`Store::open`] lays out one folder with a SQLite file ([`Tables`]) and a tree of immutable artifacts
//! ([`Artifacts`]). What either of them acknowledges has been flushed to the disk. What the rows and files
//! mean belongs to the crates above.

mod artifacts;
mod error;
mod folder;
mod lock;
mod open;
mod tables;

pub use artifacts::{Artifact, Artifacts};
pub use error::StorageError;
pub use folder::Folder;
pub use lock::{FileLock, LockFile};
pub use open::Store;
pub use tables::{Migrations, Tables};
