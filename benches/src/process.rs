//! What Linux tells of a process and all below it: processor time, memory, descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

/// Clock ticks of this system's process times in a second.
///
/// # Errors
/// Where `getconf` cannot be run.
pub fn clock_ticks() -> Result<f64> {
    let output = Command::new("getconf").arg("CLK_TCK").output().context("cannot run getconf")?;
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// A program of this workspace, built beside the one that runs, wherever that folder is.
///
/// # Errors
/// Where the system does not tell which program runs.
pub fn built_beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe().context("cannot tell which program this is")?.with_file_name(name))
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = stat(process).and_then(|fields| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.remove(&found[at]).unwrap_or_default());
        at += 1;
    }
    found
}

/// The fields of `/proc/<pid>/stat` behind the name, which may hold blanks: state, parent, …
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// Processor time that a process and all below it used so far, in seconds.
pub fn cpu_seconds(root: u32, ticks: f64) -> f64 {
    let used = |process: &u32| -> Option<f64> {
        let fields = stat(*process)?;
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    };
    tree(root).iter().filter_map(used).sum::<f64>() / ticks
}

/// Proportional memory in MiB: pages shared with others count in part.
pub fn memory_mb(root: u32) -> f64 {
    tree(root).iter().filter_map(|process| kilobytes(*process, "smaps_rollup", "Pss:")).sum::<f64>() / 1024.0
}

/// Resident memory of one process in MiB, which is cheaper to ask for.
pub fn resident_mb(process: u32) -> f64 {
    kilobytes(process, "status", "VmRSS:").unwrap_or_default() / 1024.0
}

/// The most resident memory of one process in MiB since it started, or since [`forget_peak`].
pub fn peak_mb(process: u32) -> f64 {
    kilobytes(process, "status", "VmHWM:").unwrap_or_default() / 1024.0
}

/// Sets the peak to what the process holds now (proc(5), `clear_refs`).
///
/// # Errors
/// Where the system does not allow it.
pub fn forget_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5").context("cannot reset the peak of memory")
}

fn kilobytes(process: u32, file: &str, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How many files and sockets a process has open.
pub fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}
