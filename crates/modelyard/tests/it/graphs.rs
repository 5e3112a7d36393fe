//! Graphs of models through the real binary: declared, served by every protocol, changed, undone; and a model
//! cut into stages that answer from two processes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Running, damage, http, run, trained, trained_twice};

const ENSEMBLE: &str = r#"
[outputs]
probabilities = "both"

[[steps]]
name = "old"
model = "shapes"
version = "1"
inputs = { input = "request.x" }

[[steps]]
name = "new"
model = "shapes"
version = "2"
inputs = { input = "request.x" }

[[steps]]
name = "both"
combine = "mean"
of = ["old", "new"]
"#;

fn serve(at: &Path, store: &str) -> (Running, SocketAddr) {
    let mut server = Running::start(at, &["serve", "--store", store, "--listen", "127.0.0.1:0"]);
    let address = server.wait_for_address();
    (server, address)
}

fn rows(name: &str) -> String {
    let data: Vec<f64> = (0..12).map(|value| f64::from(value) / 7.0 - 0.5).collect();
    json!({ "inputs": [{ "name": name, "datatype": "FP32", "shape": [2, 6], "data": data }] }).to_string()
}

/// The numbers of the first output.
fn infer(address: SocketAddr, path: &str, input: &str) -> Vec<f64> {
    let (status, body) = http(address, &format!("POST /v2/models/{path}/infer"), &rows(input));
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["outputs"][0]["data"].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect()
}

/// Asks until what is wanted happens: a server looks at its store about once a second.
#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| wanted()), "{what}");
}

#[test]
fn a_graph_is_declared_served_changed_and_undone() {
    let folder = trained_twice();
    let at = folder.path();
    fs::write(at.join("both.toml"), ENSEMBLE).expect("can write");
    let set = run(at, &["graphs", "set", "both", "both.toml", "--json"]).expect(0).json();
    assert_eq!(
        (&set["version"], &set["kind"], &set["declared"]["steps"][0]["model"]),
        (&json!(1), &json!("set"), &json!("shapes"))
    );
    run(at, &["graphs", "show", "both"]).expect(0).prints("takes x FP32 [-1, 6]").prints("both: mean of 2");
    run(at, &["graphs", "list"]).expect(0).prints("old: shapes 1, new: shapes 2");

    let (server, address) = serve(at, ".modelyard");
    let (old, new) =
        (infer(address, "shapes/versions/1", "input"), infer(address, "shapes/versions/2", "input"));
    let both = infer(address, "both", "x");
    for ((old, new), both) in old.iter().zip(&new).zip(&both) {
        assert!((f64::midpoint(*old, *new) - both).abs() < 1e-6, "{old} and {new} give {both}");
    }
    let about: Value = serde_json::from_str(&http(address, "GET /v2/models/both", "").1).expect("JSON");
    assert_eq!((&about["platform"], &about["versions"]), (&json!("modelyard_graph"), &json!(["1"])));
    assert_eq!(about["inputs"], json!([{ "name": "x", "datatype": "FP32", "shape": [-1, 6] }]));
    assert_eq!(http(address, "GET /v2/models/both/config", "").0, 200);
    assert_eq!(http(address, "GET /v2/models/both/stats", "").0, 200);
    let row = r#"{"instances": [[0, 0, 1, 0, 0, 0]]}"#;
    let (status, told) = http(address, "POST /v1/models/both:predict", row);
    assert!(status == 200 && told.contains("predictions"), "{status} {told}");
    rows_by_name(address);

    let weighted = ENSEMBLE.replace("\"mean\"", "\"weighted\"\nweights = [1, 0]");
    fs::write(at.join("both.toml"), weighted).expect("can write");
    run(at, &["graphs", "set", "both", "both.toml", "--why", "the old one is better"]).expect(0);
    until("the other graph answers", || infer(address, "both", "x") == old);
    run(at, &["graphs", "rollback", "both"]).expect(0).prints("both version 3");
    until("the graph before answers", || infer(address, "both", "x") == both);
    run(at, &["graphs", "delete", "both"]).expect(0).prints("not served any more");
    until("it is gone", || http(address, "POST /v2/models/both/infer", &rows("x")).0 == 404);
    let history = run(at, &["graphs", "history", "both", "--json"]).expect(0).json();
    let kinds: Vec<&str> =
        history["changes"].as_array().expect("a list").iter().filter_map(|c| c["kind"].as_str()).collect();
    assert_eq!(kinds, ["deletion", "rollback", "set", "set"]);
    assert_eq!(history["changes"][2]["why"], "the old one is better");
    server.interrupt().expect(0);

    run(at, &["graphs", "rollback", "both"]).expect(0);
    for version in fs::read_dir(at.join(".modelyard/versions/shapes")).expect("there") {
        let _ = fs::remove_file(version.expect("readable").path().join("signature.json"));
    }
    let why = "its steps do not go together: signature.json of shapes version";
    run(at, &["graphs", "show", "both"]).expect(0).prints("both: mean of 2").prints(why);
}

#[test]
fn a_graph_that_makes_no_sense_is_refused_with_the_reason() {
    let folder = trained();
    let at = folder.path();
    let refused = |text: &str, code: i32, want: &str| {
        fs::write(at.join("bad.toml"), text).expect("can write");
        run(at, &["graphs", "set", "bad", "bad.toml"]).expect(code).says(want);
    };
    let one = "outputs = { y = \"a\" }\n[[steps]]\nname = \"a\"\nmodel = \"shapes\"\n";
    refused("steps = 3", 3, "bad.toml declares no graph");
    refused("outputs = {}\n[[steps]]\nname = \"a\"\nmodle = \"shapes\"", 3, "modle");
    refused(
        &format!("{one}inputs = {{ inptu = \"request.x\" }}"),
        3,
        "takes no \"inptu\", it takes input; did you mean",
    );
    refused(&format!("{one}inputs = {{ input = \"a\" }}"), 3, "wait for each other: a → a");
    refused(&one.replace("shapes", "shape"), 3, "it has no inputs");
    let unknown = format!("{}inputs = {{ input = \"request.x\" }}", one.replace("shapes", "shape"));
    refused(&unknown, 3, "no model named \"shape\" is registered; did you mean \"shapes\"?");
    let dead = format!("{one}servers = [\"127.0.0.1:1\"]\ninputs = {{ input = \"request.x\" }}");
    refused(&dead, 7, "its servers do not tell what shapes takes: 127.0.0.1:1: ");
    run(at, &["graphs", "set", "shapes", "bad.toml"]).expect(7);
    run(at, &["graphs", "show", "bad"]).expect(5).says("there is no graph named \"bad\"");
    run(at, &["graphs", "set", "bad", "nowhere.toml"]).expect(5).says("nowhere.toml");
    run(at, &["graphs", "list"]).expect(0).prints("no graphs yet");
}

/// Rows by name through an ensemble of two versions that were trained alike: each prepares them for itself.
fn rows_by_name(address: SocketAddr) {
    let row = r#"{"instances": [{"width": 9, "height": 1, "colour": "red"}, {"width": 1, "height": 8, "colour": "blue"}]}"#;
    let ask = |path: &str| -> Value {
        let (status, told) = http(address, &format!("POST /v1/models/{path}:predict"), row);
        assert_eq!(status, 200, "{told}");
        serde_json::from_str(&told).expect("JSON")
    };
    let (old, new, both) = (ask("shapes/versions/1"), ask("shapes/versions/2"), ask("both"));
    for at in 0..2 {
        let [old, new, both] = [&old, &new, &both].map(|answer| &answer["predictions"][at]);
        let (name, parts) = both.as_object().and_then(|answer| answer.iter().next()).expect("a named answer");
        let chances = parts["probabilities"].as_object().expect("of each class");
        for (class, chance) in chances {
            let mean =
                [old, new].map(|answer| answer[name]["probabilities"][class].as_f64().expect("a number"));
            let chance = chance.as_f64().expect("a number");
            assert!((f64::midpoint(mean[0], mean[1]) - chance).abs() < 1e-6, "{old} and {new} give {both}");
        }
    }
    let wrong = r#"{"instances": [{"width": 9, "colour": "red"}]}"#;
    let (status, told) = http(address, "POST /v1/models/both:predict", wrong);
    assert!(status == 400 && told.contains("height"), "{status} {told}");
}

#[test]
fn a_damaged_graph_is_named_and_the_others_are_listed() {
    let folder = trained_twice();
    let at = folder.path();
    fs::write(at.join("both.toml"), ENSEMBLE).expect("can write");
    run(at, &["graphs", "set", "both", "both.toml"]).expect(0);
    run(at, &["graphs", "set", "other", "both.toml"]).expect(0);
    damage(at, "UPDATE graph_changes SET graph = '{' WHERE name = 'both'");
    let list = run(at, &["graphs", "list"]).expect(0).prints("old: shapes 1, new: shapes 2");
    let line = list.stdout.lines().find(|line| line.starts_with("both ")).expect("it is named");
    assert!(line.contains("graph"), "with the reason: {line}");
    let json = run(at, &["graphs", "list", "--json"]).expect(0).json();
    assert_eq!((&json["graphs"][0]["graph"], &json["graphs"][1]), (&json!("other"), &Value::Null));
    assert_eq!(json["damaged"][0]["graph"], "both", "{json}");
    run(at, &["graphs", "show", "both"]).expect(6);
}

#[test]
fn the_files_of_a_step_with_tls_stand_beside_the_graph() {
    let folder = trained();
    let at = folder.path();
    let tensor = |name: &str| format!("[{{ name = \"{name}\", data_type = \"FP32\", shape = [-1, 6] }}]");
    let graph = format!(
        "outputs = {{ y = \"a\" }}\n[[steps]]\nname = \"a\"\nmodel = \"far\"\nservers = [\"grpcs://far:443\"]\n\
         tls = {{ ca = \"ca.pem\" }}\ninputs = {{ x = \"request.x\" }}\ntakes = {}\ngives = {}\n",
        tensor("x"),
        tensor("y")
    );
    fs::create_dir(at.join("sub")).expect("can make");
    fs::write(at.join("sub/far.toml"), &graph).expect("can write");
    let set = run(at, &["graphs", "set", "far-away", "sub/far.toml", "--json"]).expect(0).json();
    let file = at.canonicalize().expect("there").join("sub/ca.pem");
    assert_eq!(set["declared"]["steps"][0]["tls"]["ca"].as_str(), file.to_str(), "{set}");
    fs::write(at.join("sub/far.toml"), graph.replace("grpcs://", "")).expect("can write");
    run(at, &["graphs", "set", "far-away", "sub/far.toml"])
        .expect(3)
        .says("no server that begins with grpcs://");
}

/// The stages of the small network: one in `store-2` alone, the other beside the whole in `store-1`.
fn stages(folder: &TempDir) {
    let at = folder.path();
    run(at, &["export", "shapes", "--out", "whole.onnx"]).expect(0);
    run(at, &["split", "whole.onnx", "--at", "relu_9"]).expect(3).says("did you mean \"relu_");
    let (long, many) = ("x".repeat(63), ["--at", "relu_1"].repeat(64));
    let named = run(at, &["split", "whole.onnx", "--at", "relu_1", "--name", &long]).expect(3);
    named.says("it is longer than 64 bytes").says("a shorter name with --name");
    let cut = run(at, &[&["split", "whole.onnx"][..], &many].concat()).expect(3);
    cut.says("64 cuts make 65 stages, and a graph joins 64 at most").says("leave some");
    assert!(!at.join("whole-stages").exists(), "nothing is written before all is known to be good");
    let split = run(at, &["split", "whole.onnx", "--at", "relu_1", "--json"]).expect(0).json();
    assert_eq!(split["stages"].as_array().map(Vec::len), Some(2), "{split}");
    run(at, &["split", "whole.onnx", "--at", "relu_1"]).expect(3).says("is not empty");
    run(at, &["import", "whole.onnx", "--name", "whole", "--store", "store-1"]).expect(0);
    for (number, store) in [("1", "store-1"), ("2", "store-2")] {
        let (file, name) = (format!("whole-stages/whole-{number}.onnx"), format!("whole-{number}"));
        run(at, &["import", &file, "--name", &name, "--store", store]).expect(0);
    }
}

#[test]
fn a_model_in_two_processes_answers_as_the_whole_does() {
    let folder = trained();
    let at = folder.path();
    stages(&folder);
    let (back, there) = serve(at, "store-2");
    let file = at.join("whole-stages/graph.toml");
    let graph = fs::read_to_string(&file).expect("written");
    let (first, second) = graph.split_once("name = \"stage-2\"").expect("two stages");
    let second =
        second.replace("# servers = [\"host:port\"]", &format!("servers = [\"{there}\"]\nscatter_rows = 1"));
    fs::write(&file, format!("{first}name = \"stage-2\"{second}")).expect("can write");
    run(at, &["graphs", "set", "joined", "whole-stages/graph.toml", "--store", "store-1"]).expect(0);

    let (front, here) = serve(at, "store-1");
    for _ in 0..3 {
        assert_eq!(infer(here, "joined", "input"), infer(here, "whole", "input"), "bit for bit");
    }
    let metrics = http(here, "GET /metrics", "").1;
    assert!(
        metrics.contains("modelyard_graph_step_seconds_count{graph=\"joined\",step=\"stage-2\"} 3"),
        "{metrics}"
    );
    let hurried = rows("input").replacen('{', "{\"parameters\": {\"timeout\": 1}, ", 1);
    let (status, told) = http(here, "POST /v2/models/joined/infer", &hurried);
    assert_eq!(status, 504, "{told}");

    back.interrupt().expect(0);
    let (status, told) = http(here, "POST /v2/models/joined/infer", &rows("input"));
    assert!(status == 503 && told.contains("stage-2"), "{status} {told}");
    assert_eq!(http(here, "GET /v2/models/joined/ready", "").0, 200, "its other step answers");
    front.interrupt().expect(0);
}
