//! Help, flags, environment, completions, generated pages.

use std::fs;

use crate::harness::{command, repository, run, run_command, trained};

#[test]
fn help_teaches() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["--help"]).expect(0).prints("modelyard new flowers").prints("Exit codes:").prints("130  ");
    for name in [
        "up",
        "new",
        "check",
        "train",
        "evaluate",
        "predict",
        "import",
        "export",
        "serve",
        "doctor",
        "completions",
    ] {
        run(at, &[name, "--help"]).expect(0).prints("Examples:");
    }
    for name in ["list", "show", "compare", "promote", "rollback", "history", "verify"] {
        run(at, &["models", name, "--help"]).expect(0).prints("With --json");
    }
    run(at, &["--version"]).expect(0).prints("modelyard 0.");
    run(at, &[]).expect(2).says("Usage");
    run(at, &["upp"]).expect(2).says("up");
    let usage = run(at, &["models", "--json"]).expect(2);
    let error: serde_json::Value = serde_json::from_str(&usage.stderr).expect("JSON");
    assert_eq!(error["exit_code"], 2);
}

#[test]
fn a_flag_can_come_from_the_environment_and_the_flag_wins() {
    let folder = trained();
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let with_store = |args: &[&str]| {
        let mut command = command(elsewhere.path(), args);
        command.env("MODELYARD_STORE", folder.path().join(".modelyard")).env("MODELYARD_JSON", "1");
        run_command(command)
    };
    assert_eq!(with_store(&["models", "list"]).expect(0).json()["models"][0]["model"], "shapes");
    with_store(&["models", "list", "--store", "nowhere"]).expect(5).says("no store at nowhere");
    let mut off = command(folder.path(), &["models", "list"]);
    off.env("MODELYARD_JSON", "false");
    run_command(off).expect(0).prints("published");
    run(folder.path(), &["models", "list", "--log", "loud=="]).expect(2).says("is no log filter");
}

#[test]
fn shells_are_taught_to_complete() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (shell, sign) in
        [("bash", "_modelyard()"), ("zsh", "#compdef modelyard"), ("fish", "complete -c modelyard")]
    {
        run(folder.path(), &["completions", shell]).expect(0).prints(sign).prints("rollback");
    }
}

#[test]
fn the_doctor_names_engines_limits_and_the_store() {
    let folder = trained();
    let at = folder.path();
    let told = run(at, &["doctor", "--json"]).expect(0).json();
    let engines: Vec<&str> =
        told["engines"].as_array().expect("a list").iter().filter_map(|e| e["name"].as_str()).collect();
    assert_eq!(engines, ["native", "native-onnx", "onnxruntime", "rten"]);
    assert_eq!(told["store"]["state"], "ok");
    assert!(told["limits"]["body_bytes_max"].is_number());
    run(at, &["doctor"]).expect(0).prints("models: 1, versions: 1").prints("instructions");
    let absent = run(at, &["doctor", "--store", "nowhere", "--json"]).expect(0).json();
    assert_eq!(absent["store"]["state"], "absent");
    assert!(!at.join("nowhere").exists());
    run(at, &["doctor", "--onnxruntime", "nowhere.so"]).expect(5).says("nowhere.so is no file");
    // A file that is no library is told, and the other engines remain.
    fs::write(at.join("text.so"), "no library").expect("can write");
    let told = run(at, &["doctor", "--onnxruntime", "text.so", "--json"]).expect(0).json();
    let engines = told["engines"].as_array().expect("a list");
    let foreign = engines.iter().find(|engine| engine["name"] == "onnxruntime").expect("it is listed");
    assert_eq!(foreign["available"], false);
}

#[test]
fn the_reference_page_is_the_one_in_the_repository() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = run(folder.path(), &["reference", "cli"]).expect(0).stdout;
    let kept = fs::read_to_string(repository().join("docs/reference/cli.md")).expect("the page is there");
    assert!(
        page == kept,
        "docs/reference/cli.md is out of date: modelyard reference cli > docs/reference/cli.md"
    );
    run(folder.path(), &["reference", "project-file"]).expect(0).prints("[training]");
    let schema = run(folder.path(), &["reference", "project-schema"]).expect(0).stdout;
    assert!(serde_json::from_str::<serde_json::Value>(&schema).expect("JSON")["$defs"].is_object());
}
