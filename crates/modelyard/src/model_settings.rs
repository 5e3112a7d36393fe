//! `modelyard serve --config`: a file that says how single models are to be served.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use modelyard_serve::ModelSettings;
use modelyard_types::ModelName;
use serde::Deserialize;

use crate::failure::{Exit, Failure};
use crate::files;

/// Most bytes of the file.
const BYTES_MAX: usize = 1 << 20;
/// The longest that a request may be kept waiting for company, in milliseconds.
const DELAY_MS_MAX: u64 = 60_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    models: BTreeMap<String, Section>,
}

/// `[models.NAME]`. The keys that a project's `[serving]` has too mean the same.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    runtime: Option<String>,
    threads: Option<u16>,
    workers: Option<u16>,
    batch_size_max: Option<u32>,
    batch_delay_ms: Option<u64>,
    preferred_batch_sizes: Option<Vec<u32>>,
    queue_rows_max: Option<u32>,
    request_rows_max: Option<u32>,
}

/// Reads the file.
///
/// # Errors
/// A file that is not there, or a line of it that is not understood.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<ModelName, ModelSettings>, Failure> {
    let bytes = files::read_up_to(path, BYTES_MAX)?;
    let refused =
        |why: &dyn std::fmt::Display| Failure::new(Exit::BadInput, format!("{}: {why}", path.display()));
    let text = String::from_utf8(bytes).map_err(|error| refused(&error))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        refused(&error.to_string().trim_end()).hint("each model has a section [models.NAME]")
    })?;
    let mut all = BTreeMap::new();
    for (name, section) in file.models {
        let model: ModelName = name.parse().map_err(|error| refused(&error))?;
        let settings = settings(section).map_err(|why| refused(&format!("[models.{name}]: {why}")))?;
        all.insert(model, settings);
    }
    Ok(all)
}

fn settings(section: Section) -> Result<ModelSettings, String> {
    let mut preferred: Option<Vec<usize>> =
        section.preferred_batch_sizes.map(|sizes| sizes.into_iter().map(|size| size as usize).collect());
    if let Some(sizes) = &mut preferred {
        sizes.sort_unstable();
    }
    let counts = [
        ("threads", section.threads.map(u32::from)),
        ("workers", section.workers.map(u32::from)),
        ("batch_size_max", section.batch_size_max),
        ("queue_rows_max", section.queue_rows_max),
        ("request_rows_max", section.request_rows_max),
        ("preferred_batch_sizes", preferred.as_ref().and_then(|sizes| sizes.first()).map(|&s| s as u32)),
    ];
    if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
        return Err(format!("{key} is 0, it must be 1 or more"));
    }
    if let Some(delay) = section.batch_delay_ms.filter(|delay| *delay > DELAY_MS_MAX) {
        return Err(format!("batch_delay_ms is {delay}, at most {DELAY_MS_MAX} are taken"));
    }
    let rows = |rows: Option<u32>| rows.map(|rows| rows as usize);
    Ok(ModelSettings {
        runtime: section.runtime,
        threads: section.threads.map(usize::from),
        sessions_max: section.workers.map(usize::from),
        batch_size_max: rows(section.batch_size_max),
        batch_delay: section.batch_delay_ms.map(Duration::from_millis),
        preferred_rows: preferred,
        queue_rows_max: rows(section.queue_rows_max),
        request_rows_max: rows(section.request_rows_max),
        ..ModelSettings::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<BTreeMap<ModelName, ModelSettings>, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("serve.toml");
        std::fs::write(&path, text).expect("can write");
        read(&path).map_err(|failure| failure.message())
    }

    #[test]
    fn every_model_has_its_own_section() {
        let text = "[models.a]\nruntime = \"rten\"\nworkers = 2\nthreads = 3\n\
                    [models.\"b.c\"]\npreferred_batch_sizes = [8, 4]\nbatch_delay_ms = 5\n";
        let all = check(text).expect("it is in order");
        let a = &all["a"];
        assert_eq!((a.runtime.as_deref(), a.sessions_max, a.threads), (Some("rten"), Some(2), Some(3)));
        let b = &all["b.c"];
        assert_eq!((&b.preferred_rows, b.batch_delay), (&Some(vec![4, 8]), Some(Duration::from_millis(5))));
        assert_eq!(check("").map(|all| all.len()), Ok(0));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let unknown = check("[models.a]\n\nworker = 2\n").expect_err("no such key");
        assert!(unknown.contains("line 3") && unknown.contains("unknown field `worker`"), "{unknown}");
        assert!(unknown.contains("`workers`"), "{unknown}");
        let zero = check("[models.a]\nworkers = 0\n").expect_err("none");
        assert!(zero.ends_with("[models.a]: workers is 0, it must be 1 or more"), "{zero}");
        assert!(check("[models.\"a/b\"]\n").is_err_and(|why| why.contains("not a model name")));
        assert!(check("[models.a]\nbatch_delay_ms = 1000000\n").is_err());
        assert!(check("models = 3").is_err());
    }
}
