//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_registry::Registry;
use modelyard_types::{ModelName, VersionSelector};

use crate::failure::Failure;
use crate::wiring;

/// The name of the store's folder, beside the project file or in the current folder.
pub(crate) const STORE_FOLDER: &str = ".modelyard";

/// Where the store is, for commands about a project.
#[derive(Debug, Args)]
pub(crate) struct ProjectStoreArgs {
    /// The folder that holds the model versions [default: `.modelyard` beside the project file].
    #[arg(long, env = "MODELYARD_STORE", value_name = "FOLDER")]
    store: Option<PathBuf>,
}

impl ProjectStoreArgs {
    /// The store of the project in `folder`.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        self.store.clone().unwrap_or_else(|| folder.join(STORE_FOLDER))
    }
}

/// Where the store is, for commands about models.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The folder that holds the model versions. `modelyard up PROJECT` keeps it in
    /// `PROJECT/.modelyard`.
    #[arg(long, env = "MODELYARD_STORE", value_name = "FOLDER", default_value = STORE_FOLDER)]
    pub(crate) store: PathBuf,
}

/// Which store is changed, and why, for commands whose change the store remembers.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The reason, for the history.
    #[arg(long, env = "MODELYARD_WHY", default_value = "", value_name = "TEXT")]
    pub(crate) why: String,
    #[command(flatten)]
    store: StoreArgs,
}

impl ChangeArgs {
    /// The store's folder.
    pub(crate) fn store(&self) -> &Path {
        &self.store.store
    }

    /// The store.
    ///
    /// # Errors
    /// Where there is none, or it cannot be opened.
    pub(crate) async fn open(&self) -> Result<Registry, Failure> {
        wiring::open_existing(&self.store.store).await
    }
}

/// One version of one model.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// The model's name.
    pub(crate) model: ModelName,
    /// A version number or an alias.
    #[arg(default_value = "live")]
    pub(crate) version: VersionSelector,
}

/// How many threads compute.
#[derive(Debug, Args)]
pub(crate) struct ThreadsArgs {
    /// Threads that compute, where the project file does not say [default: one for each physical core].
    #[arg(long, env = "MODELYARD_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadsArgs {
    /// The number asked for, or that of the physical cores.
    pub(crate) fn count(&self) -> usize {
        self.threads.map_or_else(physical_cores, usize::from)
    }
}

/// The physical cores that this process may use: two threads of one core gain nothing on matrix products.
/// Linux tells which logical processors share a core; elsewhere, all count.
fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let cores: std::collections::BTreeSet<String> = (0..4096)
        .map_while(|cpu| {
            std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))
                .ok()
        })
        .collect();
    if cores.is_empty() { logical } else { logical.min(cores.len()) }
}
