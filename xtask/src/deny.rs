//! Licences, sources and duplicate versions of every dependency, by `cargo deny` and `deny.toml`.
//!
//! The advisory database needs the open internet; where it cannot be fetched, that one check is skipped
//! aloud.

use anyhow::{Result, bail};

use crate::shell;

const VERSION: &str = "0.20.2";

/// Installs `cargo-deny` under `target/tools` where it is missing, and runs it.
///
/// # Errors
/// When a dependency breaks a rule.
pub(crate) fn run() -> Result<()> {
    let tools = shell::root().join("target/tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        let into = tools.to_string_lossy().into_owned();
        let install = ["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--root", &into];
        if let Err(error) = shell::run("cargo", &install) {
            println!("NOT CHECKED: cargo-deny cannot be installed here: {error:#}");
            return Ok(());
        }
    }
    let program = program.to_string_lossy().into_owned();
    shell::run(&program, &["--offline", "check", "licenses", "bans", "sources"])?;
    if shell::works(&program, &["fetch", "db"]) {
        return shell::run(&program, &["check", "advisories"]);
    }
    println!("NOT CHECKED: the advisory database cannot be fetched from here (no way to its host)");
    if shell::root().join("deny.toml").exists() { Ok(()) } else { bail!("deny.toml is missing") }
}
