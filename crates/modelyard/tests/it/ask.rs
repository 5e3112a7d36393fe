//! `modelyard ask` and the client crate behind it, against the real server.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use modelyard_client::{Client, ClientConfig, Form, Inference, SequenceId, SequencePlace};
use modelyard_types::{ErrorKind, NamedTensor, Tensor};
use serde_json::{Value, json};

use crate::harness::{Running, command, run, trained};

const ROWS: &str = "{\"width\": 11, \"height\": 1, \"colour\": \"red\"}\n\n{\"width\": 1, \"height\": 9, \"colour\": \"blue\"}\n";

#[test]
fn rows_are_asked_of_a_running_server() {
    let folder = trained();
    let at = folder.path();
    let mut server = Running::start(at, &["serve", "--store", ".modelyard", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", server.wait_for_address());
    std::fs::write(at.join("rows.jsonl"), ROWS).expect("can write");
    let told = run(at, &["ask", "shapes", "rows.jsonl", "--server", &url, "--rows-at-once", "1"]).expect(0);
    let labels: Vec<Value> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["kind"]["label"].clone())
        .collect();
    assert_eq!(labels, ["wide", "tall"], "{}", told.stdout);

    let mut piped = command(at, &["ask", "shapes", "--model-version", "live", "--server", &url]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    child.stdin.take().expect("it is piped").write_all(ROWS.as_bytes()).expect("it is taken");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), told.stdout);

    let ask = |more: &[&str]| run(at, &[&["ask"], more, &["--server", &url]].concat());
    ask(&["shapse", "rows.jsonl"]).expect(5).says("there is no model \"shapse\"; did you mean \"shapes\"?");
    ask(&["shapes", "rows.jsonl", "--model-version", "9"]).expect(5).says("has no version 9");
    ask(&["shapes", "nowhere.jsonl"]).expect(5).says("cannot read nowhere.jsonl").says("hint: ");
    std::fs::write(at.join("bad.jsonl"), "{\"width\": 1}\n{width}\n").expect("can write");
    ask(&["shapes", "bad.jsonl"]).expect(3).says("bad.jsonl:2: no JSON").says("hint: write one row a line");
    server.interrupt().expect(0);
    let gone = run(at, &["ask", "shapes", "rows.jsonl", "--server", &url, "--timeout-ms", "500"]).expect(7);
    gone.says("cannot connect to").says("modelyard serve");
    run(at, &["ask", "shapes", "--server", "localhost"]).expect(3).says("is no server's address");
}

#[test]
fn the_client_crate_is_served() {
    let folder = trained();
    let mut server =
        Running::start(folder.path(), &["serve", "--store", ".modelyard", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", server.wait_for_address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(converse(&url));
    server.interrupt().expect(0);
}

async fn converse(url: &str) {
    let config = ClientConfig { timeout: Duration::from_secs(60), ..ClientConfig::default() };
    let client = Client::new(url, config).expect("an address");
    assert!(client.is_live().await.expect("reached") && client.is_ready().await.expect("reached"));
    assert!(client.is_model_ready("shapes", Some("1")).await.expect("reached"));
    assert!(!client.is_model_ready("nobody", None).await.expect("reached"));
    let about = client.server_metadata().await.expect("an answer");
    assert!(about.name == "modelyard" && about.extensions.iter().any(|own| own == "binary_tensor_data"));
    let metadata = client.model_metadata("shapes", None).await.expect("an answer");
    assert_eq!((metadata.versions, metadata.inputs.len()), (vec!["1".to_owned()], 1));
    let width = metadata.inputs[0].shape.len();
    assert_eq!(width, 2);

    let tensor = Tensor::new(vec![2, 6], vec![0.5_f32; 12].into()).expect("it fits");
    let input = NamedTensor { name: metadata.inputs[0].name.clone(), tensor };
    let raw = Inference { id: Some("q".to_owned()), ..Inference::new("shapes", vec![input]) };
    let answer = client.infer(&raw).await.expect("an answer");
    assert_eq!((answer.version.as_str(), answer.id.as_deref()), ("1", Some("q")));
    let json =
        Inference { form: Form::Json, version: Some("live".to_owned()), priority: Some(1), ..raw.clone() };
    assert_eq!(client.infer(&json).await.expect("an answer").outputs, answer.outputs, "raw and as JSON");

    let place = SequencePlace { id: SequenceId::Text("s".to_owned()), start: true, end: false };
    let error = client.infer(&Inference { sequence: Some(place), ..raw.clone() }).await.expect_err("dense");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("takes no sequences"), "{error}");
    let row = json!({ "width": 11, "height": 1, "colour": "red" });
    let predicted = client.predict("shapes", None, &[row]).await.expect("an answer");
    assert_eq!(predicted[0]["kind"]["label"], json!("wide"));
}
