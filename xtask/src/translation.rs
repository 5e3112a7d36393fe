//! README.zh-CN.md keeps step with README.md: the same headings' levels and, to the letter, the same
//! commands and tables of numbers. Prose may differ; what a reader runs may not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the two differ, one sentence each.
///
/// # Errors
/// When one of them cannot be read.
pub(crate) fn differences(root: &Path) -> Result<Vec<String>> {
    let english = skeleton(&read(root, "README.md")?);
    let chinese = skeleton(&read(root, "README.zh-CN.md")?);
    let mut found = Vec::new();
    for (i, (a, b)) in english.iter().zip(&chinese).enumerate() {
        if a != b {
            found.push(format!("README.zh-CN.md: part {} is {b:?}, README.md has {a:?}", i + 1));
            return Ok(found);
        }
    }
    if english.len() != chinese.len() {
        found.push(format!(
            "README.zh-CN.md has {} headings and commands, README.md has {}",
            chinese.len(),
            english.len()
        ));
    }
    Ok(found)
}

fn read(root: &Path, name: &str) -> Result<String> {
    fs::read_to_string(root.join(name)).with_context(|| name.to_owned())
}

/// A page's heading levels and the lines of its code blocks (comments left out: they are translated).
fn skeleton(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
            parts.push("```".to_owned());
        } else if in_code {
            let code = line.split(" # ").next().unwrap_or_default().trim_end();
            if !code.starts_with('#') {
                parts.push(code.to_owned());
            }
        } else if line.starts_with('#') {
            parts.push(line.chars().take_while(|&c| c == '#').collect());
        }
    }
    parts
}
