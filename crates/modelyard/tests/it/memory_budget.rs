//! More models than memory: a budget that holds some of them, kept while all are asked.

use std::fs;
use std::net::SocketAddr;

use serde_json::json;

use crate::harness::{Running, http, run, trained};

const MODELS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A number on the metrics page.
fn metric(address: SocketAddr, name: &str) -> u64 {
    let (_, page) = http(address, "GET /metrics", "");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{page}"))
}

/// The models in memory, by name.
fn loaded(address: SocketAddr) -> String {
    let (_, index) = http(address, "POST /v2/repository/index", r#"{"ready": true}"#);
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    index.as_array().expect("a list").iter().filter_map(|entry| entry["name"].as_str()).collect()
}

#[test]
fn a_budget_is_kept_by_those_that_are_asked_least() {
    let folder = trained();
    let at = folder.path();
    fs::create_dir(at.join("models")).expect("can make folders");
    for model in MODELS {
        run(at, &["export", "shapes", "--out", &format!("models/{model}.onnx")]).expect(0);
    }
    let bytes = fs::metadata(at.join("models/a.onnx")).expect("it is there").len();
    let budget = 3 * bytes + bytes / 2;
    let args = ["serve", "--models", "models", "--memory-budget", &budget.to_string()];
    let mut server = Running::start(at, &[&args[..], &["--listen", "127.0.0.1:0"]].concat());
    let address = server.wait_for_address();
    assert_eq!((loaded(address).as_str(), metric(address, "modelyard_loaded_bytes")), ("abc", 3 * bytes));
    let (status, _) = http(address, "GET /v2/health/ready", "");
    assert_eq!(status, 200, "those that sleep are ready to be asked");
    let row = json!({ "name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0.5, 0.5, 1, 0, 0, 0] });
    let body = json!({ "inputs": [row] }).to_string();
    let ask = |model: &str| http(address, &format!("POST /v2/models/{model}/infer"), &body);
    let (_, first) = ask("a");
    // Each makes room by whoever was asked longest ago.
    for (model, want) in [("b", "abc"), ("d", "abd"), ("a", "abd"), ("e", "ade"), ("c", "ace"), ("b", "bce")]
    {
        let (status, answer) = ask(model);
        assert_eq!(status, 200, "{model}: {answer}");
        assert_eq!(loaded(address), want, "after {model}");
        assert_eq!(metric(address, "modelyard_loaded_bytes"), 3 * bytes, "after {model}");
    }
    assert_eq!(metric(address, "modelyard_versions_put_to_sleep_total"), 4);
    assert_eq!(ask("a").1, first, "one that slept answers as before");
    server.interrupt().expect(0);
}
