//! What CI runs, and what the README tells a newcomer to run: every check, cheapest first.

use std::time::Instant;

use anyhow::Result;

use crate::{deny, generated, packages, shell, tidy};

/// A step's name and what it does.
type Step = (&'static str, fn() -> Result<()>);

/// Runs every step and stops at the first that fails.
///
/// # Errors
/// The first step's failure.
pub(crate) fn run() -> Result<()> {
    let steps: [Step; 8] = [
        ("tidy", tidy::run),
        ("format", || shell::run("cargo", &["fmt", "--all", "--check"])),
        ("packages", packages::run),
        ("lints", lints),
        ("tests", tests),
        ("generated files", || generated::run(&[])),
        ("documentation", documentation),
        ("dependencies", deny::run),
    ];
    let mut times = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let started = Instant::now();
        step()?;
        times.push(format!("{name} {:.0} s", started.elapsed().as_secs_f64()));
    }
    println!("\nall checks passed: {}", times.join(", "));
    Ok(())
}

fn lints() -> Result<()> {
    shell::run("cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn tests() -> Result<()> {
    let mut command = shell::command("cargo", &["test", "--workspace", "--locked"]);
    if let Some(library) = packages::onnxruntime_library() {
        command.env("MODELYARD_ONNXRUNTIME", library);
    }
    shell::run_command(&mut command)
}

fn documentation() -> Result<()> {
    let mut command = shell::command("cargo", &["doc", "--workspace", "--no-deps", "--locked"]);
    // Doc comments write shapes as [rows, features], which rustdoc takes for links.
    let links = "-A rustdoc::broken_intra_doc_links -A rustdoc::private_intra_doc_links";
    command.env("RUSTDOCFLAGS", format!("-D warnings {links}"));
    shell::run_command(&mut command)
}
