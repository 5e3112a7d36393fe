//! Sequences over HTTP: a series in pieces is answered as the whole would be, in order, on one version, and what
//! cannot be gone on with is told.

use std::sync::Arc;
use std::time::Duration;

use modelyard_api::ApiConfig;
use modelyard_model::{Network, NetworkSpec};
use modelyard_serve::ServeConfig;
use modelyard_types::Version;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::shared_memory::Object;
use crate::support::{Files, Reply, Running, Store, native, onnx};

const STEPS: usize = 6;
const INFER: &str = "/v2/models/m/infer";

/// A network over a series of pairs; the seed makes it another one.
fn recurrent(layer: &Value, seed: u64) -> Files {
    let dense = json!({ "type": "dense", "units": 2, "activation": "tanh" });
    let spec = json!({ "input": [STEPS, 2], "layers": [layer, dense] });
    let spec: NetworkSpec = serde_json::from_value(spec).expect("a network");
    let network = Network::init(spec, seed).expect("it fits together");
    Files::from([
        ("network.json".to_owned(), network.network_json().into_bytes()),
        ("weights.safetensors".to_owned(), network.weights_safetensors()),
        ("model.onnx".to_owned(), network.to_onnx().expect("exports")),
    ])
}

fn gru(seed: u64) -> Files {
    recurrent(&json!({ "type": "gru", "units": 5 }), seed)
}

fn values(of: std::ops::Range<usize>) -> Vec<f64> {
    of.map(|at| (at * 7 % 11) as f64 / 11.0 - 0.5).collect()
}

/// A request of these steps of the series; `parameters` place it in a sequence.
fn piece(steps: std::ops::Range<usize>, parameters: &Value) -> String {
    let shape = [1, steps.len(), 2];
    let data = values(2 * steps.start..2 * steps.end);
    let input = json!({ "name": "input", "datatype": "FP32", "shape": shape, "data": data });
    json!({ "inputs": [input], "parameters": parameters }).to_string()
}

#[track_caller]
fn answer(reply: &Reply) -> Vec<f64> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    let data = json["outputs"][0]["data"].as_array().expect("values");
    data.iter().map(|value| value.as_f64().expect("a number")).collect()
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-6), "{got:?} is not {want:?}");
}

async fn serve(files: Files, serve: ServeConfig) -> (Store, Running) {
    let store = Store::new().await;
    store.publish("m", files).await;
    let running = store.serve_with(serve, ApiConfig::default()).await;
    (store, running)
}

/// The lines of the metrics page.
async fn shows(running: &Running, line: &str) -> bool {
    running.get("/metrics").await.text().lines().any(|own| own == line)
}

#[tokio::test]
async fn a_series_in_pieces_is_answered_as_the_whole() {
    let (_store, running) = serve(gru(1), ServeConfig::default()).await;
    let extensions = running.get("/v2").await.json()["extensions"].clone();
    assert!(extensions.as_array().is_some_and(|all| all.contains(&json!("sequence"))), "{extensions}");
    let whole = answer(&running.post(INFER, piece(0..STEPS, &json!({}))).await);
    for (id, cuts) in
        [(json!(7), vec![0, 1, 2, 3, 4, 5, 6]), (json!("text"), vec![0, 4, 6]), (json!(8), vec![0, 6])]
    {
        let mut last = Vec::new();
        for cut in cuts.windows(2) {
            let place = json!({
                "sequence_id": id, "sequence_start": cut[0] == 0, "sequence_end": cut[1] == STEPS,
            });
            last = answer(&running.post(INFER, piece(cut[0]..cut[1], &place)).await);
        }
        assert_close(&last, &whole);
    }
    assert!(shows(&running, "modelyard_sequences_live 0").await);
    assert!(shows(&running, "modelyard_sequences_begun_total 3").await);
    let start = json!({ "sequence_id": 9, "sequence_start": true });
    for _ in 0..2 {
        answer(&running.post(INFER, piece(0..1, &start)).await);
    }
    assert!(shows(&running, "modelyard_sequences_live 1").await, "the second began anew in its place");
    assert!(!shows(&running, "modelyard_sequence_bytes 0").await);
    let stats = running.get("/v2/models/m/stats").await.json();
    assert_eq!(stats["model_stats"][0]["inference_stats"]["success"]["count"], json!(12), "{stats}");
    running.stop().await;
}

#[tokio::test]
async fn many_sequences_at_once_do_not_mix() {
    let (_store, running) =
        serve(recurrent(&json!({ "type": "lstm", "units": 16 }), 3), ServeConfig::default()).await;
    let whole = answer(&running.post(INFER, piece(0..STEPS, &json!({}))).await);
    let running = Arc::new(running);
    let mut callers = JoinSet::new();
    for id in 1..=20_u64 {
        let running = Arc::clone(&running);
        callers.spawn(async move {
            let mut client = running.client().await;
            let mut last = Vec::new();
            for step in 0..STEPS {
                let place = json!({ "sequence_id": id, "sequence_start": step == 0 });
                let body = piece(step..step + 1, &place);
                last = answer(&client.send("POST", INFER, &[], body.as_bytes()).await.expect("an answer"));
            }
            last
        });
    }
    for last in callers.join_all().await {
        assert_close(&last, &whole);
    }
    assert!(shows(&running, "modelyard_sequences_live 20").await);
    Arc::into_inner(running).expect("all callers are done").stop().await;
}

#[tokio::test]
async fn a_sequence_ends_on_the_version_that_it_began_on() {
    let (store, running) = serve(gru(1), ServeConfig::default()).await;
    let whole = answer(&running.post(INFER, piece(0..STEPS, &json!({}))).await);
    let place = |start: bool| json!({ "sequence_id": 1, "sequence_start": start });
    answer(&running.post(INFER, piece(0..3, &place(true))).await);
    let second = store.publish("m", gru(2)).await.version;
    store.promote("m", second).await;
    running.server.refresh().await.expect("the registry is there");
    let reply = running.post(INFER, piece(0..STEPS, &json!({}))).await;
    assert_eq!(reply.json()["model_version"], json!("2"));
    let reply = running.post(INFER, piece(3..STEPS, &place(false))).await;
    assert_eq!(reply.json()["model_version"], json!(Version::FIRST.to_string()), "{}", reply.text());
    assert_close(&answer(&reply), &whole);
    let other = running.post("/v2/models/m/versions/2/infer", piece(3..4, &place(false))).await;
    assert!(other.failure(400, "invalid_argument").contains("runs on version 1"));
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_gone_on_with_is_told() {
    let few = ServeConfig { sequences_max: 1, request_rows_max: 5, ..ServeConfig::default() };
    let (_store, running) = serve(gru(1), few).await;
    let ask = async |steps, place: Value| running.post(INFER, piece(steps, &place)).await;
    let unknown = ask(0..1, json!({ "sequence_id": 5 })).await;
    assert!(unknown.failure(404, "not_found").contains("no live sequence 5 of model m"));
    assert!(unknown.json()["hint"].as_str().is_some_and(|hint| hint.contains("sequence_start")));
    let nameless = ask(0..1, json!({ "sequence_start": true })).await;
    assert!(nameless.failure(400, "invalid_argument").contains("need a sequence_id"));
    assert_eq!(ask(0..1, json!({ "sequence_id": -1 })).await.status, 400);

    let failed = json!({ "inputs": [{ "name": "other", "datatype": "FP32", "shape": [1, 1, 2], "data": [0, 0] }],
        "parameters": { "sequence_id": 6, "sequence_start": true } });
    running.post(INFER, failed.to_string()).await.failure(400, "invalid_argument");
    assert_eq!(ask(0..1, json!({ "sequence_id": 6 })).await.status, 404, "what failed never began");

    answer(&ask(0..1, json!({ "sequence_id": "a", "sequence_start": true })).await);
    let full = ask(0..1, json!({ "sequence_id": "b", "sequence_start": true })).await;
    assert!(full.failure(429, "resource_exhausted").contains("1 sequences live"));
    let rows = json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [2, 1, 2], "data": [0, 0, 0, 0] }],
        "parameters": { "sequence_id": "a" } });
    let rows = running.post(INFER, rows.to_string()).await;
    assert!(rows.failure(400, "invalid_argument").contains("has one row, this has 2"));
    let long = ask(0..STEPS, json!({ "sequence_id": "a" })).await;
    assert!(long.failure(413, "too_large").contains("has from 1 to 5 steps, this has 6"));
    let whole = answer(&ask(0..STEPS, json!({})).await);
    assert_close(&answer(&ask(1..STEPS, json!({ "sequence_id": "a", "sequence_end": true })).await), &whole);
    assert_eq!(ask(0..1, json!({ "sequence_id": "a" })).await.status, 404, "it ended");
    running.stop().await;
}

#[tokio::test]
async fn a_sequence_ends_without_a_step() {
    let (_store, running) = serve(gru(1), ServeConfig::default()).await;
    answer(&running.post(INFER, piece(0..1, &json!({ "sequence_id": 1, "sequence_start": true }))).await);
    let bare = |place: Value| json!({ "inputs": [], "parameters": place }).to_string();
    let reply = running.post(INFER, bare(json!({ "sequence_id": 1 }))).await;
    assert!(reply.failure(400, "invalid_argument").contains("\"input\" is missing"), "no end, no inputs");
    let end = bare(json!({ "sequence_id": 1, "sequence_end": true }));
    let reply = running.post(INFER, end.clone()).await;
    assert_eq!((reply.status, &reply.json()["outputs"]), (200, &json!([])), "{}", reply.text());
    assert!(shows(&running, "modelyard_sequences_live 0").await);
    assert_eq!(running.post(INFER, end).await.status, 404, "it has ended");
    let start = bare(json!({ "sequence_id": 1, "sequence_start": true, "sequence_end": true }));
    assert_eq!(running.post(INFER, start).await.status, 400, "nothing began");
    running.stop().await;
}

/// Bytes of a store's models in memory, and of what is remembered of a sequence of `m`.
async fn measure(store: &Store) -> (u64, u64) {
    let running = store.serve().await;
    answer(&running.post(INFER, piece(0..1, &json!({ "sequence_id": 1, "sequence_start": true }))).await);
    let page = running.get("/metrics").await;
    let line = page.text().lines().find_map(|line| line.strip_prefix("modelyard_sequence_bytes "));
    let past = line.and_then(|text| text.parse().ok()).expect("a number");
    let loaded = running.server.loaded_bytes();
    running.stop().await;
    (loaded, past)
}

#[tokio::test]
async fn what_is_remembered_counts_in_the_memory_budget() {
    let store = Store::new().await;
    store.publish("m", gru(1)).await;
    store.publish("other", onnx(2, 2, 1)).await;
    let (both, past) = measure(&store).await;
    assert!(past >= 20, "5 units remember at least as many numbers");
    let budget = ServeConfig { memory_budget_bytes: Some(both + past + 5), ..ServeConfig::default() };
    let running = store.serve_with(budget, ApiConfig::default()).await;
    let begin = async |id: u64| {
        running.post(INFER, piece(0..1, &json!({ "sequence_id": id, "sequence_start": true }))).await
    };
    let loaded = || running.server.loaded().iter().map(|v| v.model().to_string()).collect::<Vec<_>>();
    answer(&begin(1).await);
    assert_eq!(loaded(), ["m", "other"], "there is room for one");
    answer(&begin(2).await);
    assert_eq!(loaded(), ["m"], "the second has another model put to sleep");
    assert!(shows(&running, &format!("modelyard_sequence_bytes {}", 2 * past)).await);
    let data = json!({ "name": "input", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.5] });
    let ask = async || running.post("/v2/models/other/infer", json!({ "inputs": [data] }).to_string()).await;
    let refused = ask().await.failure(429, "resource_exhausted");
    assert!(refused.contains("has no room"), "a model with live sequences does not make room: {refused}");
    answer(&running.post(INFER, piece(1..2, &json!({ "sequence_id": 2, "sequence_end": true }))).await);
    assert_eq!(ask().await.status, 200, "the sequence gave its bytes back");
    running.stop().await;

    let alone = Store::new().await;
    alone.publish("m", gru(1)).await;
    let (bytes, _) = measure(&alone).await;
    let budget = ServeConfig { memory_budget_bytes: Some(bytes + 2 * past), ..ServeConfig::default() };
    let running = alone.serve_with(budget, ApiConfig::default()).await;
    let start = |id: u64| piece(0..1, &json!({ "sequence_id": id, "sequence_start": true }));
    for id in [1, 2] {
        answer(&running.post(INFER, start(id)).await);
    }
    let message = running.post(INFER, start(3)).await.failure(429, "resource_exhausted");
    assert!(message.contains(&format!("a sequence of model m takes {past} bytes")), "{message}");
    answer(&running.post(INFER, piece(1..2, &json!({ "sequence_id": 1, "sequence_end": true }))).await);
    answer(&running.post(INFER, start(3)).await);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_sequence_makes_room() {
    let short = ServeConfig { sequences_max: 1, sequence_idle: Duration::ZERO, ..ServeConfig::default() };
    let (_store, running) = serve(gru(1), short).await;
    let start = |id: u64| piece(0..1, &json!({ "sequence_id": id, "sequence_start": true }));
    answer(&running.post(INFER, start(1)).await);
    let gone = running.post(INFER, piece(1..2, &json!({ "sequence_id": 1 }))).await;
    assert!(gone.failure(404, "not_found").contains("expired after 0 s without a request"));
    answer(&running.post(INFER, start(2)).await);
    assert!(shows(&running, "modelyard_sequences_expired_total 1").await);
    running.stop().await;
}

#[tokio::test]
async fn a_model_that_takes_no_sequences_says_why() {
    let both = json!({ "type": "bidirectional", "layer": { "type": "gru", "units": 3 } });
    for (files, shape, want) in [
        (recurrent(&both, 1), vec![1, STEPS, 2], "layer 0 (bidirectional) needs the whole series"),
        (native(2, 2, 1), vec![1, 2], "its input is no series"),
        (onnx(2, 2, 1), vec![1, 2], "keeps nothing between requests"),
    ] {
        let (_store, running) = serve(files, ServeConfig::default()).await;
        let data = vec![0.5; shape.iter().product()];
        let input = json!({ "name": "input", "datatype": "FP32", "shape": shape, "data": data });
        let place = json!({ "sequence_id": 1, "sequence_start": true });
        let reply = running.post(INFER, json!({ "inputs": [input], "parameters": place }).to_string()).await;
        let message = reply.failure(501, "unsupported");
        assert!(message.starts_with("model m takes no sequences: ") && message.contains(want), "{message}");
        assert!(reply.json()["hint"].is_string(), "{}", reply.text());
        running.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_given_leaves_its_sequence_as_it_was() {
    let Some(object) = Object::new("short", &[0; 8]) else { return };
    let store = Store::new().await;
    store.publish("m", gru(1)).await;
    let api = ApiConfig { shares_memory: true, ..ApiConfig::default() };
    let running = store.serve_with(ServeConfig::default(), api).await;
    let told = json!({ "key": object.key, "byte_size": 8 }).to_string();
    assert_eq!(running.post("/v2/systemsharedmemory/region/r/register", told).await.status, 200);
    let whole = answer(&running.post(INFER, piece(0..STEPS, &json!({}))).await);
    answer(&running.post(INFER, piece(0..2, &json!({ "sequence_id": 7, "sequence_start": true }))).await);
    let next = piece(2..STEPS, &json!({ "sequence_id": 7 }));
    let mut elsewhere: Value = serde_json::from_str(&next).expect("JSON");
    let place = json!({ "shared_memory_region": "r", "shared_memory_byte_size": 4 });
    elsewhere["outputs"] = json!([{ "name": "output", "parameters": place }]);
    let refused = running.post(INFER, elsewhere.to_string()).await;
    assert!(refused.text().contains("\"hint\":\"make shared_memory_byte_size as large at least\""));
    let refused = refused.failure(400, "invalid_argument");
    assert_eq!(refused, "output \"output\" has 8 bytes, its place in shared memory 4");
    assert_close(&answer(&running.post(INFER, next).await), &whole);
    running.stop().await;
}
