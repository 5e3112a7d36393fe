//! Collecting what killed processes left behind: folders of artifacts that no version owns.
//!
//! Publishers share a lock that dies with them, and the collector takes it alone: while it is held,
//! nobody is publishing, so a folder without a row can never become a version. No age has to be guessed.

use std::collections::BTreeSet;

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
        let owned: BTreeSet<String> = self.read().await?.folders().await?.into_iter().collect();
        let artifacts = &self.store().artifacts;
        let mut removed = Vec::new();
        for model in artifacts.folders("").await? {
            let mut keep_model = false;
            for attempt in artifacts.folders(&model).await? {
                let folder = format!("{model}/{attempt}");
                if owned.contains(&folder) {
                    keep_model = true;
                    continue;
                }
                artifacts.delete_folder(&folder).await?;
                removed.push(folder);
            }
            if !keep_model {
                artifacts.delete_folder(&model).await?;
            }
        }
        drop(alone);
        Ok(Collected::Removed(removed))
    }
}
