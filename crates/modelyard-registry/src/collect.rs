//! Collecting what killed processes left behind: folders that were recorded as an attempt to publish and became
//! no version. A folder that nobody recorded is left alone: after an older backup of the database was put back,
//! it may hold a version that only its files remember.
//!
//! Publishers share a lock that dies with them, and the collector takes it alone: while it is held,
//! nobody is publishing, so an attempt can never become a version. No age has to be guessed.

use crate::RegistryError;
use crate::registry::Registry;

/// What a collection did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collected {
    /// These folders (relative to `versions/`) were removed; mostly none.
    Removed(Vec<String>),
    /// Somebody is publishing right now, so nothing was touched.
    Publishing,
}

impl Registry {
    /// Removes the leftovers of killed processes, unless somebody is publishing right now.
    ///
    /// # Errors
    /// Where the store cannot be read or a folder cannot be removed.
    pub async fn collect(&self) -> Result<Collected, RegistryError> {
        let Some(alone) = self.store().publishing.try_exclusive()? else {
            return Ok(Collected::Publishing);
        };
        let attempts = self.read().await?.attempts().await?;
        let mut removed = Vec::new();
        for folder in attempts {
            if self.read().await?.owns(&folder).await? {
                self.end_attempt(&folder).await?;
            } else {
                self.remove_attempt(&folder).await?;
                removed.push(folder);
            }
        }
        drop(alone);
        Ok(Collected::Removed(removed))
    }

    /// Removes the folder of an attempt, and its model's where nothing else is in it.
    pub(crate) async fn remove_attempt(&self, folder: &str) -> Result<(), RegistryError> {
        let artifacts = &self.store().artifacts;
        artifacts.delete_folder(folder).await?;
        if let Some((model, _)) = folder.rsplit_once('/') {
            artifacts.delete_empty_folder(model)?;
        }
        self.end_attempt(folder).await
    }

    /// Forgets an attempt, its folder being no leftover or gone.
    pub(crate) async fn end_attempt(&self, folder: &str) -> Result<(), RegistryError> {
        let mut rows = self.write().await?;
        rows.end_attempt(folder).await?;
        rows.commit_quietly().await
    }
}
