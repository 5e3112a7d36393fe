//! Which files in a folder are which version of which model. Three layouts are known: ONNX files side by
//! side, Triton's model repository, and KServe's folder of one model.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use modelyard_types::{ModelName, Version};

use super::config::{self, CONFIG, NETWORK, TritonConfig, VersionPolicy};
use super::fields::Refusal;
use crate::error::ServeError;

/// Most entries of one folder that are looked at.
const ENTRIES_MAX: usize = 10_000;
/// Most bytes of a file with labels.
const LABELS_BYTES_MAX: u64 = 4 << 20;
const LAYOUTS: &str = "put name.onnx or name/1/model.onnx into it, or model.onnx for a single model";

/// One model in the folder.
pub(super) struct Found {
    pub(super) name: ModelName,
    /// The versions that are served, with their files.
    pub(super) versions: BTreeMap<Version, Network>,
    pub(super) config: TritonConfig,
    /// Another number means other files.
    pub(super) stamp: u64,
    /// Why it cannot be served, told with paths inside the folder.
    pub(super) problem: Option<String>,
}

/// The file of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) path: PathBuf,
    pub(super) stamp: u64,
    pub(super) bytes: u64,
}

/// What lies in a folder.
///
/// # Errors
/// A folder that cannot be read, holds no model, or holds one whose name cannot be a model's.
pub(super) fn scan(root: &Path, own_name: Option<&ModelName>) -> Result<Vec<Found>, ServeError> {
    let entries = list(root, root)?;
    if is_one_model(root, &entries) {
        return Ok(vec![one_model(root, root, own_name)?]);
    }
    let mut found: BTreeMap<ModelName, Found> = BTreeMap::new();
    for path in entries {
        let Some(model) = model_at(root, &path)? else { continue };
        let name = model.name.clone();
        if found.insert(name.clone(), model).is_some() {
            let what = format!("there are two models named {name}");
            return Err(bad(root, &path, what, "rename one of them"));
        }
    }
    if found.is_empty() {
        return Err(bad(root, root, "there is no model in it", LAYOUTS));
    }
    Ok(found.into_values().collect())
}

/// The model that an entry of the folder is; none where it is something else.
fn model_at(root: &Path, path: &Path) -> Result<Option<Found>, ServeError> {
    if path.is_dir() {
        let looks_so = is_model(path, &list(root, path)?);
        return if looks_so { one_model(root, path, None).map(Some) } else { Ok(None) };
    }
    if path.extension().is_none_or(|extension| extension != "onnx") {
        return Ok(None);
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let network = network(root, path)?;
    let stamp = network.stamp;
    let versions = BTreeMap::from([(Version::FIRST, network)]);
    let name = model_name(root, path, &stem)?;
    Ok(Some(Found { name, versions, config: TritonConfig::default(), stamp, problem: None }))
}

/// Whether the folder itself is one model: then no other network stands in it.
fn is_one_model(folder: &Path, entries: &[PathBuf]) -> bool {
    let networks =
        entries.iter().filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    is_model(folder, entries) && networks.count() <= 1
}

/// Whether a folder has what a model has: a configuration, a network, or numbered versions.
fn is_model(folder: &Path, entries: &[PathBuf]) -> bool {
    folder.join(CONFIG).is_file()
        || folder.join(NETWORK).is_file()
        || entries.iter().any(|path| number(path).is_some() && path.is_dir())
}

/// The version that a folder's name stands for. As in Triton, what begins with 0 is none.
fn number(path: &Path) -> Option<Version> {
    let name = path.file_name()?.to_str()?;
    let digits = name.bytes().all(|digit| digit.is_ascii_digit()) && !name.starts_with('0');
    name.parse().ok().filter(|_| digits)
}

fn one_model(root: &Path, folder: &Path, own_name: Option<&ModelName>) -> Result<Found, ServeError> {
    let parsed = read_config(root, folder);
    let (config, mut problem) = match parsed {
        Ok(config) => (config, None),
        Err(error) => (TritonConfig::default(), Some(told(&error))),
    };
    let given = config.name.as_ref().map(|(name, _)| name.as_str()).filter(|name| !name.is_empty());
    let folder_name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_owned()));
    let folder_name = folder_name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = match (own_name, given) {
        (Some(own), _) => own.clone(),
        (None, Some(given)) if folder == root => model_name(root, folder, given)?,
        (None, _) => model_name(root, folder, &folder_name)?,
    };
    if folder != root
        && let Some((said, line)) = config.name.as_ref().filter(|(said, _)| !said.is_empty())
        && *said != name.as_str()
    {
        let file = shown(root, &folder.join(CONFIG));
        let what = format!("name is {said:?}, but its folder is named {name}");
        problem = problem.or(Some(format!("{file}:{line}: {what}")));
    }
    let mut versions = BTreeMap::new();
    if problem.is_none() {
        match find_versions(root, folder, &config) {
            Ok(found) => versions = found,
            Err(error) => problem = Some(told(&error)),
        }
    }
    let mut hasher = DefaultHasher::new();
    stamp_of(&folder.join(CONFIG)).hash(&mut hasher);
    for network in versions.values() {
        network.stamp.hash(&mut hasher);
    }
    Ok(Found { name, versions, config, stamp: hasher.finish(), problem })
}

fn read_config(root: &Path, folder: &Path) -> Result<TritonConfig, ServeError> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Ok(TritonConfig::default());
    }
    let file = shown(root, &path);
    let refused = |refusal: Refusal| refusal.of_file(&file);
    let mut config = config::parse(&read_text(root, &path, config::BYTES_MAX)?).map_err(refused)?;
    for warmup in &config.warmups {
        config.settings.warmup.extend(warmup.requests());
    }
    for (output, labels, line) in &config.label_files {
        let path = folder.join(labels);
        if !path.is_file() {
            return Err(refused(Refusal::new(*line, format!("label_filename {labels:?} is not there"))));
        }
        let text = read_text(root, &path, LABELS_BYTES_MAX)?;
        let lines = text.lines().map(|line| line.trim().to_owned()).collect();
        config.settings.labels.insert(output.clone(), lines);
    }
    Ok(config)
}

/// The versions that the policy lets through.
fn find_versions(
    root: &Path,
    folder: &Path,
    config: &TritonConfig,
) -> Result<BTreeMap<Version, Network>, ServeError> {
    let file = config.network.as_deref().unwrap_or(NETWORK);
    let mut numbered: BTreeMap<Version, PathBuf> = BTreeMap::new();
    for path in list(root, folder)? {
        if let Some(version) = number(&path).filter(|_| path.is_dir()) {
            numbered.insert(version, path.join(file));
        }
    }
    if numbered.is_empty() {
        // KServe lays a single version down without a number.
        let path = folder.join(file);
        if !path.is_file() {
            let what = format!("there is no version in it: neither 1/{file} nor {file}");
            return Err(bad(root, folder, what, LAYOUTS));
        }
        numbered.insert(Version::FIRST, path);
    }
    match &config.policy {
        VersionPolicy::All => {}
        VersionPolicy::Latest(count) => {
            while numbered.len() > *count {
                numbered.pop_first();
            }
        }
        VersionPolicy::Specific(wanted) => numbered.retain(|version, _| wanted.contains(&version.get())),
    }
    if numbered.is_empty() {
        return Err(bad(root, folder, "its version_policy names no version that is there", LAYOUTS));
    }
    let configured = stamp_of(&folder.join(CONFIG));
    let version = |(version, path): (Version, PathBuf)| {
        let mut network = network(root, &path)?;
        // Another configuration has the same network loaded anew.
        network.stamp ^= configured.rotate_left(1);
        Ok((version, network))
    };
    numbered.into_iter().map(version).collect()
}

fn network(root: &Path, path: &Path) -> Result<Network, ServeError> {
    if path.is_dir() {
        let hint = "a network is one ONNX file that holds its weights";
        return Err(bad(root, path, "it is a folder, not a file", hint));
    }
    let metadata = fs::metadata(path).map_err(|error| unreadable(root, path, &error))?;
    Ok(Network { path: path.to_owned(), stamp: stamp_of(path), bytes: metadata.len() })
}

/// A number that changes with a file's length or time of change; 0 where it is not there.
fn stamp_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::metadata(path) else { return 0 };
    let mut hasher = DefaultHasher::new();
    (metadata.len(), metadata.modified().ok()).hash(&mut hasher);
    hasher.finish()
}

/// What lies in a folder, by name, but for what is hidden.
fn list(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, ServeError> {
    let unreadable = |error: std::io::Error| unreadable(root, folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            paths.push(path);
        }
        if paths.len() > ENTRIES_MAX {
            return Err(bad(root, folder, format!("it has more than {ENTRIES_MAX} entries"), LAYOUTS));
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_text(root: &Path, path: &Path, bytes_max: u64) -> Result<String, ServeError> {
    let bytes = fs::metadata(path).map_err(|error| unreadable(root, path, &error))?.len();
    if bytes > bytes_max {
        return Err(bad(root, path, format!("it has more than {bytes_max} bytes"), "shorten it"));
    }
    fs::read_to_string(path).map_err(|error| unreadable(root, path, &error))
}

fn model_name(root: &Path, path: &Path, text: &str) -> Result<ModelName, ServeError> {
    text.parse().map_err(|error: modelyard_types::NameError| bad(root, path, error.to_string(), "rename it"))
}

/// A path as callers may see it: from the folder on.
fn shown(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(inside) if inside.as_os_str().is_empty() => "the folder".to_owned(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

fn bad(root: &Path, path: &Path, what: impl Into<String>, hint: &str) -> ServeError {
    ServeError::Folder { path: shown(root, path), what: what.into(), hint: hint.to_owned() }
}

fn unreadable(root: &Path, path: &Path, error: &std::io::Error) -> ServeError {
    bad(root, path, format!("it cannot be read: {error}"), "check that it is there and may be read")
}

/// A model's problem in a sentence, with the way out.
fn told(error: &ServeError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
