//! What a compiler does not check and a reader notices: floors, long files, missing opening comments,
//! unpinned parts, dead links, and a README whose translation has fallen behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{floors, shell, translation};

#[derive(Deserialize)]
struct Tidy {
    #[serde(flatten)]
    crates: floors::Rules,
    limits: Limits,
    long_files: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Limits {
    file_lines_max: usize,
}

/// Prints every untidy place.
///
/// # Errors
/// When there is one.
pub(crate) fn run() -> Result<()> {
    let root = shell::root();
    let text = fs::read_to_string(root.join("xtask/tidy.toml")).context("xtask/tidy.toml")?;
    let tidy: Tidy = toml::from_str(&text).context("xtask/tidy.toml")?;
    let files = tracked(&root)?;
    let mut found = floors::differences(&tidy.crates)?;
    found.extend(unpinned(&root, &files)?);
    for file in &files {
        let name = file.to_string_lossy().into_owned();
        if name.ends_with(".rs") {
            let source = fs::read_to_string(root.join(file)).with_context(|| name.clone())?;
            found.extend(source_rules(&name, &source, &tidy));
        } else if name.ends_with(".md") {
            found.extend(dead_links(&root, file)?);
        }
    }
    found.extend(translation::differences(&root)?);
    if found.is_empty() {
        println!("tidy: {} files", files.len());
        return Ok(());
    }
    for line in &found {
        println!("{line}");
    }
    bail!("{} untidy places", found.len())
}

/// Every file that git knows and that is still there, plus those not yet added.
fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = shell::output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    Ok(listed.lines().map(PathBuf::from).filter(|file| root.join(file).is_file()).collect())
}

fn source_rules(name: &str, source: &str, tidy: &Tidy) -> Vec<String> {
    let mut found = Vec::new();
    let opening = source.lines().find(|line| !line.starts_with("#!"));
    if !opening.is_some_and(|line| line.starts_with("//!")) {
        found.push(format!("{name}:1: opens without a `//!` comment on why it exists"));
    }
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs") || name.contains("/tests_");
    let lines = source.lines().take_while(|line| *line != "#[cfg(test)]").count();
    let allowed = tidy.long_files.get(name).copied().unwrap_or(tidy.limits.file_lines_max);
    if !is_test && lines > allowed {
        found.push(format!("{name}: {lines} lines before its tests, at most {allowed}: make it two rooms"));
    }
    for (number, line) in source.lines().enumerate() {
        let line = line.trim();
        let marks = [concat!("#[ig", "nore"), concat!("todo", "!("), concat!("unimpl", "emented!(")];
        if marks.iter().any(|mark| line.starts_with(mark)) || line.starts_with(concat!("/// ```ig", "nore")) {
            found.push(format!("{name}:{}: {line}: nothing is left undone or unrun", number + 1));
        }
    }
    found
}

/// Every outside dependency stands in the root manifest with an exact version.
fn unpinned(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.ends_with("Cargo.toml") && !file.starts_with("fuzz")) {
        let text = fs::read_to_string(root.join(file)).with_context(|| file.display().to_string())?;
        let manifest: toml::Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
        let workspace = manifest.get("workspace").and_then(|table| table.get("dependencies"));
        for (name, value) in workspace.and_then(toml::Value::as_table).into_iter().flatten() {
            let version = value.as_str().or_else(|| value.get("version").and_then(toml::Value::as_str));
            let ours = value.get("path").is_some();
            if !ours && !version.is_some_and(|version| version.starts_with('=')) {
                found.push(format!("{}: {name} is not pinned with `=`", file.display()));
            }
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    found.push(format!("{}: {name} must come from the workspace", file.display()));
                }
            }
        }
    }
    Ok(found)
}

/// Relative links in a Markdown page that lead nowhere.
fn dead_links(root: &Path, file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(root.join(file)).with_context(|| file.display().to_string())?;
    let folder = root.join(file).parent().expect("a file lies in a folder").to_owned();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !folder.join(path).exists() {
                found.push(format!("{}:{}: the link {target} leads nowhere", file.display(), number + 1));
            }
        }
    }
    Ok(found)
}
