//! Files that are made from the code and committed, so that they can be read and diffed: each is made anew
//! and compared. `--write` renews them.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell;

/// A generated file and the words after `modelyard` that print it.
const FILES: [(&str, &[&str]); 4] = [
    ("schemas/project.schema.json", &["reference", "project-schema"]),
    ("docs/reference/project-file.md", &["reference", "project-file"]),
    ("schemas/openapi.json", &["reference", "openapi"]),
    ("docs/reference/cli.md", &["reference", "cli"]),
];

/// Compares every generated file, or renews it with `--write`.
///
/// # Errors
/// When a file differs from what the code makes today.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let write = arguments.iter().any(|argument| argument == "--write");
    let mut stale = Vec::new();
    for (file, words) in FILES {
        let made = {
            let run = ["run", "--quiet", "--locked", "--package", "modelyard", "--"];
            let all: Vec<&str> = run.iter().chain(words).copied().collect();
            shell::output("cargo", &all)?
        };
        let path = shell::root().join(file);
        if write {
            let folder = path.parent().expect("a generated file lies in a folder");
            fs::create_dir_all(folder)?;
            fs::write(&path, &made).with_context(|| file.to_owned())?;
            println!("{file}: written");
        } else if fs::read_to_string(&path).ok().as_deref() != Some(made.as_str()) {
            stale.push(file);
        } else {
            println!("{file}: true to the code");
        }
    }
    if !stale.is_empty() {
        bail!("not what the code makes: {}\nhint: cargo xtask generated --write", stale.join(", "));
    }
    Ok(())
}
