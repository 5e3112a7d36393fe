//! A store served over HTTP.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{Running, http, run, trained, trained_twice};

const ROW: &str = r#"{"width": 9, "height": 1, "colour": "red"}"#;

#[test]
fn every_route_answers_and_a_promotion_is_picked_up() {
    let folder = trained_twice();
    let at = folder.path();
    let mut server = Running::start(at, &["serve", "--listen", "127.0.0.1:0"]);
    server.wait_for("shapes version 1");
    let address = server.wait_for_address();
    let ask = |request: &str, body: &str, want: u16| -> Value {
        let (status, body) = http(address, request, body);
        assert_eq!(status, want, "{request}: {body}");
        serde_json::from_str(&body).unwrap_or(Value::Null)
    };
    let one = ask("POST /predict", &format!(r#"{{"input": {ROW}}}"#), 200);
    assert_eq!(one["prediction"]["kind"]["label"], "wide", "{one}");
    let many = ask("POST /v1/models/shapes:predict", &format!(r#"{{"instances": [{ROW}, {ROW}]}}"#), 200);
    assert_eq!(many["predictions"].as_array().map(Vec::len), Some(2), "{many}");
    let tensor = json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0, 0, 1, 0, 0, 0] }] });
    let infer = ask("POST /v2/models/shapes/infer", &tensor.to_string(), 200);
    assert_eq!(infer["model_version"], "1");
    ask("POST /v2/models/nobody/infer", &tensor.to_string(), 404);
    ask("POST /predict", "{", 400);

    run(at, &["models", "promote", "shapes", "2"]).expect(0);
    // A server looks for moved aliases about once a second; asking takes less than a millisecond.
    let moved = (0..1_000_000)
        .any(|_| ask("POST /v2/models/shapes/infer", &tensor.to_string(), 200)["model_version"] == "2");
    assert!(moved, "the new version is served without a restart");
    server.interrupt().expect(0);
}

#[test]
fn serve_prints_json_and_serves_only_what_is_asked_for() {
    let folder = trained();
    let at = folder.path();
    let mut server = Running::start(at, &["serve", "--listen", "127.0.0.1:0", "--model", "shapes", "--json"]);
    let line = server.wait_for("address");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told["models"], json!([{ "model": "shapes", "version": 1, "problem": null }]));
    server.interrupt().expect(0);
    run(at, &["serve", "--listen", "127.0.0.1:0", "--model", "shades"])
        .expect(5)
        .says("shades")
        .says("hint: ");
}

#[test]
fn a_port_in_use_is_told_before_anything_is_trained() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("it is bound").to_string();
    let folder = trained();
    let up = run(folder.path(), &["up", ".", "--force", "--listen", &address]).expect(7);
    assert!(!up.stderr.contains("epoch"), "nothing was trained\n{up}");
    up.says(&format!("cannot listen on {address}")).says("hint: another program listens there");
    run(folder.path(), &["serve", "--listen", &address]).expect(7);
    run(folder.path(), &["serve", "--listen", "192.0.2.1:80"]).expect(7).says("an address of this machine");
}

#[test]
fn a_store_without_models_is_not_served() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path(), &["serve", "--store", "nowhere"]).expect(5).says("there is no store at nowhere");
}
