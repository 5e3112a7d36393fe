//! Where `libonnxruntime.so` usually stands. Only lists paths: reading the environment and choosing the
//! roots is the binary's part.

use std::path::{Path, PathBuf};

/// How to get ONNX Runtime, as the last line of every refusal that it would lift.
pub(crate) const INSTALL_HINT: &str = "install ONNX Runtime 1.24 or newer with `pip install onnxruntime`, \
     or set MODELYARD_ONNXRUNTIME=/path/to/libonnxruntime.so; `modelyard doctor` shows what was found";

#[cfg(target_os = "macos")]
const PREFIX: &str = "libonnxruntime.";
#[cfg(not(target_os = "macos"))]
const PREFIX: &str = "libonnxruntime.so";

/// Folders in which systems keep shared libraries.
const SYSTEM_FOLDERS: [&str; 7] = [
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/opt/onnxruntime/lib",
    "/opt/homebrew/lib",
];

/// The ONNX Runtime libraries that stand in the usual places: inside the PyPI wheel under each of these
/// `site-packages` folders, then in the system's library folders. Newer file names come first in a folder.
pub fn usual_onnxruntime_paths(site_packages: &[PathBuf]) -> Vec<PathBuf> {
    let wheels = site_packages.iter().map(|root| root.join("onnxruntime").join("capi"));
    let system = SYSTEM_FOLDERS.iter().map(PathBuf::from);
    wheels.chain(system).flat_map(|folder| libraries_in(&folder)).collect()
}

/// Libraries in one folder; a folder that cannot be read holds none.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)))
        .collect();
    found.sort();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_is_found_and_its_helpers_are_not() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let capi = root.path().join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).expect("writable");
        for name in ["libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so", "_ld_preload.py"] {
            std::fs::write(capi.join(name), "").expect("writable");
        }
        let found = usual_onnxruntime_paths(&[root.path().join("nowhere"), root.path().to_owned()]);
        assert_eq!(found.first(), Some(&capi.join("libonnxruntime.so.1.31.1")));
        assert!(!found.iter().any(|path| path.ends_with("libonnxruntime_providers_shared.so")));
    }
}
