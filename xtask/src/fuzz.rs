//! Runs the fuzz targets in `fuzz/` for a while each: decoders of outside bytes.

use anyhow::{Context, Result, bail};

use crate::shell;

const VERSION: &str = "0.13.2";

/// Builds and runs the targets, each for `--seconds` (60 unless told).
///
/// # Errors
/// When a target finds something, or the nightly toolchain is missing.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let seconds: u32 = after("--seconds").map_or(Ok(60), |text| text.parse()).context("--seconds")?;
    let targets = match after("--target") {
        Some(target) => vec![target],
        None => targets()?,
    };
    if !shell::works("cargo", &["+nightly", "--version"]) {
        bail!("fuzzing needs the nightly toolchain\nhint: rustup toolchain install nightly");
    }
    let tools = shell::root().join("target/tools");
    if !tools.join("bin/cargo-fuzz").exists() {
        let into = tools.to_string_lossy().into_owned();
        shell::run("cargo", &["install", "cargo-fuzz", "--version", VERSION, "--locked", "--root", &into])?;
    }
    let program = tools.join("bin/cargo-fuzz").to_string_lossy().into_owned();
    let limit = format!("-max_total_time={seconds}");
    for target in &targets {
        let corpus = format!("fuzz/corpus/{target}");
        std::fs::create_dir_all(shell::root().join(&corpus)).with_context(|| corpus.clone())?;
        let seeds = format!("fuzz/seeds/{target}");
        let has_seeds = shell::root().join(&seeds).is_dir();
        let folders = if has_seeds { vec![corpus.as_str(), &seeds] } else { vec![corpus.as_str()] };
        let mut command = shell::command(&program, &["run", "--fuzz-dir", "fuzz", target]);
        command.args(folders).args(["--", &limit, "-rss_limit_mb=2048", "-timeout=10"]);
        // SQLite's C code is linked into some targets by two paths; its doubled constants are no finding.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0");
        shell::run_command(command.env("RUSTUP_TOOLCHAIN", "nightly"))?;
    }
    println!("{} targets, {seconds} s each: nothing found", targets.len());
    Ok(())
}

/// The names of all targets: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}
