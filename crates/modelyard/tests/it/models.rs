//! Looking at versions and moving aliases.

use std::fs;
use std::path::{Path, PathBuf};

use modelyard_storage::{Migrations, Tables};

use crate::harness::{run, trained, trained_twice};

#[test]
fn versions_are_listed_shown_and_compared() {
    let folder = trained_twice();
    let at = folder.path();
    let list = run(at, &["models", "list", "--json"]).expect(0).json();
    assert_eq!(list["models"][0]["model"], "shapes");
    assert_eq!(list["models"][0]["latest"], 2);
    assert_eq!(list["models"][0]["aliases"]["live"], 1);
    run(at, &["models", "list"]).expect(0).prints("live → 1");

    let show = run(at, &["models", "show", "shapes", "--json"]).expect(0).json();
    assert_eq!(show["version"], 1);
    assert_eq!(show["aliases"][0], "live");
    assert_eq!(show["by"], "tester");
    assert_eq!(show["digest"].as_str().map(str::len), Some(64));
    assert!(show["scores"]["splits"]["test"]["metrics"]["accuracy"]["value"].is_number(), "{show}");
    run(at, &["models", "show", "shapes", "2"]).expect(0).prints("gate passed: ").prints("model.onnx");
    let versions = run(at, &["models", "show", "shapes", "--versions", "--json"]).expect(0).json();
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2));

    let compare = run(at, &["models", "compare", "shapes", "live", "2", "--json"]).expect(0).json();
    assert_eq!((&compare["first"], &compare["second"]), (&1.into(), &2.into()));
    let changed = |file: &str| {
        let files = compare["files"].as_array().expect("a list");
        files.iter().any(|f| f["name"] == file && f["change"] == "changed")
    };
    assert!(changed("weights.safetensors") && changed("project.toml"), "{compare}");
    let lineage = compare["lineage"].as_array().expect("a list");
    assert!(lineage.iter().any(|field| field["field"] == "seed" && field["second"] == "4"), "{compare}");
    run(at, &["models", "compare", "shapes", "1", "2"]).expect(0).prints("version 2");
}

#[test]
fn an_alias_moves_there_and_back_and_the_history_tells() {
    let folder = trained_twice();
    let at = folder.path();
    let promoted =
        run(at, &["models", "promote", "shapes", "2", "--why", "better", "--json"]).expect(0).json();
    assert_eq!((&promoted["from"], &promoted["to"]), (&1.into(), &2.into()));
    let back = run(at, &["models", "rollback", "shapes", "--json"]).expect(0).json();
    assert_eq!((&back["kind"], &back["to"]), (&"rollback".into(), &1.into()));
    let history = run(at, &["models", "history", "shapes", "--json"]).expect(0).json();
    let kinds: Vec<&str> =
        history["moves"].as_array().expect("a list").iter().filter_map(|m| m["kind"].as_str()).collect();
    assert_eq!(kinds, ["rollback", "promote", "promote"]);
    assert_eq!(history["moves"][1]["why"], "better");
    assert_eq!(history["moves"][1]["by"], "tester");
    run(at, &["models", "history", "shapes"]).expect(0).prints("rollback");
    run(at, &["models", "rollback", "shapes"]).expect(6).says("nothing before it");
    run(at, &["models", "promote", "shapes", "2", "--alias", "next"]).expect(0).prints("next of shapes");
}

#[test]
fn what_is_not_there_is_named_with_the_nearest() {
    let folder = trained();
    let at = folder.path();
    run(at, &["models", "show", "shape"])
        .expect(5)
        .says("no model named \"shape\"")
        .says("did you mean \"shapes\"?");
    run(at, &["models", "show", "shapes", "9"])
        .expect(5)
        .says("has no version 9")
        .says("newest version is 1");
    run(at, &["models", "show", "shapes", "next"]).expect(5).says("has no alias").says("live");
    run(at, &["models", "list", "--store", "nowhere"]).expect(5).says("no store at nowhere").says("hint: ");
    run(at, &["models", "list", "--store", "."])
        .expect(5)
        .says("is a project, not a store")
        .says("./.modelyard");
    assert!(!at.join("nowhere").exists(), "looking makes no store");
    fs::create_dir(at.join("empty")).expect("can make folders");
    run(at, &["models", "list", "--store", "empty"]).expect(5);
    assert_eq!(fs::read_dir(at.join("empty")).expect("it is there").count(), 0, "looking makes no store");
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_flipped_bit_is_found_and_the_version_is_not_served() {
    let folder = trained();
    let at = folder.path();
    run(at, &["models", "verify", "shapes"]).expect(0).prints("all intact");
    let versions = at.join(".modelyard/versions");
    let weights =
        files_below(&versions).into_iter().find(|p| p.ends_with("weights.safetensors")).expect("stored");
    let mut bytes = fs::read(&weights).expect("can read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    make_writable(&weights);
    fs::write(&weights, bytes).expect("can write");

    let report = run(at, &["models", "verify", "shapes", "--json"]).expect(6);
    assert_eq!(report.json()["faults"][0]["file"], "weights.safetensors");
    let error: serde_json::Value = serde_json::from_str(&report.stderr).expect("JSON on standard error");
    assert_eq!(error["exit_code"], 6);
    run(at, &["export", "shapes", "--out", "out"])
        .expect(6)
        .says("weights.safetensors of shapes version 1 is damaged");
    run(at, &["predict", "shapes", "shapes.csv"]).expect(6).says("is damaged");
    let up = run(at, &["up", ".", "--listen", "127.0.0.1:0"]).expect(6);
    up.says("shapes cannot be served").says("--force trains anew");
}

fn make_writable(path: &Path) {
    let mut permissions = fs::metadata(path).expect("it is there").permissions();
    #[allow(clippy::permissions_set_readonly_false, reason = "a file in a temporary folder")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).expect("ours");
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    let folder = trained();
    let tables = Tables::open(&folder.path().join(".modelyard/store.db")).await.expect("opens");
    // What a program ahead of this one would have done: one more step in the registry's list.
    let scripts = &["", "", "", "", "", "", "", "CREATE TABLE of_the_future (x INTEGER) STRICT"];
    tables.migrate(Migrations { owner: "registry", scripts }).await.expect("migrates");
    tables.close().await;
    run(folder.path(), &["models", "list"]).expect(6).says("newer").says("hint: ");
}
