//! Finds and loads ONNX Runtime's shared library, once per process: the binding allows only one, and
//! unloading it is not safe.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

/// A loaded library.
#[derive(Clone)]
pub(super) struct Library {
    pub(super) environment: Environment,
    pub(super) path: PathBuf,
    pub(super) version: String,
}

static LOADED: Mutex<Option<Library>> = Mutex::new(None);

impl Library {
    /// The library from the first candidate that can be loaded, or what came of each.
    pub(super) fn find(candidates: &[PathBuf]) -> Result<Self, String> {
        if candidates.is_empty() {
            return Err("its library was found nowhere".to_owned());
        }
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.as_ref() {
            return Ok(library.clone());
        }
        let mut failures = Vec::new();
        for path in candidates {
            // The binding panics on libraries that export the right name and answer wrongly.
            let opened = catch_unwind(|| Self::open(path)).unwrap_or_else(|_| Err("it panicked".to_owned()));
            match opened {
                Ok(library) => return Ok(loaded.insert(library).clone()),
                Err(reason) => failures.push(format!("{}: {reason}", path.display())),
            }
        }
        Err(failures.join("; "))
    }

    fn open(path: &Path) -> Result<Self, String> {
        if !path.is_file() {
            return Err("there is no such file".to_owned());
        }
        let path = path.canonicalize().map_err(|error| error.to_string())?;
        let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
        let environment = builder
            .with_name("modelyard")
            .with_telemetry(false)
            .build()
            .map_err(|error| error.to_string())?;
        environment.set_log_level(LogLevel::Fatal);
        let version = version_of(&path, ort::info());
        Ok(Self { environment, path, version })
    }
}

/// The version as the build or the file's name tells it; the binding has checked that it is new enough.
fn version_of(path: &Path, build: &str) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let from_name = name.rsplit_once(".so.").map(|(_, version)| version.to_owned());
    let from_build = || {
        let (_, rest) = build.split_once("rel-")?;
        Some(rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect())
    };
    from_name
        .filter(|version| version.contains('.'))
        .or_else(from_build)
        .unwrap_or_else(|| format!("1.{} or newer", ort::MINOR_VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_where_it_can_be() {
        let check = |path: &str, build: &str, want: &str| {
            assert_eq!(version_of(Path::new(path), build), want);
        };
        check("/x/libonnxruntime.so.1.31.1", "git-branch=HEAD", "1.31.1");
        check("/x/libonnxruntime.so", "git-branch=rel-1.25.0, git-commit-id=1", "1.25.0");
        check("/x/libonnxruntime.so.1", "git-branch=HEAD", "1.24 or newer");
    }

    #[test]
    fn what_is_no_library_is_told_and_nothing_panics() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = folder.path().join("libonnxruntime.so.9");
        std::fs::write(&text, "not a library").expect("writable");
        let reason = Library::open(&text).err().expect("no library");
        assert!(reason.contains("failed to load"), "{reason}");
        let missing = Library::open(Path::new("/nowhere/libonnxruntime.so")).err().expect("no file");
        assert_eq!(missing, "there is no such file");
        assert_eq!(Library::find(&[]).err().as_deref(), Some("its library was found nowhere"));
    }
}
