//! Versions out of the store, and foreign models into it.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Running, http, run, trained};

#[test]
fn an_exported_network_comes_back_as_a_foreign_model() {
    let folder = trained();
    let at = folder.path();
    run(at, &["export", "shapes", "--out", "shapes.onnx"]).expect(0).prints("shapes.onnx");
    run(at, &["export", "shapes", "--out", "shapes.onnx"]).expect(3).says("is there already");
    let imported =
        run(at, &["import", "shapes.onnx", "--name", "foreign", "--store", "s", "--json"]).expect(0).json();
    assert_eq!((&imported["version"], &imported["live"]), (&1.into(), &true.into()));
    assert_eq!(imported["inputs"][0]["shape"], json!([-1, 6]));
    run(at, &["models", "show", "foreign", "--store", "s"])
        .expect(0)
        .prints("imported")
        .prints("signature.json");
    run(at, &["predict", "foreign", "shapes.csv", "--store", "s"])
        .expect(3)
        .says("pipeline.json")
        .says("/v2/models");

    let mut server = Running::start(at, &["serve", "--store", "s", "--listen", "127.0.0.1:0"]);
    let address = server.wait_for_address();
    let body = json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0, 0, 1, 0, 0, 0] }] });
    let (status, answer) = http(address, "POST /v2/models/foreign/infer", &body.to_string());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let sum: f64 =
        answer["outputs"][0]["data"].as_array().expect("numbers").iter().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-5, "probabilities: {answer}");
    server.interrupt().expect(0);
}

#[test]
fn every_file_of_a_version_can_be_had() {
    let folder = trained();
    let at = folder.path();
    let exported = run(at, &["export", "shapes", "1", "--out", "all", "--json"]).expect(0).json();
    assert_eq!(exported["files"].as_array().map(Vec::len), Some(10), "{exported}");
    let onnx = fs::read(at.join("all/model.onnx")).expect("written");
    assert!(!onnx.is_empty());
    let scores = run(at, &["export", "shapes", "--file", "scores.json"]).expect(0).stdout;
    assert!(serde_json::from_str::<Value>(&scores).expect("JSON")["splits"]["test"].is_object());
    run(at, &["export", "shapes", "--file", "model.pickle"]).expect(5).says("it has card.md, lineage.json");
}

#[test]
fn what_is_no_sound_model_is_refused_with_the_reason() {
    let folder = trained();
    let at = folder.path();
    run(at, &["export", "shapes", "--out", "whole.onnx"]).expect(0);
    let whole = fs::read(at.join("whole.onnx")).expect("written");
    fs::write(at.join("half.onnx"), &whole[..whole.len() / 2]).expect("can write");
    fs::write(at.join("empty.onnx"), b"").expect("can write");
    let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(at.join("noise.onnx"), noise).expect("can write");
    for file in ["half.onnx", "empty.onnx", "noise.onnx", "shapes.csv"] {
        let refused = run(at, &["import", file, "--name", "bad", "--store", "s"]).expect(3);
        refused.says(&format!("error: cannot import {file}")).says("caused by: ");
    }
    assert!(!at.join("s").exists(), "what is refused makes no store");
    run(at, &["import", "nowhere.onnx", "--name", "bad"]).expect(5).says("cannot read nowhere.onnx");
    run(at, &["import", ".", "--name", "bad"]).expect(3).says("is a folder");
    run(at, &["import", "whole.onnx", "--name", "../bad"]).expect(2).says("is not a model name");
}
