//! `new` makes projects that run as they are.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Running, http, run, shell};

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
fn the_language_model_template_runs_and_writes() {
    check("language-model", 3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    run(at, &["new", "verses", "--template", "language-model"]).expect(0);
    let project = at.join("verses/modelyard.toml");
    let text = std::fs::read_to_string(&project).expect("there");
    std::fs::write(
        &project,
        text.replace("epochs = 20", "epochs = 1").replace("at_most = 8.5", "at_most = 20"),
    )
    .expect("written");
    let trained = run(at, &["train", "verses", "--json"]).json();
    let test = &trained["scores"]["splits"]["test"]["metrics"];
    for metric in ["bits_per_character", "perplexity"] {
        let [value, baseline] = ["value", "baseline"].map(|key| test[metric][key].as_f64().unwrap_or(0.0));
        assert!(value > 1.0 && baseline > 1.0 && test[metric]["interval_95"].is_array(), "{test}");
    }
    let store = at.join("verses/.modelyard");
    let generate = |more: &[&str]| {
        let base = ["generate", "verses", "1", "--store", store.to_str().expect("text"), "--prompt", "春"];
        run(at, &[&base, more].concat())
    };
    let drawn = generate(&["--seed", "3", "--max-tokens", "9", "--count", "2", "--json"]).expect(0).json();
    let texts = drawn["texts"].as_array().expect("a list");
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|text| text["tokens"].as_u64().is_some_and(|tokens| tokens <= 9)), "{drawn}");
    assert_ne!(texts[0]["text"], texts[1]["text"]);
    let again = generate(&["--seed", "3", "--max-tokens", "9", "--count", "2", "--json"]).expect(0).json();
    assert_eq!(drawn, again, "the seed decides");
    let stopped = generate(&["--temperature", "0", "--stop", "，", "--json"]).expect(0).json();
    let text = &stopped["texts"][0];
    assert!(!text["text"].as_str().is_some_and(|text| text.contains('，')), "{stopped}");
    generate(&["--temperature", "-1"]).expect(3).says("temperature must be 0 or above");
    generate(&["--top-p", "2"]).expect(3).says("top_p must be above 0 and at most 1");
    run(
        at,
        &[
            "predict",
            "verses",
            "verses/poems.txt",
            "--model-version",
            "1",
            "--store",
            store.to_str().expect("text"),
        ],
    )
    .expect(3)
    .says("modelyard generate");

    a_served_model_continues_alike(&store, &texts[0]);
}

/// Over HTTP comes the text that the command line drew.
fn a_served_model_continues_alike(store: &Path, drawn: &Value) {
    let mut server = Running::start(
        store,
        &["serve", "--listen", "127.0.0.1:0", "--store", store.to_str().expect("text")],
    );
    let address = server.wait_for_address();
    let ask = |body: &str| {
        let (status, body) = http(address, "POST /v1/models/verses/versions/1:predict", body);
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let body = r#"{"instances": [{"text": "春"}], "parameters": {"seed": 3, "max_tokens": 9}}"#;
    let (status, answer) = ask(body);
    assert_eq!(status, 200, "{answer}");
    let next = &answer["predictions"][0]["next"];
    assert_eq!(
        (&next["text"], &next["tokens"]),
        (&drawn["text"], &drawn["tokens"]),
        "as on the command line"
    );
    let (status, answer) = ask(&body.replace("\"seed\": 3", "\"temperature\": -2"));
    assert!(
        status == 400 && answer["error"].to_string().contains("temperature must be 0 or above"),
        "{answer}"
    );
    let (status, answer) = ask(&body.replace("max_tokens", "max_token"));
    assert!(status == 400 && answer["error"].to_string().contains("max_token"), "{answer}");
    let streamed = body.replace("\"seed\": 3", "\"stream\": true, \"seed\": 3");
    let (status, events) = http(address, "POST /v1/models/verses/versions/1:predict", &streamed);
    let events: Vec<Value> = (events.lines().filter_map(|line| line.strip_prefix("data: ")))
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let (last, pieces) = events.split_last().expect("events");
    let text: String = pieces.iter().map(|piece| piece["text"].as_str().expect("a piece")).collect();
    assert_eq!((status, json!(text)), (200, drawn["text"].clone()), "{events:?}");
    assert_eq!(last["prediction"]["next"]["text"], drawn["text"]);
    let two = streamed.replace("[{", "[{\"text\": \"a\"}, {");
    let (status, answer) = ask(&two);
    assert!(status == 400 && answer["error"].to_string().contains("exactly one text"), "{answer}");
    server.interrupt().expect(0);
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
