//! Sequences through graphs of models: answered as the models would be one by one, here and on other servers, and
//! what a graph cannot do with one is refused by name.

use std::sync::Arc;

use modelyard_api::ApiConfig;
use modelyard_api::open_inference::GrpcServers;
use modelyard_model::{Network, NetworkSpec};
use modelyard_registry::NewGraph;
use modelyard_registry::document::Graph;
use modelyard_serve::{SequenceId, SequenceStep, ServeConfig};
use modelyard_types::{Caller, NamedTensor, Tensor};
use serde_json::{Value, json};

use crate::support::{Files, Reply, Running, Store, native};

const STEPS: usize = 6;

fn tensor(name: &str, shape: &Value) -> Value {
    json!({ "name": name, "data_type": "FP32", "shape": shape })
}

fn signed(mut files: Files, takes: &Value, gives: &Value) -> Files {
    let inputs = [tensor("input", takes)];
    let signature = json!({ "format_version": 1, "inputs": inputs, "outputs": [tensor("output", gives)] });
    files.insert("signature.json".to_owned(), signature.to_string().into_bytes());
    files
}

/// A recurrent network from pairs to pairs.
fn lstm(seed: u64) -> Files {
    let layers =
        json!([{ "type": "lstm", "units": 4 }, { "type": "dense", "units": 2, "activation": "tanh" }]);
    let spec = json!({ "input": [STEPS, 2], "layers": layers });
    let spec: NetworkSpec = serde_json::from_value(spec).expect("a network");
    let network = Network::init(spec, seed).expect("it fits together");
    let files = Files::from([
        ("network.json".to_owned(), network.network_json().into_bytes()),
        ("weights.safetensors".to_owned(), network.weights_safetensors()),
    ]);
    signed(files, &json!([-1, STEPS, 2]), &json!([-1, 2]))
}

/// A network from pairs to three numbers that remembers nothing.
fn dense(seed: u64) -> Files {
    signed(native(2, 3, seed), &json!([-1, 2]), &json!([-1, 3]))
}

/// A store with both, for steps of graphs.
async fn store() -> Store {
    let store = Store::new().await;
    store.publish("rnn", lstm(1)).await;
    store.publish("post", dense(2)).await;
    store
}

async fn set_graph(store: &Store, name: &str, steps: Value, outputs: Value) {
    let mut text = json!({ "format_version": 1, "steps": steps, "outputs": outputs });
    if steps.to_string().contains("request.trust") {
        text["inputs"] = json!([tensor("trust", &json!([1]))]);
    }
    let graph = Graph::from_json(text.to_string().as_bytes()).expect("a good graph");
    let name = name.parse().expect("a name");
    let new = NewGraph { name, graph, by: Caller::default(), why: String::new() };
    store.registry.set_graph(new).await.expect("it fits its models");
}

/// The recurrent network and then the other one.
fn chain() -> Value {
    json!([
        { "name": "remembers", "model": "rnn", "inputs": { "input": "request.x" } },
        { "name": "after", "model": "post", "inputs": { "input": "remembers" } }
    ])
}

/// The same, with the recurrent network on another server.
fn chain_to(server: &str) -> Value {
    let mut steps = chain();
    steps[0]["servers"] = json!([server]);
    steps[0]["sequences"] = json!(true);
    steps[0]["takes"] = json!([tensor("input", &json!([-1, STEPS, 2]))]);
    steps[0]["gives"] = json!([tensor("output", &json!([-1, 2]))]);
    steps
}

async fn serve(store: &Store) -> Running {
    let running = store.serve_with(ServeConfig::default(), ApiConfig::default()).await;
    running.server.reach_by(Arc::new(GrpcServers::default()));
    running
}

async fn infer(
    running: &Running,
    model: &str,
    input: &str,
    values: (Value, Vec<f64>),
    place: &Value,
) -> Reply {
    let (shape, data) = values;
    let mut inputs = vec![json!({ "name": input, "datatype": "FP32", "shape": shape, "data": data })];
    if place["trust"].is_number() {
        inputs.push(json!({ "name": "trust", "datatype": "FP32", "shape": [1], "data": [place["trust"]] }));
    }
    let mut place = place.clone();
    place.as_object_mut().expect("parameters").remove("trust");
    running
        .post(
            &format!("/v2/models/{model}/infer"),
            json!({ "inputs": inputs, "parameters": place }).to_string(),
        )
        .await
}

/// One step of the series.
async fn step(running: &Running, model: &str, at: usize, place: Value) -> Reply {
    let value = |of: usize| (of * 7 % 11) as f64 / 11.0 - 0.5;
    let input = if model == "rnn" { "input" } else { "x" };
    infer(running, model, input, (json!([1, 1, 2]), vec![value(2 * at), value(2 * at + 1)]), &place).await
}

#[track_caller]
fn answer(reply: &Reply) -> Vec<f64> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    let data = json["outputs"][0]["data"].as_array().expect("values");
    data.iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// Both models asked one after the other, by hand.
async fn by_hand(running: &Running, at: usize, place: Value) -> Vec<f64> {
    let middle = answer(&step(running, "rnn", at, place).await);
    answer(&infer(running, "post", "input", (json!([1, 2]), middle), &json!({})).await)
}

fn place(at: usize) -> Value {
    json!({ "sequence_id": 7, "sequence_start": at == 0, "sequence_end": at == STEPS - 1 })
}

async fn shows(running: &Running, line: &str) -> bool {
    running.get("/metrics").await.text().lines().any(|own| own == line)
}

#[tokio::test]
async fn a_graph_goes_on_with_a_sequence_as_its_models_do_one_by_one() {
    let store = store().await;
    set_graph(&store, "chained", chain(), json!({ "y": "after" })).await;
    let running = serve(&store).await;
    for at in 0..STEPS {
        // The same name: a graph's sequence is not that of its model.
        let want = by_hand(&running, at, place(at)).await;
        assert_eq!(answer(&step(&running, "chained", at, place(at)).await), want, "step {at}");
        let live = if at == STEPS - 1 { 0 } else { 2 };
        assert!(shows(&running, &format!("modelyard_sequences_live {live}")).await);
    }
    assert!(shows(&running, "modelyard_sequence_bytes 0").await);
    let gone = step(&running, "chained", 0, json!({ "sequence_id": 7 })).await;
    assert!(gone.failure(404, "not_found").contains("no live sequence 7 of model chained"));
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_fails_leaves_a_graphs_sequence_as_it_was() {
    let store = store().await;
    set_graph(&store, "chained", chain(), json!({ "y": "after" })).await;
    let running = serve(&store).await;
    let server = &running.server;
    for at in 0..3 {
        let want = by_hand(&running, at, place(at)).await;
        // The recurrent step has run by then.
        server.unload("post").await.expect("unloaded");
        let failed = step(&running, "chained", at, place(at)).await;
        assert!(failed.failure(503, "unavailable").starts_with("step \"after\": "));
        server.load("post", None).await.expect("loaded");
        assert_eq!(answer(&step(&running, "chained", at, place(at)).await), want, "step {at} is sent again");
    }
    let wide = infer(&running, "chained", "x", (json!([2, 1, 2]), vec![0.0; 4]), &place(3)).await;
    assert!(
        wide.failure(400, "invalid_argument")
            .contains("step \"remembers\": a request of a sequence has one row")
    );
    let second = store.publish("rnn", lstm(9)).await.version;
    store.promote("rnn", second).await;
    server.refresh().await.expect("the registry is there");
    assert_eq!(
        answer(&step(&running, "chained", 3, place(3)).await),
        by_hand(&running, 3, place(3)).await,
        "both end on the version that they began on"
    );
    server.unload("rnn").await.expect("unloaded");
    assert_eq!(step(&running, "chained", 4, place(4)).await.status, 404, "it ends with its step's model");
    running.stop().await;
}

#[tokio::test]
async fn what_a_graph_cannot_do_with_a_sequence_is_told_with_its_step() {
    let store = store().await;
    let forgets = json!([{ "name": "after", "model": "post", "inputs": { "input": "request.x" } }]);
    set_graph(&store, "forgets", forgets, json!({ "y": "after" })).await;
    let mut scattered = chain();
    scattered[0]["scatter_rows"] = json!(2);
    set_graph(&store, "scattered", scattered, json!({ "y": "after" })).await;
    let mut steps = chain();
    let rest = json!([
        { "name": "again", "model": "rnn", "inputs": { "input": "request.x" } },
        { "name": "pick", "switch": "request.trust", "cases": [{ "when": "> 0.5", "take": "again" }], "default": "remembers" }
    ]);
    steps.as_array_mut().expect("steps").extend(rest.as_array().expect("steps").clone());
    set_graph(&store, "switched", steps, json!({ "y": "after", "z": "pick" })).await;
    let running = serve(&store).await;
    let start = json!({ "sequence_id": 1, "sequence_start": true });
    let told = infer(&running, "forgets", "x", (json!([1, 2]), vec![0.0; 2]), &start).await;
    assert!(
        told.failure(501, "unsupported").contains("takes no sequences: none of the steps that every request")
    );
    let told = step(&running, "scattered", 0, start).await.failure(409, "failed_precondition");
    assert!(told.starts_with("step \"remembers\": it remembers sequences and has scatter_rows"), "{told}");

    let with = |at: usize, trust: f64| {
        let mut place = place(at);
        place["trust"] = json!(trust);
        place
    };
    let want = by_hand(&running, 0, place(0)).await;
    assert_eq!(answer(&step(&running, "switched", 0, with(0, 0.1)).await), want, "its own step runs always");
    let told = step(&running, "switched", 1, with(1, 0.9)).await;
    assert!(
        told.failure(409, "failed_precondition").starts_with("step \"again\": its model remembers sequences")
    );
    let want = by_hand(&running, 1, place(1)).await;
    assert_eq!(answer(&step(&running, "switched", 1, with(1, 0.1)).await), want, "as it was");
    running.stop().await;
}

#[tokio::test]
async fn another_server_remembers_its_step_of_a_sequence() {
    let (front, back) = (store().await, store().await);
    let there = serve(&back).await;
    set_graph(&front, "far", chain_to(&there.address.to_string()), json!({ "y": "after" })).await;
    let here = serve(&front).await;
    for at in 0..STEPS {
        let want = by_hand(&here, at, place(at)).await;
        assert_eq!(answer(&step(&here, "far", at, place(at)).await), want, "step {at}");
        let live = usize::from(at < STEPS - 1);
        assert!(shows(&there, &format!("modelyard_sequences_live {live}")).await);
    }
    answer(&step(&here, "far", 0, place(0)).await);
    let end = json!({ "inputs": [], "parameters": { "sequence_id": 7, "sequence_end": true } }).to_string();
    assert_eq!(here.post("/v2/models/far/infer", end).await.status, 200);
    assert!(shows(&there, "modelyard_sequences_live 0").await, "it is told of an end without a step");

    answer(&step(&here, "far", 0, place(0)).await);
    let wide = infer(&here, "far", "x", (json!([2, 1, 2]), vec![0.0; 4]), &place(1)).await;
    assert!(wide.failure(400, "invalid_argument").contains("has one row"), "a refusal leaves it as it was");
    assert!(wide.json()["sequence_lost"].is_null());
    answer(&step(&here, "far", 1, place(1)).await);
    here.server.unload("post").await.expect("unloaded");
    let lost = step(&here, "far", 2, place(2)).await;
    assert_eq!(lost.json()["sequence_lost"], true);
    let lost = lost.failure(409, "failed_precondition");
    assert!(lost.starts_with("sequence 7 is lost") && lost.contains("step \"after\": "), "{lost}");
    here.server.load("post", None).await.expect("loaded");
    assert_eq!(step(&here, "far", 2, place(2)).await.status, 404, "the other server went on, so it is over");
    answer(&step(&here, "far", 0, place(0)).await);
    there.server.unload("rnn").await.expect("unloaded");
    let lost = step(&here, "far", 1, place(1)).await.failure(409, "failed_precondition");
    assert!(lost.contains("another server"), "{lost}");
    assert!(shows(&here, "modelyard_sequences_live 0").await);
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn what_every_way_of_a_switch_needs_may_remember() {
    let store = store().await;
    let mut steps = chain();
    let rest = json!([
        { "name": "again", "model": "post", "inputs": { "input": "remembers" } },
        { "name": "pick", "switch": "request.trust", "cases": [{ "when": "> 0.5", "take": "again" }], "default": "after" }
    ]);
    steps.as_array_mut().expect("steps").extend(rest.as_array().expect("steps").clone());
    set_graph(&store, "switched", steps, json!({ "y": "pick" })).await;
    let running = serve(&store).await;
    for at in 0..STEPS {
        let want = by_hand(&running, at, place(at)).await;
        let mut place = place(at);
        place["trust"] = json!((at % 2) as f64);
        assert_eq!(answer(&step(&running, "switched", at, place).await), want, "step {at}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_sequence_that_is_about_to_begin_ends_with_its_steps_model_too() {
    let store = store().await;
    set_graph(&store, "chained", chain(), json!({ "y": "after" })).await;
    let running = serve(&store).await;
    let server = &running.server;
    let opened = server.open("chained", None).await.expect("it is served").into();
    let begins = SequenceStep { id: SequenceId::Number(7), start: true, end: false };
    let turn = server.take_turn(&opened, false, begins).expect("it may begin");
    server.unload("rnn").await.expect("unloaded");
    server.load("rnn", None).await.expect("loaded");
    let tensor = Tensor::new(vec![1, 1, 2], vec![0.5_f32, 0.25].into()).expect("it fits");
    let inputs = vec![NamedTensor { name: "x".to_owned(), tensor }];
    turn.infer(inputs, &[], server.deadline().into(), Ok).await.expect("what was taken in is answered");
    assert_eq!(step(&running, "chained", 1, place(1)).await.status, 404, "the order came before");
    running.stop().await;
}
