//! `new` makes projects that run as they are.

use serde_json::Value;

use crate::harness::{Running, run, shell};

fn check(template: &str, files: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let made = run(at, &["new", "mine", "--template", template, "--json"]).expect(0).json();
    assert_eq!(made["files"].as_array().map(Vec::len), Some(files));
    run(at, &["check", "mine"]).expect(0).prints("the project fits its data");
    let mut server = Running::start(at, &["up", "mine", "--listen", "127.0.0.1:0"]);
    server.wait_for("published mine version 1");
    let curl = server.wait_for("curl ");
    // The server runs in the folder that the paths in the line start from.
    let answer = shell(&format!("cd '{}' && {curl}", at.display()));
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(answer["prediction"].is_object(), "{answer}");
    server.interrupt().expect(0);
}

#[test]
fn the_classification_template_runs() {
    check("table-classification", 3);
}

#[test]
fn the_regression_template_runs() {
    check("table-regression", 3);
}

#[test]
fn the_forecast_template_runs() {
    check("forecast", 3);
}

#[test]
fn the_template_of_remaining_life_runs() {
    check("remaining-life", 3);
}

#[test]
fn the_anomaly_template_runs() {
    check("anomaly", 3);
}

#[test]
fn the_image_template_runs() {
    check("images", 122);
}

#[test]
fn the_text_template_runs() {
    check("text", 3);
}

#[test]
fn the_multimodal_template_runs() {
    check("multimodal", 123);
}

#[test]
fn a_folder_that_is_taken_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["new", "mine"]).expect(0).prints("modelyard up mine");
    run(at, &["new", "mine"]).expect(3).says("mine is there already and is not empty");
    run(at, &["new", "not a name"]).expect(3).says("cannot be the project's name");
    run(at, &["new", "x", "--template", "quantum"]).expect(2).says("table-classification");
}
