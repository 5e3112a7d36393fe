//! Models served from folders, as users have them.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Running, http, run, trained};

fn ask(address: std::net::SocketAddr, request: &str, body: &Value) -> (u16, Value) {
    let (status, text) = http(address, request, &body.to_string());
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn rows(count: usize) -> Value {
    json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [count, 6], "data": vec![0.5; 6 * count] }] })
}

#[test]
fn a_triton_repository_and_plain_files_are_served_and_controlled() {
    let folder = trained();
    let at = folder.path();
    for place in ["models/plain.onnx", "models/tidy/1/model.onnx", "models/tidy/2/model.onnx"] {
        let place = at.join(place);
        fs::create_dir_all(place.parent().expect("it has one")).expect("can make folders");
        run(at, &["export", "shapes", "--out", &place.to_string_lossy()]).expect(0);
    }
    let config = "platform: \"onnxruntime_onnx\"\nmax_batch_size: 4\nversion_policy { all { } }\n\
                  dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 100 }\n";
    fs::write(at.join("models/tidy/config.pbtxt"), config).expect("can write");
    fs::create_dir_all(at.join("models/gpu/1")).expect("can make folders");
    let gpu = "instance_group {\n  count: 1\n  kind: KIND_GPU\n}\n";
    fs::write(at.join("models/gpu/config.pbtxt"), gpu).expect("can write");
    fs::write(at.join("own.toml"), "[models.plain]\nruntime = \"rten\"\nworkers = 1\n").expect("can write");

    let args = ["serve", "--models", "models", "--config", "own.toml", "--repository-control"];
    let mut server = Running::start(at, &[&args[..], &["--listen", "127.0.0.1:0"]].concat());
    server.wait_for("gpu is not served: gpu/config.pbtxt:3: instance_group kind KIND_GPU is not supported");
    let address = server.wait_for_address();
    let (status, answer) = ask(address, "POST /v2/models/tidy/infer", &rows(4));
    assert_eq!((status, &answer["model_version"]), (200, &json!("2")), "{answer}");
    let (status, answer) = ask(address, "POST /v2/models/tidy/versions/1/infer", &rows(1));
    assert_eq!((status, &answer["model_version"]), (200, &json!("1")), "{answer}");
    assert_eq!(ask(address, "POST /v2/models/tidy/infer", &rows(5)).0, 413, "more than max_batch_size");
    let (_, config) = ask(address, "GET /v2/models/tidy/config", &Value::Null);
    assert_eq!(config["dynamic_batching"]["preferred_batch_size"], json!([2]), "{config}");
    let (_, config) = ask(address, "GET /v2/models/plain/config", &Value::Null);
    assert_eq!((&config["backend"], &config["instance_group"][0]["count"]), (&json!("rten"), &json!(1)));
    let (status, refused) = ask(address, "POST /v2/models/gpu/infer", &rows(1));
    assert_eq!((status, &refused["kind"]), (409, &json!("failed_precondition")), "{refused}");

    let (_, index) = ask(address, "POST /v2/repository/index", &json!({ "ready": true }));
    let ready = |name: &str| index.as_array().expect("a list").iter().filter(|e| e["name"] == name).count();
    assert_eq!((ready("plain"), ready("tidy"), ready("gpu")), (1, 2, 0), "{index}");
    assert_eq!(ask(address, "POST /v2/repository/models/plain/unload", &json!({})).0, 200);
    assert_eq!(ask(address, "POST /v2/models/plain/infer", &rows(1)).0, 503);
    assert_eq!(ask(address, "POST /v2/repository/models/plain/load", &json!({})).0, 200);
    assert_eq!(ask(address, "POST /v2/models/plain/infer", &rows(1)).0, 200);
    server.interrupt().expect(0);
}

#[test]
fn one_model_as_kserve_mounts_it_has_the_name_that_is_given() {
    let folder = trained();
    let at = folder.path();
    fs::create_dir_all(at.join("mnt/models")).expect("can make folders");
    run(at, &["export", "shapes", "--out", "mnt/models/model.onnx"]).expect(0);
    let args = ["serve", "--models", "mnt/models", "--model", "pumps", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(at, &args);
    server.wait_for("pumps version 1");
    let address = server.wait_for_address();
    assert_eq!(ask(address, "POST /v2/models/pumps/infer", &rows(2)).0, 200);
    server.interrupt().expect(0);
}

#[test]
fn what_cannot_be_served_is_told_before_anybody_listens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let serve = |more: &[&str]| run(at, &[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    serve(&["--models", "nowhere"]).expect(5).says("there is no folder nowhere").says("hint: ");
    fs::create_dir_all(at.join("empty")).expect("can make folders");
    serve(&["--models", "empty"]).expect(3).says("there is no model in it").says("name/1/model.onnx");
    fs::create_dir_all(at.join("models")).expect("can make folders");
    fs::write(at.join("models/m.onnx"), b"noise").expect("can write");
    serve(&["--models", "models", "--model", "n", "--model", "m"]).expect(5).says("there is no model \"n\"");
    fs::write(at.join("own.toml"), "[models.m]\nworker = 1\n").expect("can write");
    let mistyped = serve(&["--models", "models", "--config", "own.toml"]).expect(3);
    mistyped.says("own.toml").says("unknown field `worker`");
    fs::write(at.join("own.toml"), "[models.m]\nruntime = \"tensorrt\"\n").expect("can write");
    serve(&["--models", "models", "--config", "own.toml"]).expect(5).says("tensorrt");
    fs::write(at.join("own.toml"), "[models.k]\nworkers = 1\n").expect("can write");
    serve(&["--models", "models", "--config", "own.toml"]).expect(5).says("in the --config file");
}
