//! Where Python packages lie on this machine, found by looking, without running anything: the PyPI wheel
//! `onnxruntime` holds the library that imported models run on.

use std::fs;
use std::path::{Path, PathBuf};

use modelyard_runtime::usual_onnxruntime_paths;

/// What the search needs to know of the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `PATH`, taken apart.
    pub(crate) path: Vec<PathBuf>,
    /// The home folder.
    pub(crate) home: Option<PathBuf>,
    /// The active Python environments (`VIRTUAL_ENV`, `CONDA_PREFIX`).
    pub(crate) python_prefixes: Vec<PathBuf>,
}

impl Surroundings {
    /// This process's.
    #[allow(clippy::disallowed_methods, reason = "the binary reads the environment")]
    pub(crate) fn of_this_process() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            path: std::env::var_os("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default(),
            home: folder("HOME"),
            python_prefixes: ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(folder).collect(),
        }
    }
}

/// The libraries to try, best first: the one given, or else those in the active Python environment, beside
/// the `python3` on the path, in the user's own Python and in the system's folders.
pub(crate) fn candidates(given: Option<&Path>, surroundings: &Surroundings) -> Vec<PathBuf> {
    match given {
        Some(given) => vec![given.to_owned()],
        None => usual_onnxruntime_paths(&site_packages(surroundings)),
    }
}

/// The package folders of every Python that the environment leads to, without repetition.
fn site_packages(surroundings: &Surroundings) -> Vec<PathBuf> {
    let on_path = surroundings.path.iter().filter(|folder| folder.join("python3").exists());
    let home = surroundings.home.as_deref();
    let mut prefixes = surroundings.python_prefixes.clone();
    prefixes.extend(on_path.filter_map(|folder| folder.parent().map(Path::to_owned)));
    prefixes.extend(home.map(|home| home.join(".local")));
    // pyenv puts small scripts on the path, which say nothing about where the packages are.
    prefixes.extend(home.map(|home| sorted(&home.join(".pyenv/versions"))).unwrap_or_default());
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in prefixes.iter().flat_map(|prefix| packages_under(prefix)) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// `lib/python3*/site-packages` and Debian's `dist-packages` under a prefix such as `/usr/local`.
fn packages_under(prefix: &Path) -> Vec<PathBuf> {
    let is_python =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3"));
    let pythons = sorted(&prefix.join("lib")).into_iter().filter(is_python);
    let folders = pythons.flat_map(|python| [python.join("site-packages"), python.join("dist-packages")]);
    folders.filter(|folder| folder.is_dir()).collect()
}

/// What lies in a folder, in order of name; nothing where it cannot be read.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_the_only_candidate() {
        let given = Path::new("/somewhere/libonnxruntime.so");
        assert_eq!(candidates(Some(given), &Surroundings::default()), [given]);
    }

    #[test]
    fn the_active_environment_comes_before_the_python_on_the_path() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let at = |path: &str| root.path().join(path);
        let wanted = [
            "venv/lib/python3.11/site-packages",
            "usr/lib/python3/dist-packages",
            "home/.local/lib/python3.12/site-packages",
            "home/.pyenv/versions/3.13.1/lib/python3.13/site-packages",
        ];
        for path in wanted.into_iter().chain(["usr/bin", "usr/lib/perl5"]) {
            fs::create_dir_all(at(path)).expect("can make folders");
        }
        fs::write(at("usr/bin/python3"), "").expect("can write");
        let surroundings = Surroundings {
            path: vec![at("usr/bin"), at("nowhere"), at("usr/bin")],
            home: Some(at("home")),
            python_prefixes: vec![at("venv")],
        };
        assert_eq!(site_packages(&surroundings), wanted.map(at));
    }
}
