//! Puts the floors below together: the async runtime, the registry of a store, the engines, who asks.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use modelyard_registry::{Registry, RegistryError};
use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_serve::ModelFolder;
use modelyard_types::{Caller, ModelName};

use crate::cli::GlobalArgs;
use crate::cli::STORE_FOLDER;
use crate::clock::SystemClock;
use crate::failure::{Exit, Failure};
use crate::onnxruntime::{Surroundings, candidates};

/// The file by which a folder is known as a store.
const DATABASE: &str = "store.db";

/// Runs async work to its end on a runtime of its own.
///
/// # Errors
/// The work's own failure, or a system that gives no threads.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the async runtime", &error))?;
    let result = runtime.block_on(work);
    // Whatever still runs belongs to a stopped server; waiting for it would delay the exit.
    runtime.shutdown_background();
    result
}

/// A stored record, or what is wrong with it: in a list, a damaged one hides no other.
///
/// # Errors
/// Every error but damage.
pub(crate) fn whole_or_damaged<T>(read: Result<T, RegistryError>) -> Result<Result<T, String>, Failure> {
    match read {
        Ok(whole) => Ok(Ok(whole)),
        Err(error) => Ok(Err(error.damage()?)),
    }
}

/// Opens a store that must be there already.
///
/// # Errors
/// A folder that is not there or no store, or a store that cannot be used.
pub(crate) async fn open_existing(store: &Path) -> Result<Registry, Failure> {
    // With versions and no database it is a store all the same, and opening it tells what is lost.
    if store.join(DATABASE).is_file() || store.join("versions").is_dir() {
        return open_or_create(store).await;
    }
    let inner = store.join(STORE_FOLDER);
    if inner.is_dir() {
        let message = format!("{} is a project, not a store", store.display());
        return Err(
            Failure::new(Exit::NotFound, message).hint(format!("its store is --store {}", inner.display()))
        );
    }
    Err(Failure::new(Exit::NotFound, format!("there is no store at {}", store.display())).hint(
        "`modelyard up` and `modelyard import` make one; name it with --store, such as --store examples/digits/.modelyard",
    ))
}

/// Opens a store, making it where it is new.
///
/// # Errors
/// A store that cannot be used.
pub(crate) async fn open_or_create(store: &Path) -> Result<Registry, Failure> {
    let opened = Registry::open(store, Arc::new(SystemClock)).await;
    opened.map_err(|error| Failure::from(error).context(format!("cannot open the store {}", store.display())))
}

/// Opens a folder of models; where it is one model itself, that has the name `own_name`.
///
/// # Errors
/// A folder that is not there, cannot be read, or holds no model.
pub(crate) fn open_models(path: &Path, own_name: Option<ModelName>) -> Result<ModelFolder, Failure> {
    if !path.is_dir() {
        return Err(Failure::new(Exit::NotFound, format!("there is no folder {}", path.display()))
            .hint("--models names a folder of ONNX files, or a Triton model repository"));
    }
    let opened = ModelFolder::open(path, own_name);
    opened.map_err(|error| Failure::from(error).context(format!("cannot serve {}", path.display())))
}

/// The engines of this machine.
///
/// # Errors
/// A library given with `--onnxruntime` that is not there.
pub(crate) fn runtimes(global: &GlobalArgs) -> Result<Runtimes, Failure> {
    let given = global.onnxruntime.as_deref();
    if let Some(missing) = given.filter(|path| !path.is_file()) {
        return Err(Failure::new(Exit::NotFound, format!("--onnxruntime {} is no file", missing.display()))
            .hint("name the library itself, such as …/onnxruntime/capi/libonnxruntime.so.1.31.1"));
    }
    let found = candidates(given, &Surroundings::of_this_process());
    Ok(Runtimes::detect(&RuntimeConfig { onnxruntime_candidates: found, ..RuntimeConfig::default() }))
}

/// Who asks, for the history: the user of this machine, by name or else by home folder.
#[allow(clippy::disallowed_methods, reason = "the binary reads the environment")]
pub(crate) fn caller() -> Caller {
    let known = |name: String| Some(name).filter(|name| !name.is_empty());
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| known(std::env::var(name).ok()?));
    let home = || {
        let home = std::path::PathBuf::from(std::env::var_os("HOME")?);
        known(home.file_name()?.to_string_lossy().into_owned())
    };
    Caller(user.or_else(home).unwrap_or_else(|| "unknown".to_owned()))
}

/// A moment as people and scripts read it: RFC 3339 in UTC, to the second.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{unix_ms} ms"), |time| time.to_string())
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let amount = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", amount / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", amount / 1e6),
        _ => format!("{:.1} GB", amount / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_sizes_are_for_people() {
        assert_eq!(timestamp(1_700_000_000_123), "2023-11-14T22:13:20Z");
        assert!(timestamp(u64::MAX).ends_with("ms"));
        assert_eq!(size(999), "999 B");
        assert_eq!(size(265_358), "265.4 KB");
        assert_eq!(size(3_000_000_000), "3.0 GB");
    }
}
