//! The floors of ARCHITECTURE.md, held against what Cargo knows: who depends on whom, and who may name
//! which outside library.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell;

/// The part of `tidy.toml` that speaks of crates.
#[derive(Deserialize)]
pub(crate) struct Rules {
    floors: BTreeMap<String, Place>,
    only: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Place {
    floor: u8,
    on: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// Everything in which the workspace differs from the rules, one sentence each.
///
/// # Errors
/// When Cargo does not answer.
pub(crate) fn differences(rules: &Rules) -> Result<Vec<String>> {
    let text = shell::output("cargo", &["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let metadata: Metadata = serde_json::from_str(&text).context("cargo metadata is not what it was")?;
    let mut found = Vec::new();
    for package in &metadata.packages {
        found.extend(upward_arrows(rules, package));
        found.extend(forbidden_libraries(rules, package));
    }
    for (name, place) in &rules.floors {
        if !metadata.packages.iter().any(|package| package.name == *name) {
            found.push(format!("tidy.toml: there is no crate {name}"));
        }
        for below in &place.on {
            if rules.floors.get(below).is_none_or(|other| other.floor >= place.floor) {
                found.push(format!("tidy.toml: {name} may not stand on {below}: it is not on a lower floor"));
            }
        }
    }
    Ok(found)
}

fn upward_arrows(rules: &Rules, package: &Package) -> Vec<String> {
    let Some(place) = rules.floors.get(&package.name) else {
        let ours = package.name.starts_with("modelyard-") && package.name != "modelyard-bench";
        return if ours { vec![format!("{}: has no floor in tidy.toml", package.name)] } else { vec![] };
    };
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    normal
        .filter(|dependency| {
            rules.floors.contains_key(&dependency.name) && !place.on.contains(&dependency.name)
        })
        .map(|dependency| format!("{}: must not depend on {}", package.name, dependency.name))
        .collect()
}

fn forbidden_libraries(rules: &Rules, package: &Package) -> Vec<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    normal
        .filter(|dependency| rules.only.get(&dependency.name).is_some_and(|may| !may.contains(&package.name)))
        .filter(|_| package.name != "modelyard-bench")
        .map(|dependency| format!("{}: must not name the library {}", package.name, dependency.name))
        .collect()
}
