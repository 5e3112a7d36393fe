//! Graphs over several servers, each with its own store and its own listener: a trace goes through all of them, and
//! graphs that lead back to each other end at once.

use std::sync::Arc;
use std::time::Duration;

use modelyard_api::open_inference::GrpcServers;
use modelyard_api::{AccessLog, ApiConfig, Call, TraceContext, Watcher, Watchers};
use modelyard_registry::NewGraph;
use modelyard_registry::document::Graph;
use modelyard_serve::{HOPS_MAX, ServeConfig};
use modelyard_types::{Caller, ErrorKind};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::support::{Client, Files, Paper, Running, Store, named, native, wide_vector};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: u64 = 0x00f0_67aa_0ba9_02b7;

/// Keeps every call with its spans, as a collector of traces does.
struct Keeps(UnboundedSender<Call>);

impl Watcher for Keeps {
    fn records(&self, trace: &TraceContext, _model: &str) -> bool {
        trace.sampled
    }

    fn ended(&self, call: &Call) {
        // The test may have seen enough.
        let _ = self.0.send(call.clone());
    }

    fn finish(&self) {}
}

struct Watched {
    store: Store,
    running: Running,
    calls: UnboundedReceiver<Call>,
    log: Paper,
}

/// A server of this store that is watched, and whose graphs reach others.
async fn serve(store: Store) -> Watched {
    serve_with(store, ServeConfig::default()).await
}

async fn serve_with(store: Store, config: ServeConfig) -> Watched {
    let (kept, calls) = unbounded_channel();
    let log = Paper::default();
    let lines = AccessLog::start(log.clone()).expect("a thread");
    let watchers = Watchers::new(vec![Arc::new(Keeps(kept)), Arc::new(lines)]);
    let api = ApiConfig { watchers, ..ApiConfig::default() };
    let running = store.serve_with(config, api).await;
    running.server.reach_by(Arc::new(GrpcServers::default()));
    Watched { store, running, calls, log }
}

fn tensor(name: &str, width: usize) -> Value {
    json!({ "name": name, "data_type": "FP32", "shape": [-1, width] })
}

/// A network from two numbers to two, with the signature by which graphs know it.
fn model(seed: u64) -> Files {
    let mut files = native(2, 2, seed);
    let signature =
        json!({ "format_version": 1, "inputs": [tensor("input", 2)], "outputs": [tensor("output", 2)] });
    files.insert("signature.json".to_owned(), signature.to_string().into_bytes());
    files
}

pub(crate) async fn set_graph(store: &Store, name: &str, steps: Value, output: &str) {
    let text = json!({ "format_version": 1, "steps": steps, "outputs": { "output": output } });
    let graph = Graph::from_json(text.to_string().as_bytes()).expect("a good graph");
    let name = name.parse().expect("a name");
    let new = NewGraph { name, graph, by: Caller::default(), why: String::new() };
    store.registry.set_graph(new).await.expect("it fits its models");
}

/// A step on another server.
pub(crate) fn far(model: &str, server: &str, from: &str) -> Value {
    json!({
        "name": "far", "model": model, "servers": [server], "inputs": { "input": from },
        "takes": [tensor("input", 2)], "gives": [tensor("output", 2)]
    })
}

fn rows(count: usize) -> String {
    let data: Vec<f64> = (0..count * 2).map(|value| value as f64 / 4.0).collect();
    json!({ "inputs": [{ "name": "input", "shape": [count, 2], "datatype": "FP32", "data": data }] })
        .to_string()
}

async fn ask(client: &mut Client, model: &str, flags: u8, body: &str) -> (u16, Value) {
    let parent = format!("00-{TRACE}-{CALLER:016x}-{flags:02x}");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "vendor=1")];
    let path = format!("/v2/models/{model}/infer");
    let reply = client.send("POST", &path, &headers, body.as_bytes()).await.expect("an answer");
    (reply.status, reply.json())
}

/// A graph of a step here and one on another server, in parts of one row.
async fn two_servers() -> (Watched, Watched) {
    two_servers_with(ServeConfig::default()).await
}

/// As [`two_servers`], with limits for the other one.
async fn two_servers_with(limits: ServeConfig) -> (Watched, Watched) {
    let (front, back) = (Store::new().await, Store::new().await);
    back.publish("there", model(2)).await;
    let behind = serve_with(back, limits).await;
    front.publish("here", model(1)).await;
    let mut there = far("there", &behind.running.address.to_string(), "near");
    there["scatter_rows"] = json!(1);
    let near = json!({ "name": "near", "model": "here", "inputs": { "input": "request.input" } });
    set_graph(&front, "joined", json!([near, there]), "far").await;
    (serve(front).await, behind)
}

#[tokio::test]
async fn one_trace_goes_through_both_servers() {
    let (mut front, mut back) = two_servers().await;
    let mut client = front.running.client().await;
    let (status, answer) = ask(&mut client, "joined", 1, &rows(2)).await;
    assert_eq!((status, &answer["outputs"][0]["shape"]), (200, &json!([2, 2])), "{answer}");

    let call = front.calls.recv().await.expect("the caller's");
    assert_eq!((format!("{:032x}", call.trace.trace).as_str(), call.trace.parent), (TRACE, Some(CALLER)));
    let mut steps = call.steps.spans;
    steps.sort_by_key(|step| step.part);
    let [near, first, second] = steps.as_slice() else { panic!("three spans, not {steps:?}") };
    assert_eq!((near.step.as_str(), near.version, near.part, &near.server), ("near", Some(1), None, &None));
    assert!(near.times.is_some_and(|times| times.compute <= near.took), "{near:?}");
    let server = Some(back.running.address.to_string());
    for (part, step) in [first, second].into_iter().enumerate() {
        assert_eq!((step.step.as_str(), step.model.as_str(), step.part), ("far", "there", Some(part)));
        assert_eq!((&step.server, step.failure), (&server, None));
    }

    let mut parents = Vec::new();
    for _ in 0..2 {
        let there = back.calls.recv().await.expect("a part");
        assert_eq!(there.trace.trace, call.trace.trace);
        assert!(there.trace.sampled && there.trace.span != call.trace.span, "{:?}", there.trace);
        parents.extend(there.trace.parent);
    }
    parents.sort_unstable();
    let mut own = [first.span, second.span];
    own.sort_unstable();
    assert_eq!(parents, own, "each part lies below its own step, side by side");
    front.running.stop().await;
    back.running.stop().await;
    for line in front.log.lines().into_iter().chain(back.log.lines()) {
        assert_eq!(line["trace_id"], TRACE, "{line}");
    }
}

#[tokio::test]
async fn where_nobody_records_the_callers_span_goes_on() {
    let (mut front, mut back) = two_servers().await;
    let mut client = front.running.client().await;
    assert_eq!(ask(&mut client, "joined", 0, &rows(1)).await.0, 200);
    let there = back.calls.recv().await.expect("one part");
    assert_eq!((there.trace.parent, there.trace.sampled), (Some(CALLER), false));
    assert!(front.calls.recv().await.expect("the caller's").steps.spans.is_empty());
    front.running.stop().await;
    back.running.stop().await;
}

#[tokio::test]
async fn a_step_that_fails_is_in_the_trace() {
    let (mut front, back) = two_servers().await;
    back.running.server.unload("there").await.expect("unloaded");
    let mut client = front.running.client().await;
    assert_eq!(ask(&mut client, "joined", 1, &rows(1)).await.0, 503);
    let call = front.calls.recv().await.expect("the caller's");
    let failures: Vec<_> = call.steps.spans.iter().map(|step| step.failure).collect();
    assert_eq!(failures[0], None, "{:?}", call.steps);
    assert!(failures.len() > 2, "it was asked again: {:?}", call.steps);
    assert!(failures[1..].iter().all(|failure| *failure == Some(ErrorKind::Unavailable)), "{failures:?}");
    front.running.stop().await;
    back.running.stop().await;
}

#[tokio::test]
async fn the_spans_of_a_request_whose_caller_went_away_say_so() {
    let wait = Duration::from_secs(600);
    let (mut front, mut back) =
        two_servers_with(ServeConfig { batch_delay: wait, ..ServeConfig::default() }).await;
    let mut client = front.running.client().await;
    let body = rows(1);
    let head = format!(
        "POST /v2/models/joined/infer HTTP/1.1\r\nhost: t\r\ntraceparent: 00-{TRACE}-{CALLER:016x}-01\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.stream.write_all(head.as_bytes()).await.expect("writes");
    back.running.client().await.until("modelyard_queue_rows", "there", 1).await;
    drop(client);
    let call = front.calls.recv().await.expect("the caller's");
    assert_eq!((call.status, call.kind), (499, Some(ErrorKind::Cancelled)));
    let steps: Vec<_> = call.steps.spans.iter().map(|step| (step.step.as_str(), step.failure)).collect();
    assert_eq!(steps, [("near", None), ("far", Some(ErrorKind::Cancelled))], "{:?}", call.steps);
    // The other server was told, and says the same below the step.
    let mut there = back.calls.recv().await.expect("the step's");
    while there.path == "/metrics" {
        there = back.calls.recv().await.expect("the step's");
    }
    assert_eq!((there.status, there.kind), (499, Some(ErrorKind::Cancelled)));
    assert_eq!(there.trace.parent, Some(call.steps.spans[1].span));
    front.running.stop().await;
    back.running.stop().await;
}

#[tokio::test]
async fn graphs_that_lead_back_to_each_other_end_at_once() {
    let (left, right) = (Store::new().await, Store::new().await);
    left.publish("m", model(1)).await;
    right.publish("m", model(2)).await;
    let here = serve(left).await;
    set_graph(
        &right,
        "round",
        json!([far("round", &here.running.address.to_string(), "request.input")]),
        "far",
    )
    .await;
    let mut there = serve(right).await;
    set_graph(
        &here.store,
        "round",
        json!([far("round", &there.running.address.to_string(), "request.input")]),
        "far",
    )
    .await;
    here.running.server.refresh().await.expect("the store is there");

    let mut client = here.running.client().await;
    let (status, told) = ask(&mut client, "round", 1, &rows(1)).await;
    assert_eq!((status, &told["kind"]), (409, &json!("failed_precondition")), "{told}");
    let error = told["error"].as_str().expect("a sentence");
    let limit = format!("graph round asks no further server: the request came through {HOPS_MAX} servers");
    assert!(error.starts_with("step \"far\": ") && error.contains(&limit), "{error}");
    assert!(error.contains("lead back to each other"), "with a way out: {error}");
    for _ in 0..HOPS_MAX / 2 {
        there.calls.recv().await.expect("half of the hops");
    }
    assert!(there.calls.try_recv().is_err(), "and no more");
    here.running.stop().await;
    there.running.stop().await;
}

/// These files with the signature of a network from so many numbers to three.
fn signed(files: Files, takes: usize) -> Files {
    signed_to(files, takes, 3)
}

fn signed_to(mut files: Files, takes: usize, gives: usize) -> Files {
    let signature = json!({ "format_version": 1, "inputs": [tensor("input", takes)], "outputs": [tensor("output", gives)] });
    files.insert("signature.json".to_owned(), signature.to_string().into_bytes());
    files
}

async fn predict(running: &Running, model: &str, body: &Value) -> (u16, Value) {
    let reply = running.post(&format!("/v1/models/{model}:predict"), body.to_string()).await;
    (reply.status, reply.json())
}

/// The probabilities of an output's classes in their order.
fn probabilities(answer: &Value, output: &str, classes: [&str; 3]) -> Vec<f64> {
    let all = &answer["predictions"][0][output]["probabilities"];
    classes.iter().map(|class| all[class].as_f64().expect("of each class")).collect()
}

#[tokio::test]
async fn rows_by_name_go_through_a_chain_and_are_named_at_its_end() {
    let store = Store::new().await;
    for (model, files, takes) in
        [("first", named(1), 4), ("last", wide_vector(2), 3), ("plain", native(3, 3, 3), 3)]
    {
        store.publish(model, signed(files, takes)).await;
    }
    let chain = |last: &str| {
        json!([
            { "name": "a", "model": "first", "inputs": { "input": "request.x" } },
            { "name": "b", "model": last, "inputs": { "input": "a" } }
        ])
    };
    set_graph(&store, "with-names", chain("last"), "b").await;
    set_graph(&store, "without", chain("plain"), "b").await;
    let running = store.serve().await;

    let row = json!({ "instances": [{ "size": 2.5, "<colour>": "red" }] });
    let (status, first) = predict(&running, "first", &row).await;
    assert_eq!(status, 200, "{first}");
    let middle = probabilities(&first, "kind", ["apple", "pear", "plum"]);
    let through = |model: &'static str, middle: Vec<f64>| {
        let input = json!({ "name": "input", "shape": [1, 3], "datatype": "FP32", "data": middle });
        let (running, body) = (&running, json!({ "inputs": [input] }).to_string());
        async move {
            let reply = running.post(&format!("/v2/models/{model}/infer"), body).await.json();
            let data = reply["outputs"][0]["data"].as_array().expect("numbers").clone();
            data.iter().filter_map(Value::as_f64).collect::<Vec<f64>>()
        }
    };
    let are_close = |one: &[f64], other: &[f64]| one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5);

    let (status, named) = predict(&running, "with-names", &row).await;
    assert_eq!(status, 200, "{named}");
    let want = through("last", middle.clone()).await;
    assert!(are_close(&probabilities(&named, "digit", ["3", "8", "9"]), &want), "{named} is not {want:?}");
    let (status, bare) = predict(&running, "without", &row).await;
    assert_eq!(status, 200, "{bare}");
    let got: Vec<f64> =
        bare["predictions"][0].as_array().expect("numbers").iter().filter_map(Value::as_f64).collect();
    let want = through("plain", middle).await;
    assert!(got.len() == 3 && are_close(&got, &want), "{bare} is not {want:?}");

    let numbers = json!({ "instances": [[0.5, 1, 0, 0]] });
    assert_eq!(predict(&running, "with-names", &numbers).await.0, 200, "the network's own numbers are taken");
    let wrong = json!({ "instances": [{ "size": 2.5 }] });
    let (status, told) = predict(&running, "with-names", &wrong).await;
    assert!(status == 400 && told["error"].as_str().is_some_and(|text| text.contains("<colour>")), "{told}");
    running.stop().await;
}

#[tokio::test]
async fn rows_open_no_model_of_a_way_that_is_not_taken() {
    let store = Store::new().await;
    for (model, files, takes, gives) in [
        ("judge", named(1), 4, 3),
        ("score", native(3, 1, 4), 3, 1),
        ("left", named(2), 4, 3),
        ("right", named(3), 4, 3),
    ] {
        store.publish(model, signed_to(files, takes, gives)).await;
    }
    let steps = |when: &str| {
        json!([
            { "name": "a", "model": "judge", "inputs": { "input": "request.x" } },
            { "name": "s", "model": "score", "inputs": { "input": "a" } },
            { "name": "l", "model": "left", "inputs": { "input": "request.x" } },
            { "name": "r", "model": "right", "inputs": { "input": "request.y" } },
            { "name": "pick", "switch": "s", "cases": [{ "when": when, "take": "r" }], "default": "l" }
        ])
    };
    set_graph(&store, "to-left", steps("> 1000"), "pick").await;
    set_graph(&store, "to-right", steps("< 1000"), "pick").await;
    let running = store.serve().await;
    let row = json!({ "instances": [{ "size": 2.5, "<colour>": "red" }] });
    let server = &running.server;
    for (graph, taken, other) in [("to-left", "left", "right"), ("to-right", "right", "left")] {
        let (status, want) = predict(&running, taken, &row).await;
        assert_eq!(status, 200, "{want}");
        server.unload(other).await.expect("unloaded");
        let (status, got) = predict(&running, graph, &row).await;
        assert_eq!(
            (status, &got["predictions"]),
            (200, &want["predictions"]),
            "named by the way taken: {got}"
        );
        server.load(other, None).await.expect("loaded");
        server.unload(taken).await.expect("unloaded");
        let (status, told) = predict(&running, graph, &row).await;
        let step = format!("step \"{}\": model {taken} was unloaded", &taken[..1]);
        assert!(
            status == 503 && told["error"].as_str().is_some_and(|text| text.starts_with(&step)),
            "{told}"
        );
        server.load(taken, None).await.expect("loaded");
    }
    running.stop().await;
}

#[tokio::test]
async fn rows_go_through_many_steps_that_each_take_twice_from_the_last() {
    let store = Store::new().await;
    store.publish("judge", signed(named(1), 4)).await;
    let mut steps = vec![json!({ "name": "s0", "model": "judge", "inputs": { "input": "request.x" } })];
    steps.extend((1..40).map(|at| {
        let below = format!("s{}", at - 1);
        json!({ "name": format!("s{at}"), "combine": "mean", "of": [below, below] })
    }));
    set_graph(&store, "stacked", json!(steps), "s39").await;
    let running = store.serve().await;
    let row = json!({ "instances": [{ "size": 2.5, "<colour>": "red" }] });
    let (status, want) = predict(&running, "judge", &row).await;
    assert_eq!(status, 200, "{want}");
    assert_eq!(predict(&running, "stacked", &row).await, (200, want));
    running.stop().await;
}
