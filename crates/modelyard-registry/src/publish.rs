//! Publishing: first the folder is recorded as an attempt; then come the files, each flushed to the disk in a
//! folder of this attempt's own; then one commit that makes them a version. Killed before the commit, the folder
//! is a leftover that nobody sees and the next collection removes.

use std::collections::BTreeMap;

use bytes::Bytes;
use modelyard_storage::StorageError;
use modelyard_types::{Caller, ErrorKind, ModelName, Version};

use crate::content::{MANIFEST, Manifest};
use crate::registry::Registry;
use crate::tables::Rows;
use crate::{ModelVersion, Origin, RegistryError};

/// What is to become a version.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// The model, which is made where it is new.
    pub name: ModelName,
    /// The files, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Where they came from.
    pub origin: Origin,
    /// Whether every gate was passed; a version that missed one is registered but not promoted unasked.
    pub gates_passed: bool,
    /// A few numbers for listings.
    pub summary: serde_json::Value,
    /// The version that training started from.
    pub parent: Option<Version>,
    /// Who publishes.
    pub by: Caller,
}

impl Registry {
    /// Makes files a version with the next number. The same content as a version that the model has
    /// already is recognised: that version is returned (its files repaired where they were damaged), and
    /// no new number is used. Several processes may publish at once.
    ///
    /// # Errors
    /// [`RegistryError::BadFiles`], [`RegistryError::NoSuchParent`], [`RegistryError::OtherSpelling`],
    /// [`RegistryError::NameTaken`], or the store's error (such as a full disk); nothing is registered then.
    pub async fn publish(&self, new: NewVersion) -> Result<ModelVersion, RegistryError> {
        let (mut new, manifest) = hashed(new).await?;
        // Shared with other publishers; whoever collects leftovers waits until all are done.
        let publishing = self.store().publishing.shared().await?;
        if let Some(same) = self.intact_with(&new.name, &manifest.digest()).await? {
            return Ok(same);
        }
        self.check_parent(&new).await?;
        check_spelling(&mut self.read().await?, &new.name).await?;
        let folder = self.claim_folder(&new.name, &manifest).await?;
        let files = std::mem::take(&mut new.files);
        if let Err(error) = self.write_files(&folder, files).await {
            self.discard(&folder).await;
            return Err(error);
        }
        let published = self.commit(new, manifest, &folder).await;
        if matches!(&published, Err(error) if error.kind() == ErrorKind::ResourceExhausted) {
            self.discard(&folder).await;
        }
        drop(publishing);
        published
    }

    async fn write_files(&self, folder: &str, files: BTreeMap<String, Vec<u8>>) -> Result<(), RegistryError> {
        for (name, bytes) in files {
            self.store().artifacts.create(&format!("{folder}/{name}"), Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    /// After an error that leaves in doubt whether the commit reached the disk, the folder must stay: the
    /// next collection knows.
    async fn commit(
        &self,
        new: NewVersion,
        manifest: Manifest,
        folder: &str,
    ) -> Result<ModelVersion, RegistryError> {
        let digest = manifest.digest();
        let mut rows = self.write().await?;
        if let Some(same) = rows.version_of_digest(&new.name, &digest).await? {
            return self.keep_or_repair(rows, &new.name, same, folder).await;
        }
        check_spelling(&mut rows, &new.name).await?;
        let version = ModelVersion {
            version: rows.latest(&new.name).await?.map_or(Version::FIRST, Version::next),
            name: new.name,
            digest,
            created_unix_ms: self.now_unix_ms(),
            by: new.by.0,
            origin: new.origin,
            gates_passed: new.gates_passed,
            parent: new.parent,
            summary: new.summary,
            files: manifest.into_files(),
            aliases: Vec::new(),
        };
        rows.add_version(&version, folder).await?;
        rows.end_attempt(folder).await?;
        rows.commit().await?;
        Ok(version)
    }

    /// The model has this content already: another process was faster, and our copy goes; or its files were
    /// damaged, and ours take their place.
    async fn keep_or_repair(
        &self,
        mut rows: Rows,
        name: &ModelName,
        same: Version,
        folder: &str,
    ) -> Result<ModelVersion, RegistryError> {
        let (found, theirs) = (rows.version(name, same).await?, rows.folder(name, same).await?);
        let (Some(found), Some(theirs)) = (found, theirs) else {
            let (what, why) = (format!("{name} version {same}"), "it was there a moment ago".to_owned());
            return Err(RegistryError::BrokenRow { what, why });
        };
        let (_, faults) = self.read_files(&found, &theirs).await?;
        if faults.is_empty() {
            drop(rows);
            self.discard(folder).await;
        } else {
            rows.set_folder(name, same, folder).await?;
            rows.end_attempt(folder).await?;
            rows.add_attempt(&theirs).await?;
            rows.commit().await?;
        }
        Ok(found)
    }

    /// Removes our own unpublished folder. What cannot be removed now is collected later, and the caller
    /// has a first error to tell.
    async fn discard(&self, folder: &str) {
        let _ = self.remove_attempt(folder).await;
    }

    /// The version with this content, if there is one and its files are as they were published.
    async fn intact_with(
        &self,
        name: &ModelName,
        digest: &str,
    ) -> Result<Option<ModelVersion>, RegistryError> {
        let mut rows = self.read().await?;
        let Some(version) = rows.version_of_digest(name, digest).await? else {
            return Ok(None);
        };
        let found = rows.version(name, version).await?;
        drop(rows);
        let Some(found) = found else { return Ok(None) };
        let (_, faults) = self.read_files(&found, &self.folder(&found).await?).await?;
        Ok(faults.is_empty().then_some(found))
    }

    async fn check_parent(&self, new: &NewVersion) -> Result<(), RegistryError> {
        let Some(parent) = new.parent else { return Ok(()) };
        let found = self.read().await?.version(&new.name, parent).await?;
        match found {
            Some(_) => Ok(()),
            None => Err(RegistryError::NoSuchParent { name: new.name.clone(), parent }),
        }
    }

    /// Claims a folder that nobody else writes into: whoever records the attempt and creates the manifest in it
    /// owns it. An older attempt at the same content leaves the next number free.
    async fn claim_folder(&self, name: &ModelName, manifest: &Manifest) -> Result<String, RegistryError> {
        let digest = manifest.digest();
        let mut attempt = 1u64;
        loop {
            let folder = match attempt {
                1 => format!("{name}/{digest}"),
                _ => format!("{name}/{digest}-{attempt}"),
            };
            if !self.begin_attempt(&folder).await? {
                attempt += 1;
                continue;
            }
            match self.store().artifacts.create(&format!("{folder}/{MANIFEST}"), manifest.to_bytes()).await {
                Ok(()) => return Ok(folder),
                // A version's, or one that only an older database would know: it is not ours to collect.
                Err(StorageError::Exists { .. }) => self.end_attempt(&folder).await?,
                // Another publisher was just removing the model's folder, for nothing was in it.
                Err(error) if attempt < VANISHED_MAX && is_not_found(&error) => {}
                Err(error) => {
                    self.discard(&folder).await;
                    return Err(error.into());
                }
            }
            attempt += 1;
        }
    }

    /// Records an attempt before anything is written; false where the folder is another one's.
    async fn begin_attempt(&self, folder: &str) -> Result<bool, RegistryError> {
        let mut rows = self.write().await?;
        let is_ours = rows.add_attempt(folder).await?;
        rows.commit_quietly().await?;
        Ok(is_ours)
    }
}

/// Names that differ by case only would share a folder where the file system does not tell them apart; and a
/// graph's name is served already. A route that is there already is another model's.
async fn check_spelling(rows: &mut Rows, name: &ModelName) -> Result<(), RegistryError> {
    if rows.latest(name).await?.is_some() {
        return Ok(());
    }
    if rows.graph_change(name).await?.is_some_and(|change| change.graph.is_some()) {
        return Err(RegistryError::NameTaken { name: name.clone(), by: "graph" });
    }
    if rows.route_change(name).await?.is_some_and(|change| !change.route.is_empty()) {
        let by = "model of a folder, which has a route in this store";
        return Err(RegistryError::NameTaken { name: name.clone(), by });
    }
    match rows.other_spelling(name).await? {
        Some(known) => Err(RegistryError::OtherSpelling { name: name.clone(), known }),
        None => Ok(()),
    }
}

/// So often a folder may vanish under our hands before that is an error.
const VANISHED_MAX: u64 = 100;

/// Whether the cause is that a file or folder is not there.
fn is_not_found(error: &StorageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Hashes the files away from the async threads.
async fn hashed(new: NewVersion) -> Result<(NewVersion, Manifest), RegistryError> {
    let hashing = tokio::task::spawn_blocking(move || {
        let manifest = Manifest::of(&new.files)?;
        Ok((new, manifest))
    });
    hashing.await.expect("hashing does not panic")
}
