//! Graphs of models over a real registry: answers equal to asking the models one by one, failures told with
//! their step, and other servers stood in for by a test double.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_registry::document::{Graph, SignatureDocument};
use modelyard_registry::{NewGraph, NewVersion, Origin, Registry};
use modelyard_runtime::{LoadOptions, ModelFiles, RuntimeConfig, Runtimes};
use modelyard_serve::{
    RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, ServeConfig, ServeError, Server,
};
use modelyard_types::{
    Caller, Deadline, ErrorKind, InferRequest, NamedTensor, Tensor, Version, VersionSelector,
};
use serde_json::{Value, json};

use crate::{name, registry, start};

/// A network of one layer, published as training publishes it.
async fn publish(registry: &Registry, model: &str, takes: usize, gives: usize, seed: u64) {
    let layers = vec![LayerSpec::Dense(Dense::new(gives, Some(Activation::Softmax)))];
    let network = Network::init(NetworkSpec::new(vec![takes], layers), seed).expect("it fits together");
    let (json, weights) = (network.network_json().into_bytes(), network.weights_safetensors());
    let files = ModelFiles { network: Some(&json), weights: Some(&weights), ..ModelFiles::default() };
    let runtimes = Runtimes::detect(&RuntimeConfig::default());
    let loaded = runtimes.choose(&files).and_then(|runtime| runtime.load(&files, &LoadOptions::default()));
    let signature = SignatureDocument::from(loaded.expect("it runs").signature()).to_json();
    let new = NewVersion {
        name: name(model),
        files: BTreeMap::from([
            ("network.json".to_owned(), json),
            ("weights.safetensors".to_owned(), weights),
            (SignatureDocument::FILE.to_owned(), signature.into_bytes()),
        ]),
        origin: Origin::Trained,
        gates_passed: true,
        summary: Value::Null,
        parent: None,
        by: Caller::default(),
    };
    registry.publish(new).await.expect("publishes");
}

async fn set(registry: &Registry, steps: Value, outputs: Value) {
    let inputs = json!([{ "name": "trust", "data_type": "FP32", "shape": [1] }]);
    let inputs = if steps.to_string().contains("trust") { inputs } else { json!([]) };
    let text = json!({ "format_version": 1, "steps": steps, "outputs": outputs, "inputs": inputs });
    let graph = Graph::from_json(text.to_string().as_bytes()).expect("a good graph");
    let (name, by, why) = (name("joined"), Caller::default(), String::new());
    registry.set_graph(NewGraph { name, graph, by, why }).await.expect("it fits its models");
}

fn named(name: &str, shape: &[usize], values: &[f32]) -> NamedTensor {
    let tensor = Tensor::new(shape.to_vec(), values.to_vec().into()).expect("fits");
    NamedTensor { name: name.to_owned(), tensor }
}

fn request(server: &Server, model: &str, inputs: Vec<NamedTensor>) -> InferRequest {
    InferRequest {
        model: name(model),
        version: None,
        inputs,
        outputs: Vec::new(),
        deadline: server.deadline(),
        caller: Caller::default(),
    }
}

async fn ask(server: &Server, model: &str, inputs: Vec<NamedTensor>) -> Result<Vec<f32>, ServeError> {
    let answer = server.infer(request(server, model, inputs)).await?;
    Ok(answer.outputs[0].tensor.as_f32().expect("FP32").to_vec())
}

const ROWS: [f32; 6] = [1.0, 2.0, -1.0, 0.5, 0.25, 3.0];

#[tokio::test]
async fn a_chain_an_ensemble_and_a_switch_answer_as_their_models_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "first", 2, 3, 1).await;
    publish(&registry, "left", 3, 2, 2).await;
    publish(&registry, "right", 3, 2, 3).await;
    set(
        &registry,
        json!([
            { "name": "one", "model": "first", "inputs": { "input": "request.x" } },
            { "name": "left", "model": "left", "version": "1", "inputs": { "input": "one" }, "scatter_rows": 2 },
            { "name": "right", "model": "right", "inputs": { "input": "one" } },
            { "name": "both", "combine": "weighted", "of": ["left", "right"], "weights": [1, 3] },
            { "name": "pick", "switch": "request.trust", "cases": [{ "when": ">= 0.5", "take": "both" }],
              "default": "left" }
        ]),
        json!({ "y": "pick" }),
    )
    .await;
    let server = start(&folder, ServeConfig::default(), Some(vec![name("joined")])).await.expect("starts");
    assert!(server.is_ready() && server.models().len() == 4, "the models of its steps are served, too");

    let middle = ask(&server, "first", vec![named("input", &[3, 2], &ROWS)]).await.expect("an answer");
    let left = ask(&server, "left", vec![named("input", &[3, 3], &middle)]).await.expect("an answer");
    let right = ask(&server, "right", vec![named("input", &[3, 3], &middle)]).await.expect("an answer");
    let mean = |(&a, &b): (&f32, &f32)| ((f64::from(a) + 3.0 * f64::from(b)) / 4.0) as f32;
    let both: Vec<f32> = left.iter().zip(&right).map(mean).collect();
    for (trust, want) in [(0.9, both), (0.1, left)] {
        let inputs = vec![named("trust", &[1], &[trust]), named("x", &[3, 2], &ROWS)];
        assert_eq!(ask(&server, "joined", inputs).await.expect("an answer"), want, "{trust}");
    }
    let served = server.open("joined", None).await.expect("it is served");
    assert_eq!((served.version().get(), served.runtime()), (1, "graph"));
    let text = server.telemetry();
    for line in [
        "modelyard_requests_total{model=\"joined\",version=\"1\"} 2",
        "modelyard_graph_step_seconds_count{graph=\"joined\",step=\"left\"} 2",
        "modelyard_graph_step_seconds_count{graph=\"joined\",step=\"right\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_graph_follows_its_changes_and_its_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "first", 2, 2, 1).await;
    let one = |version: Value| json!([{ "name": "one", "model": "first", "version": version, "inputs": { "input": "request.x" } }]);
    set(&registry, one(json!("1")), json!({ "y": "one" })).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    let x = || vec![named("x", &[1, 2], &ROWS[..2])];
    let before = ask(&server, "joined", x()).await.expect("an answer");
    publish(&registry, "first", 2, 2, 9).await;
    set(&registry, one(json!("2")), json!({ "y": "one" })).await;
    server.refresh().await.expect("the registry is there");
    let answer = server.infer(request(&server, "joined", x())).await.expect("an answer");
    assert_eq!(answer.version.get(), 2);
    assert_ne!(answer.outputs[0].tensor.as_f32(), Some(before.as_slice()));
    let version = Some(VersionSelector::Number(Version::FIRST));
    let old = InferRequest { version, ..request(&server, "joined", x()) };
    let gone = server.infer(old).await.expect_err("only the newest answers");
    assert_eq!(gone.kind(), ErrorKind::NotFound);

    // Where no version is named, the model may change its shape.
    set(
        &registry,
        json!([{ "name": "one", "model": "first", "inputs": { "input": "request.x" } }]),
        json!({ "y": "one" }),
    )
    .await;
    publish(&registry, "first", 2, 3, 5).await;
    server.refresh().await.expect("the registry is there");
    assert_eq!(
        ask(&server, "joined", x()).await.expect("an answer").len(),
        3,
        "its outputs are the new model's"
    );
    registry.delete_graph(&name("joined"), &Caller::default(), "").await.expect("deleted");
    server.refresh().await.expect("the registry is there");
    assert_eq!(ask(&server, "joined", x()).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_failure_is_told_with_its_step_and_a_late_request_runs_no_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "first", 2, 2, 1).await;
    let steps = json!([
        { "name": "one", "model": "first", "inputs": { "input": "request.x" } },
        { "name": "two", "model": "first", "inputs": { "input": "one" } },
        { "name": "pick", "switch": "request.trust", "cases": [{ "when": "> 1", "take": "two" }], "default": "one" }
    ]);
    set(&registry, steps, json!({ "y": "pick" })).await;
    let config = ServeConfig { request_rows_max: 4096, ..ServeConfig::default() };
    let server = start(&folder, config, None).await.expect("starts");
    let inputs = || vec![named("trust", &[1], &[2.0]), named("x", &[3, 2], &ROWS)];
    let late = InferRequest { deadline: Deadline(server.now()), ..request(&server, "joined", inputs()) };
    let late = server.infer(late).await.expect_err("late");
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    assert!(late.to_string().starts_with("step \"one\": the deadline passed"), "{late}");
    let wrong = ask(&server, "joined", vec![named("x", &[3, 2], &ROWS)]).await.expect_err("no trust");
    assert_eq!(wrong.to_string(), "input \"trust\" is missing");
    server.unload("first").await.expect("unloaded");
    let unloaded = ask(&server, "joined", inputs()).await.expect_err("its model is gone");
    assert_eq!(unloaded.kind(), ErrorKind::Unavailable);
    assert!(unloaded.to_string().starts_with("step \"one\": model first was unloaded"), "{unloaded}");
}

/// Servers that double what they get, unless they are told to fail.
#[derive(Default)]
struct Doubles {
    /// How each server fails; it answers where nothing is said.
    failing: Mutex<BTreeMap<String, ErrorKind>>,
    asked: Mutex<Vec<(String, usize, Duration)>>,
}

impl RemoteModels for Doubles {
    fn infer<'a>(&'a self, server: &'a str, call: &'a RemoteCall, time: Duration) -> RemoteAnswer<'a> {
        let tensor = &call.inputs[0].tensor;
        self.asked.lock().expect("whole").push((server.to_owned(), tensor.rows(), time));
        let failing = self.failing.lock().expect("whole").get(server).copied();
        let doubled: Vec<f32> = tensor.as_f32().expect("FP32").iter().map(|value| value * 2.0).collect();
        let shape = tensor.shape().to_vec();
        Box::pin(async move {
            match failing {
                Some(kind) => Err(RemoteFailure { kind, message: "it is told to fail".to_owned() }),
                None => Ok(vec![named("y", &shape, &doubled)]),
            }
        })
    }
}

impl Doubles {
    fn fail(&self, servers: &[&str], kind: ErrorKind) {
        let all = servers.iter().map(|server| ((*server).to_owned(), kind)).collect();
        *self.failing.lock().expect("whole") = all;
    }

    fn asked(&self) -> Vec<(String, usize, Duration)> {
        std::mem::take(&mut *self.asked.lock().expect("whole"))
    }
}

/// A server with a graph of one step on the servers `a:1` and `b:1`, in parts of two rows.
async fn far(folder: &tempfile::TempDir) -> (Arc<Server>, Arc<Doubles>) {
    let registry = registry(folder).await;
    let tensor = |name: &str| json!([{ "name": name, "data_type": "FP32", "shape": [-1, 2] }]);
    let steps = json!([{
        "name": "far", "model": "m", "servers": ["a:1", "b:1"], "inputs": { "x": "request.x" },
        "scatter_rows": 2, "takes": tensor("x"), "gives": tensor("y")
    }]);
    set(&registry, steps, json!({ "out": "far" })).await;
    let server = start(folder, ServeConfig::default(), None).await.expect("starts");
    let doubles = Arc::new(Doubles::default());
    server.reach_by(Arc::clone(&doubles) as Arc<dyn RemoteModels>);
    (server, doubles)
}

fn x(rows: usize) -> Vec<NamedTensor> {
    let values: Vec<f32> = (0..rows * 2).map(|value| value as f32).collect();
    vec![named("x", &[rows, 2], &values)]
}

#[tokio::test]
async fn a_large_request_is_scattered_and_gathered_in_order_even_where_a_server_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far(&folder).await;
    let want: Vec<f32> = (0..14).map(|value| value as f32 * 2.0).collect();
    assert_eq!(ask(&server, "joined", x(7)).await.expect("an answer"), want);
    let asked = doubles.asked();
    let rows: Vec<usize> = asked.iter().map(|(_, rows, _)| *rows).collect();
    assert_eq!(rows, [2, 2, 2, 1]);
    assert!(
        asked.iter().any(|(server, ..)| server == "a:1") && asked.iter().any(|(server, ..)| server == "b:1")
    );
    let limit = server.config().deadline_default;
    assert!(asked.iter().all(|(.., time)| *time <= limit && *time > Duration::ZERO), "{asked:?}");

    doubles.fail(&["a:1"], ErrorKind::Unavailable);
    assert_eq!(ask(&server, "joined", x(7)).await.expect("the other server answers"), want);
    let asked = doubles.asked();
    assert!(asked.len() > 4 && asked.iter().filter(|(server, ..)| server == "b:1").count() >= 4, "{asked:?}");
    assert!(server.telemetry().contains("modelyard_graph_step_retries_total{graph=\"joined\",step=\"far\"}"));
}

#[tokio::test]
async fn refusals_are_not_repeated_and_dead_servers_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far(&folder).await;
    doubles.fail(&["a:1", "b:1"], ErrorKind::InvalidArgument);
    let refused = ask(&server, "joined", x(1)).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(
        refused.to_string().contains("step \"far\": another server") && doubles.asked().len() == 1,
        "{refused}"
    );

    doubles.fail(&["a:1", "b:1"], ErrorKind::Unavailable);
    let mut sent = 0;
    for _ in 0..40 {
        let error = ask(&server, "joined", x(1)).await.expect_err("both are dead");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        sent += doubles.asked().len();
    }
    assert!((10..=20).contains(&sent), "after five failures each they rest, but {sent} were sent");
    let resting = ask(&server, "joined", x(1)).await.expect_err("both rest");
    let is_rest = |error: &ServeError| error.to_string().contains("are left alone for a moment");
    assert!(is_rest(&resting) || !doubles.asked().is_empty(), "{resting}");
}

#[tokio::test]
async fn without_a_way_to_other_servers_that_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    let tensor = |name: &str| json!([{ "name": name, "data_type": "FP32", "shape": [-1, 2] }]);
    let steps = json!([{
        "name": "far", "model": "m", "servers": ["a:1"], "inputs": { "x": "request.x" },
        "takes": tensor("x"), "gives": tensor("y")
    }]);
    set(&registry, steps, json!({ "out": "far" })).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    let error = ask(&server, "joined", x(1)).await.expect_err("nobody to ask");
    assert!(error.to_string().contains("speaks to no other servers"), "{error}");
}
