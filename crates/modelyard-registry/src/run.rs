//! Training runs: a record each in the table, and a folder for checkpoints and the report.
//!
//! While a process trains a run it holds the run's lock, which dies with it: a run that says it is running and
//! whose lock is free was interrupted.

use std::path::{Path, PathBuf};

use modelyard_storage::{FileLock, Folder, LockFile, StorageError};

use crate::RegistryError;
use crate::checkpoint::Checkpoints;
use crate::document::{RunRecord, RunStatus};
use crate::registry::Registry;

/// One run as the store shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its number in this store, from 1.
    pub id: u64,
    /// What is recorded of it.
    pub record: RunRecord,
}

/// A run that this process trains; nobody else can until it is dropped.
#[derive(Debug)]
pub struct OpenRun {
    id: u64,
    folder: Folder,
    _lock: FileLock,
}

/// The lock's name in a run's folder.
const LOCK: &str = "training.lock";
/// So often a lock is tried that somebody may only be looking at.
const LOOKS_MAX: usize = 100;
/// The report's name in a run's folder.
const REPORT: &str = "report.html";

impl OpenRun {
    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its checkpoints, of which the newest `keep` stay.
    ///
    /// # Errors
    /// Where their folder cannot be made.
    pub fn checkpoints(&self, keep: usize) -> Result<Checkpoints, RegistryError> {
        Checkpoints::open(self.folder.path(), keep)
    }

    /// Keeps the run's report.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_report(&self, html: &str) -> Result<PathBuf, RegistryError> {
        self.folder.write(REPORT, html.as_bytes())?;
        Ok(self.folder.path().join(REPORT))
    }
}

impl Registry {
    /// Records a new run, and opens it for this process.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn begin_run(&self, record: &RunRecord) -> Result<OpenRun, RegistryError> {
        let mut rows = self.write().await?;
        let id = rows.add_run(&record.project, &record.to_json()).await?;
        // The lock is held before anybody can see the record.
        let open = self.lock_run(id)?.ok_or(RegistryError::RunIsOpen { id })?;
        rows.commit_quietly().await?;
        Ok(open)
    }

    /// Opens a run that is there, to go on with it.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRun`], or [`RegistryError::RunIsOpen`] where a process is training it.
    pub async fn open_run(&self, id: u64) -> Result<OpenRun, RegistryError> {
        self.run(id).await?;
        for _ in 0..LOOKS_MAX {
            if let Some(open) = self.lock_run(id)? {
                return Ok(open);
            }
            // Whoever only looked whether the run is held lets go at once.
            tokio::task::yield_now().await;
        }
        Err(RegistryError::RunIsOpen { id })
    }

    /// Replaces the record of a run.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn save_run(&self, id: u64, record: &RunRecord) -> Result<(), RegistryError> {
        let mut rows = self.write().await?;
        rows.set_run(id, &record.to_json()).await?;
        rows.commit_quietly().await
    }

    /// One run.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRun`], or where the store cannot be read.
    pub async fn run(&self, id: u64) -> Result<Run, RegistryError> {
        let record = self.read().await?.run_record(id).await?;
        match record {
            Some(record) => self.stand(id, &record),
            None => {
                let newest = self.runs(1).await?.first().map(|run| run.id);
                Err(RegistryError::NoSuchRun { id, newest })
            }
        }
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn runs(&self, limit: u64) -> Result<Vec<Run>, RegistryError> {
        let records = self.read().await?.run_records(limit).await?;
        records.into_iter().map(|(id, record)| self.stand(id, &record)).collect()
    }

    /// The report of a run, where it has one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn run_report(&self, id: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        match Folder::at(self.run_folder(id)).read(REPORT) {
            Ok(html) => Ok(Some(html)),
            Err(StorageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a run has a checkpoint to go on from.
    ///
    /// # Errors
    /// Where its folder cannot be read.
    pub fn run_has_checkpoints(&self, id: u64) -> Result<bool, RegistryError> {
        Checkpoints::any_in(&self.run_folder(id))
    }

    fn run_folder(&self, id: u64) -> PathBuf {
        self.path().join("runs").join(id.to_string())
    }

    /// Opens a run's folder and takes its lock; none where somebody holds it.
    fn lock_run(&self, id: u64) -> Result<Option<OpenRun>, RegistryError> {
        let folder = Folder::open(self.run_folder(id))?;
        let lock = LockFile::new(folder.path().join(LOCK)).try_exclusive()?;
        Ok(lock.map(|lock| OpenRun { id, folder, _lock: lock }))
    }

    /// Reads a record, and looks whether a run that says it is running still is.
    fn stand(&self, id: u64, record: &str) -> Result<Run, RegistryError> {
        let mut record = RunRecord::from_json(record.as_bytes())?;
        let lock = || LockFile::new(self.run_folder(id).join(LOCK));
        if record.status == RunStatus::Running && !lock().is_held()? {
            record.status = RunStatus::Interrupted;
        }
        Ok(Run { id, record })
    }
}
