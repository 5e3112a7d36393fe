//! Variational autoencoders draw samples, on the command line and over HTTP alike.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Running, TRAINED, http, run};

/// The anomaly template with a variational autoencoder in it, published after a few epochs.
fn motor(at: &Path) {
    run(at, &["new", "motor", "--template", "anomaly"]).expect(0);
    let layers = [
        (
            "{ type = \"dense\", units = 6 },",
            "{ type = \"dense\", units = 6 },\n  { type = \"gaussian_sample\", beta = 0.04 },",
        ),
        ("epochs = 60", "epochs = 3"),
        ("at_least = 0.6", "at_least = 0"),
    ];
    change(&at.join("motor/modelyard.toml"), &layers);
    run(at, &["train", "motor"]).expect(0);
}

fn change(project: &Path, changes: &[(&str, &str)]) {
    let mut text = fs::read_to_string(project).expect("there");
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?}");
        text = text.replace(from, to);
    }
    fs::write(project, text).expect("written");
}

#[test]
fn windows_are_drawn_alike_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    motor(at);
    let generate = |more: &[&str]| {
        let base = ["generate", "motor", "1", "--store", "motor/.modelyard", "--seed", "3"];
        run(at, &[&base, more].concat())
    };
    let drawn = generate(&["--count", "2", "--json"]).expect(0).json();
    let samples = drawn["samples"].as_array().expect("a list");
    assert_eq!((samples.len(), &samples[1]["seed"]), (2, &json!(4)));
    assert_eq!(samples[0]["row"]["current"].as_array().map(Vec::len), Some(24), "a value for each step");
    let lines = generate(&["--count", "2"]).expect(0).stdout;
    let printed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(printed, [samples[0]["row"].clone(), samples[1]["row"].clone()], "the seed decides");
    generate(&["--temperature", "0.5"]).expect(2).says("--temperature is for models that continue texts");
    generate(&["--out", "drawn"]).expect(2).says("these have none");

    let mut server = Running::start(at, &["serve", "--listen", "127.0.0.1:0", "--store", "motor/.modelyard"]);
    let address = server.wait_for_address();
    let ask = |path: &str, body: &str| {
        let (status, body) = http(address, &format!("POST {path}"), body);
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let (status, answer) = ask("/v1/models/motor:predict", r#"{"parameters": {"count": 2, "seed": 3}}"#);
    assert_eq!((status, &answer["predictions"]), (200, &json!(printed)), "{answer}");
    let (_, one) = ask("/predict", r#"{"parameters": {"count": 1, "seed": 4}}"#);
    assert_eq!(one["prediction"], printed[1]);
    let (status, answer) = ask("/predict", r#"{"parameters": {"count": 2}}"#);
    assert!(status == 400 && answer["hint"].to_string().contains(":predict"), "{answer}");
    let (status, answer) = ask("/v1/models/motor:predict", r#"{"parameters": {"count": 100000}}"#);
    assert!(status == 400 && answer["error"].to_string().contains("from 1 to 1000"), "{answer}");
    let scored = json!({ "instances": [printed[0]] }).to_string();
    let (status, answer) = ask("/v1/models/motor:predict", &scored);
    assert!(status == 200 && answer["predictions"][0]["anomaly"]["score"].is_number(), "{answer}");
    server.interrupt().expect(0);
}

#[test]
fn images_are_drawn_into_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["new", "shop", "--template", "images"]).expect(0);
    let project = at.join("shop/modelyard.toml");
    let text = fs::read_to_string(&project).expect("there");
    let (before, _) = text.split_once("[[outputs]]").expect("outputs");
    let rest = r#"[[outputs]]
name = "odd"
kind = "anomaly"

[network]
layers = [
  { type = "flatten" },
  { type = "dense", units = 8 },
  { type = "gaussian_sample", beta = 0.0025 },
  { type = "dense", units = 784 },
]

[training]
epochs = 1
seed = 1
"#;
    let before = before.replace("kind = \"stratified\"", "kind = \"random\"");
    fs::write(&project, format!("{before}{rest}")).expect("written");
    run(at, &["train", "shop"]).expect(0);
    let generate = |more: &[&str]| {
        let base = ["generate", "shop", "1", "--store", "shop/.modelyard", "--count", "2"];
        run(at, &[&base, more].concat())
    };
    generate(&[]).expect(2).says("--out FOLDER");
    let printed = generate(&["--out", "drawn"]).expect(0).stdout;
    let first: Value = serde_json::from_str(printed.lines().next().expect("two lines")).expect("JSON");
    assert_eq!(first["picture"], "drawn/1-picture-0.png");
    for seed in 0..2 {
        let png = fs::read(at.join(format!("drawn/1-picture-{seed}.png"))).expect("written");
        assert!(png.starts_with(b"\x89PNG"));
    }
    generate(&["--out", "drawn"]).expect(3).says("drawn/1-picture-0.png is there already");
}

#[test]
fn a_model_that_generates_nothing_says_so() {
    let refused = run(TRAINED.path(), &["generate", "shapes"]).expect(3);
    refused.says("neither continues texts nor draws samples");
}
