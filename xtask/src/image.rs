//! Builds the container image of `deploy/`: a static binary in an image that holds nothing else, and, with
//! `--check`, what the image promises.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;

/// What a static binary is linked with; glibc and musl both know it.
const STATIC: &str = "-C target-feature=+crt-static";
/// Programs that build and run images, the first that works is taken.
const BUILDERS: [&str; 2] = ["podman", "docker"];

/// Builds the binary and the image, named by `--tag` (`modelyard` unless told).
///
/// # Errors
/// When a program fails, or no builder of images is here.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (tag, check) = read(arguments)?;
    let Some(builder) = BUILDERS.into_iter().find(|builder| shell::works(builder, &["info"])) else {
        bail!("no builder of images works here\nhint: apt-get install podman; `podman info` must succeed");
    };
    let binary = build_static()?;
    let context = lay_out(&binary)?;
    let context = context.to_string_lossy();
    shell::run(builder, &["build", "--file", "deploy/Containerfile", "--tag", &tag, &context])?;
    if check {
        shell::run("python3", &["deploy/tests/image.py", builder, &tag, &binary.to_string_lossy()])?;
    }
    Ok(())
}

fn read(arguments: &[String]) -> Result<(String, bool)> {
    let (mut tag, mut check) = ("modelyard".to_owned(), false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--tag" => tag = arguments.next().context("--tag needs a name")?.clone(),
            other => bail!("{other} is not an option of `cargo xtask image`\nhint: --tag NAME, --check"),
        }
    }
    Ok((tag, check))
}

/// Naming the target keeps build scripts and procedural macros, which must be loaded, out of the static linking.
fn build_static() -> Result<PathBuf> {
    let about = shell::output("rustc", &["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let folder = shell::root().join("target/static");
    let options = ["build", "--release", "--locked", "--package", "modelyard", "--target", host];
    let mut cargo = shell::command("cargo", &options);
    shell::run_command(cargo.env("RUSTFLAGS", STATIC).env("CARGO_TARGET_DIR", &folder))?;
    Ok(folder.join(host).join("release/modelyard"))
}

/// Lays what the image takes in into a folder of its own, so that the builder reads nothing else.
fn lay_out(binary: &Path) -> Result<PathBuf> {
    let folder = shell::root().join("target/static/image");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let licences = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| shell::root().join(name));
    for file in licences.iter().map(PathBuf::as_path).chain([binary]) {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(folder)
}
