//! The registry as its users hold it: opening, finding, loading and verifying versions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use modelyard_storage::{StorageError, Store};
use modelyard_types::{Alias, Clock, ModelName, Version, VersionSelector};

use crate::RegistryError;
use crate::content::{FileEntry, MANIFEST, Manifest};
use crate::tables::{MIGRATIONS, Rows};
use crate::version::{FileFault, ModelSummary, ModelVersion, VerifyReport, VersionFiles};

/// A handle to one store's models; clones share it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Instant, SystemTime};
///
/// use modelyard_registry::{GateRule, NewVersion, Origin, Promotion, Registry};
/// use modelyard_types::{Alias, Caller, Clock, VersionSelector};
///
/// struct Wall;
/// impl Clock for Wall {
///     fn now(&self) -> Instant {
///         Instant::now()
///     }
///     fn wall(&self) -> SystemTime {
///         SystemTime::now()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let registry = Registry::open(&folder.path().join(".modelyard"), Arc::new(Wall)).await?;
/// let new = NewVersion {
///     name: "digits".parse()?,
///     files: [("model.onnx".to_owned(), vec![1, 2, 3])].into(),
///     origin: Origin::Imported,
///     gates_passed: true,
///     summary: serde_json::json!({}),
///     parent: None,
///     by: Caller("anna".to_owned()),
/// };
/// let first = registry.publish(new).await?;
/// let promotion = Promotion {
///     name: first.name.clone(),
///     alias: Alias::live(),
///     version: first.version,
///     gates: GateRule::MustPass,
///     by: Caller("anna".to_owned()),
///     why: "the first one".to_owned(),
/// };
/// registry.promote(promotion).await?;
///
/// let live = registry.find(&first.name, &VersionSelector::Alias(Alias::live())).await?;
/// let files = registry.load(&live).await?;
/// assert_eq!(files.get("model.onnx").map(|bytes| bytes.len()), Some(3));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Registry {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("path", &self.store.path()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens the store in this folder, making it where it is new, and collects what killed processes left
    /// behind (unless somebody is publishing right now). No artifact is read.
    ///
    /// # Errors
    /// Where the folder cannot be used, or a newer program has written it.
    pub async fn open(store: &Path, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let store = Arc::new(Store::open(store, MIGRATIONS).await?);
        let registry = Self { store, clock };
        // A leftover that cannot be removed is no reason not to serve what is whole; `collect` reports it.
        let _ = registry.collect().await;
        Ok(registry)
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// A number that grows with every publishing and every move of an alias: cheap to poll.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn revision(&self) -> Result<u64, RegistryError> {
        self.read().await?.revision().await
    }

    /// All models, by name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn models(&self) -> Result<Vec<ModelSummary>, RegistryError> {
        self.read().await?.models().await
    }

    /// All versions of a model, oldest first.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`].
    pub async fn versions(&self, name: &ModelName) -> Result<Vec<ModelVersion>, RegistryError> {
        let versions = self.read().await?.versions(name).await?;
        if versions.is_empty() {
            return Err(self.no_such_model(name).await?);
        }
        Ok(versions)
    }

    /// The version that a number or an alias names.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], [`RegistryError::NoSuchVersion`] or [`RegistryError::NoSuchAlias`].
    pub async fn find(
        &self,
        name: &ModelName,
        selector: &VersionSelector,
    ) -> Result<ModelVersion, RegistryError> {
        let version = match selector {
            VersionSelector::Alias(alias) => return self.resolve(name, alias).await,
            VersionSelector::Number(version) => *version,
        };
        let found = self.read().await?.version(name, version).await?;
        match found {
            Some(found) => Ok(found),
            None => Err(self.no_such_version(name, version).await?),
        }
    }

    /// The bytes of a version's files, every one checked against the digest.
    ///
    /// # Errors
    /// [`RegistryError::Corrupt`] names the first file that is not what was published.
    pub async fn load(&self, version: &ModelVersion) -> Result<VersionFiles, RegistryError> {
        let (files, faults) = self.read_files(version, &self.folder(version).await?).await?;
        match faults.into_iter().next() {
            None => Ok(VersionFiles::new(files)),
            Some((file, fault)) => {
                let (name, version) = (version.name.clone(), version.version);
                Err(RegistryError::Corrupt { name, version, file, fault })
            }
        }
    }

    /// One file of a version, checked; none where the version does not have it.
    ///
    /// # Errors
    /// [`RegistryError::Corrupt`] where it is not what was published.
    pub async fn load_file(
        &self,
        version: &ModelVersion,
        file: &str,
    ) -> Result<Option<Bytes>, RegistryError> {
        let Some(entry) = version.files.iter().find(|entry| entry.name == file) else {
            return Ok(None);
        };
        let folder = self.folder(version).await?;
        match self.read_file(&folder, entry).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fault) => {
                let (name, version) = (version.name.clone(), version.version);
                Err(RegistryError::Corrupt { name, version, file: file.to_owned(), fault })
            }
        }
    }

    /// Reads every file of a version and reports all that is wrong with them.
    ///
    /// # Errors
    /// Where the version is not there or its files cannot be read; damage is not an error here.
    pub async fn verify(
        &self,
        name: &ModelName,
        selector: &VersionSelector,
    ) -> Result<VerifyReport, RegistryError> {
        let version = self.find(name, selector).await?;
        let folder = self.folder(&version).await?;
        let (files, mut faults) = self.read_files(&version, &folder).await?;
        for artifact in self.store.artifacts.list(&folder).await? {
            if artifact.name != MANIFEST && !version.has_file(&artifact.name) {
                faults.push((artifact.name, FileFault::Unexpected));
            }
        }
        Ok(VerifyReport {
            version: version.version,
            digest: version.digest.clone(),
            files: files.len(),
            bytes: files.values().map(|bytes| bytes.len() as u64).sum(),
            faults,
        })
    }

    /// Ends all connections and folds the write-ahead log into the database file.
    pub async fn close(&self) {
        self.store.tables.close().await;
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// One transaction at a time: whoever holds one and waits for another can starve the pool.
    pub(crate) async fn read(&self) -> Result<Rows, RegistryError> {
        Rows::read(&self.store.tables).await
    }

    pub(crate) async fn write(&self) -> Result<Rows, RegistryError> {
        Rows::write(&self.store.tables).await
    }

    pub(crate) fn now_unix_ms(&self) -> u64 {
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).expect("half a billion years from now")
    }

    /// The good files of a version in its folder, and what is wrong with the others.
    pub(crate) async fn read_files(
        &self,
        version: &ModelVersion,
        folder: &str,
    ) -> Result<Checked, RegistryError> {
        let listed = Manifest::from_entries(version.files.clone());
        if listed.digest() != version.digest {
            let what = format!("{} version {}", version.name, version.version);
            let why = "the list of its files does not give its digest".to_owned();
            return Err(RegistryError::BrokenRow { what, why });
        }
        let (mut files, mut faults) = (BTreeMap::new(), Vec::new());
        for entry in &version.files {
            match self.read_file(folder, entry).await? {
                Ok(bytes) => drop(files.insert(entry.name.clone(), bytes)),
                Err(fault) => faults.push((entry.name.clone(), fault)),
            }
        }
        Ok((files, faults))
    }

    /// Hashing takes milliseconds for large weights, so it leaves the async threads.
    async fn read_file(
        &self,
        folder: &str,
        entry: &FileEntry,
    ) -> Result<Result<Bytes, FileFault>, RegistryError> {
        let bytes = match self.store.artifacts.get(&format!("{folder}/{}", entry.name)).await {
            Ok(bytes) => bytes,
            Err(StorageError::Missing { .. }) => return Ok(Err(FileFault::Missing)),
            Err(error) => return Err(error.into()),
        };
        let entry = entry.clone();
        let checked = tokio::task::spawn_blocking(move || match entry.fault(&bytes) {
            None => Ok(bytes),
            Some(fault) => Err(fault),
        });
        Ok(checked.await.expect("hashing does not panic"))
    }

    /// The folder that holds a version's files.
    pub(crate) async fn folder(&self, version: &ModelVersion) -> Result<String, RegistryError> {
        let folder = self.read().await?.folder(&version.name, version.version).await?;
        match folder {
            Some(folder) => Ok(folder),
            None => Err(self.no_such_version(&version.name, version.version).await?),
        }
    }

    pub(crate) async fn must_know(&self, name: &ModelName) -> Result<(), RegistryError> {
        let latest = self.read().await?.latest(name).await?;
        match latest {
            Some(_) => Ok(()),
            None => Err(self.no_such_model(name).await?),
        }
    }

    /// The error that names the nearest model there is.
    pub(crate) async fn no_such_model(&self, name: &ModelName) -> Result<RegistryError, RegistryError> {
        let models = self.models().await?;
        let distance = |model: &ModelSummary| strsim::damerau_levenshtein(model.name.as_str(), name.as_str());
        let nearest = models.iter().min_by_key(|model| distance(model));
        let near = |model: &&ModelSummary| distance(model) <= 1 + name.as_str().len() / 3;
        let nearest = nearest.filter(near).map(|model| model.name.to_string());
        Ok(RegistryError::NoSuchModel { name: name.clone(), nearest })
    }

    pub(crate) async fn no_such_version(
        &self,
        name: &ModelName,
        version: Version,
    ) -> Result<RegistryError, RegistryError> {
        let latest = self.read().await?.latest(name).await?;
        match latest {
            Some(latest) => Ok(RegistryError::NoSuchVersion { name: name.clone(), version, latest }),
            None => self.no_such_model(name).await,
        }
    }

    pub(crate) async fn no_such_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
    ) -> Result<RegistryError, RegistryError> {
        self.must_know(name).await?;
        let aliases = self.read().await?.aliases(name).await?;
        let known = aliases.into_iter().map(|(alias, _)| alias.to_string()).collect();
        Ok(RegistryError::NoSuchAlias { name: name.clone(), alias: alias.clone(), known })
    }
}

/// Good files by name, and the others with what is wrong with them.
pub(crate) type Checked = (BTreeMap<String, Bytes>, Vec<(String, FileFault)>);
