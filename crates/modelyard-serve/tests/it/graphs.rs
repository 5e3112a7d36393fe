//! Graphs of models over a real registry: answers equal to asking the models one by one, failures told with
//! their step, and other servers stood in for by a test double.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_registry::document::{Graph, SignatureDocument};
use modelyard_registry::{NewGraph, NewVersion, Origin, Registry};
use modelyard_runtime::{LoadOptions, ModelFiles, RuntimeConfig, Runtimes};
use modelyard_serve::{
    RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, RemoteServer, RemoteTerms, SequenceId,
    SequenceStep, ServeConfig, ServeError, Server,
};
use modelyard_types::{
    Caller, Clock, Deadline, ErrorKind, InferRequest, NamedTensor, Tensor, Version, VersionSelector,
};
use serde_json::{Value, json};

use crate::{RealClock, name, registry, start};

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

/// A clock that stands still until time passes by order.
struct SetClock(Mutex<Instant>);

impl SetClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(RealClock.now())))
    }

    fn pass(&self, time: Duration) {
        *self.0.lock().expect("whole") += time;
    }
}

impl Clock for SetClock {
    fn now(&self) -> Instant {
        *self.0.lock().expect("whole")
    }

    fn wall(&self) -> SystemTime {
        RealClock.wall()
    }
}

async fn start_at(folder: &tempfile::TempDir, config: ServeConfig, clock: Arc<dyn Clock>) -> Arc<Server> {
    let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
    Server::start(registry(folder).await, runtimes, config, clock, None).await.expect("starts")
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
    assert_eq!(server.models_asked_for().len(), 1);

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

#[tokio::test]
async fn a_damaged_model_stops_its_graph_alone_and_a_repaired_one_brings_it_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "first", 2, 2, 1).await;
    crate::publish(&registry, "other", 2, true).await;
    let step = json!([{ "name": "one", "model": "first", "inputs": { "input": "request.x" } }]);
    set(&registry, step, json!({ "y": "one" })).await;
    let versions = std::fs::read_dir(folder.path().join("versions/first")).expect("there");
    let mut files = versions.map(|version| version.expect("readable").path().join(SignatureDocument::FILE));
    let file = files.find(|file| file.exists()).expect("one has a signature");
    let good = std::fs::read(&file).expect("readable");
    std::fs::write(&file, b"{}").expect("damaged");

    let clock = SetClock::new();
    let server = start_at(&folder, ServeConfig::default(), Arc::clone(&clock) as Arc<dyn Clock>).await;
    ask(&server, "other", vec![named("input", &[1, 2], &ROWS[..2])]).await.expect("it is whole");
    let x = || vec![named("x", &[1, 2], &ROWS[..2])];
    let damaged = ask(&server, "joined", x()).await.expect_err("its model is damaged");
    assert_eq!(damaged.kind(), ErrorKind::FailedPrecondition);
    assert!(damaged.to_string().contains("signature.json of first version 1 is damaged"), "{damaged}");
    assert!(!server.is_ready());

    std::fs::write(&file, good).expect("repaired");
    clock.pass(Duration::from_secs(60));
    server.refresh().await.expect("the registry is there");
    assert_eq!(ask(&server, "joined", x()).await.expect("an answer").len(), 2);
    assert!(server.is_ready());
}

/// Servers that double what they get, unless they are told to fail.
#[derive(Default)]
struct Doubles {
    /// How each server fails; it answers where nothing is said.
    failing: Mutex<BTreeMap<String, ErrorKind>>,
    /// Whether they never answer.
    hang: AtomicBool,
    /// What they answer instead.
    given: Mutex<Option<NamedTensor>>,
    asked: Mutex<Vec<(String, usize, Duration)>>,
}

impl RemoteModels for Doubles {
    fn infer<'a>(
        &'a self,
        server: RemoteServer<'a>,
        call: &'a RemoteCall,
        terms: RemoteTerms,
    ) -> RemoteAnswer<'a> {
        let server = server.name;
        let tensor = &call.inputs[0].tensor;
        self.asked.lock().expect("whole").push((server.to_owned(), tensor.rows(), terms.time));
        let failing = self.failing.lock().expect("whole").get(server).copied();
        let doubled: Vec<f32> = tensor.as_f32().expect("FP32").iter().map(|value| value * 2.0).collect();
        let shape = tensor.shape().to_vec();
        let given = self.given.lock().expect("whole").clone();
        let hangs = self.hang.load(Ordering::Relaxed);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            match failing {
                Some(kind) => Err(RemoteFailure { kind, message: "it is told to fail".to_owned() }),
                None => Ok(vec![given.unwrap_or_else(|| named("y", &shape, &doubled))]),
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
    far_at(folder, ServeConfig::default(), Arc::new(RealClock)).await
}

async fn far_at(
    folder: &tempfile::TempDir,
    config: ServeConfig,
    clock: Arc<dyn Clock>,
) -> (Arc<Server>, Arc<Doubles>) {
    far_with(folder, ("scatter_rows", json!(2)), config, clock).await
}

/// As [`far_at`], with this key in the step instead.
async fn far_with(
    folder: &tempfile::TempDir,
    (key, value): (&str, Value),
    config: ServeConfig,
    clock: Arc<dyn Clock>,
) -> (Arc<Server>, Arc<Doubles>) {
    let registry = registry(folder).await;
    let tensor = |name: &str| json!([{ "name": name, "data_type": "FP32", "shape": [-1, 2] }]);
    let mut steps = json!([{
        "name": "far", "model": "m", "servers": ["a:1", "b:1"], "inputs": { "x": "request.x" },
        "takes": tensor("x"), "gives": tensor("y")
    }]);
    steps[0][key] = value;
    set(&registry, steps, json!({ "out": "far" })).await;
    let server = start_at(folder, config, clock).await;
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
    let clock = SetClock::new();
    let config = ServeConfig::default();
    let (server, doubles) = far_at(&folder, config, Arc::clone(&clock) as Arc<dyn Clock>).await;
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
    assert_eq!(sent, 10, "after five failures each they rest");
    let resting = ask(&server, "joined", x(1)).await.expect_err("both rest");
    assert!(is_rest(&resting) && doubles.asked().is_empty(), "{resting}");
    doubles.fail(&[], ErrorKind::Unavailable);
    clock.pass(Duration::from_secs(1));
    ask(&server, "joined", x(1)).await.expect("one request tries, and finds it well");
}

fn is_rest(error: &ServeError) -> bool {
    error.to_string().contains("are left alone for a moment")
}

type Begun<'s, T> = Pin<Box<dyn Future<Output = T> + 's>>;

/// A request on its way to a server that never answers.
async fn begun<'s, T>(request: impl Future<Output = T> + 's) -> Begun<'s, T> {
    let mut request: Begun<'s, T> = Box::pin(request);
    tokio::select! {
        biased;
        _ = &mut request => unreachable!("nobody answers"),
        () = std::future::ready(()) => {}
    }
    request
}

#[tokio::test]
async fn servers_that_hang_rest_though_their_callers_go_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::new();
    let config = ServeConfig::default();
    let (server, doubles) = far_at(&folder, config, Arc::clone(&clock) as Arc<dyn Clock>).await;
    for patience in [Duration::from_millis(10), Duration::from_secs(2)] {
        doubles.hang.store(true, Ordering::Relaxed);
        let mut requests = Vec::new();
        for _ in 0..10 {
            requests.push(begun(ask(&server, "joined", x(1))).await);
        }
        clock.pass(patience);
        drop(requests);
        doubles.hang.store(false, Ordering::Relaxed);
        let asked = ask(&server, "joined", x(1)).await;
        match patience < Duration::from_secs(1) {
            true => assert!(asked.is_ok(), "who is in a hurry says nothing of the servers"),
            false => assert!(asked.is_err_and(|error| is_rest(&error)), "both had their time"),
        }
    }
}

#[tokio::test]
async fn a_graph_takes_no_more_rows_than_may_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = ServeConfig { queue_rows_max: 4, ..ServeConfig::default() };
    let (server, doubles) = far_at(&folder, config, Arc::new(RealClock)).await;
    let served = server.open("joined", None).await.expect("it is served");
    doubles.hang.store(true, Ordering::Relaxed);
    let waiting = begun(ask(&server, "joined", x(3))).await;
    assert_eq!(served.queued_rows(), 3);
    let full = ask(&server, "joined", x(2)).await.expect_err("3 and 2 are more than 4");
    assert_eq!(
        (full.kind(), full.to_string().as_str()),
        (ErrorKind::ResourceExhausted, "the queue of model joined is full")
    );
    let last = begun(ask(&server, "joined", x(1))).await;
    assert!(served.check_room().is_err(), "not one more");
    drop((waiting, last));
    doubles.hang.store(false, Ordering::Relaxed);
    assert_eq!(ask(&server, "joined", x(4)).await.expect("an answer").len(), 8);
    assert!(served.queued_rows() == 0 && served.check_room().is_ok());
}

#[tokio::test]
async fn what_other_servers_answer_is_held_against_what_they_promised() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far(&folder).await;
    for (given, want) in [
        (named("z", &[1, 2], &[1.0, 2.0]), "its answer has no output \"y\""),
        (named("y", &[1, 3], &[1.0, 2.0, 3.0]), "its output \"y\" is FP32 [1, 3], not FP32 [-1, 2]"),
        (named("y", &[1, 2], &[1.0, f32::NAN]), "answered NaN in output \"y\""),
    ] {
        *doubles.given.lock().expect("whole") = Some(given);
        let error = ask(&server, "joined", x(1)).await.expect_err(want);
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains(want), "{error}");
    }
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

async fn far_sequences(folder: &tempfile::TempDir) -> (Arc<Server>, Arc<Doubles>) {
    far_with(folder, ("sequences", json!(true)), ServeConfig::default(), Arc::new(RealClock)).await
}

/// One request of sequence 7.
async fn go(server: &Server, start: bool) -> Result<(), ServeError> {
    go_until(server, start, server.deadline(), Ok).await
}

async fn go_until(
    server: &Server,
    start: bool,
    deadline: Deadline,
    write: impl FnOnce(Vec<NamedTensor>) -> Result<Vec<NamedTensor>, ServeError>,
) -> Result<(), ServeError> {
    let opened = server.open("joined", None).await?.into();
    let step = SequenceStep { id: SequenceId::Number(7), start, end: false };
    let turn = server.take_turn(&opened, false, step)?;
    turn.infer(x(1), &[], deadline.into(), write).await.map(drop)
}

#[tokio::test]
async fn a_sequence_stays_with_the_server_that_it_began_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far_sequences(&folder).await;
    let go = async |start: bool| go(&server, start).await;
    go(true).await.expect("it begins");
    let first = doubles.asked()[0].0.clone();
    for _ in 0..3 {
        go(false).await.expect("it goes on");
    }
    let asked = doubles.asked();
    assert!(asked.len() == 3 && asked.iter().all(|(server, ..)| *server == first), "{asked:?}");

    doubles.fail(&[&first], ErrorKind::ResourceExhausted);
    let full = go(false).await.expect_err("its queue is full");
    assert_eq!(full.kind(), ErrorKind::ResourceExhausted);
    doubles.fail(&[], ErrorKind::Unavailable);
    go(false).await.expect("a refusal leaves it as it was");
    doubles.asked();

    doubles.fail(&[&first], ErrorKind::Unavailable);
    let lost = go(false).await.expect_err("its server is gone");
    assert_eq!(lost.kind(), ErrorKind::FailedPrecondition);
    assert!(lost.to_string().starts_with("sequence 7 is lost"), "{lost}");
    assert_eq!(doubles.asked().len(), 1, "nobody else can go on with it");
    assert_eq!(go(false).await.expect_err("it is over").kind(), ErrorKind::NotFound);
    for _ in 0..2 {
        go(true).await.expect("the other server begins it");
    }
    assert!(doubles.asked().iter().any(|(server, ..)| *server != first));

    doubles.fail(&[], ErrorKind::Unavailable);
    go(true).await.expect("it begins");
    doubles.hang.store(true, Ordering::Relaxed);
    drop(begun(go(false)).await);
    doubles.hang.store(false, Ordering::Relaxed);
    let over = go(false).await.expect_err("its caller went away while a server went on");
    assert_eq!(over.kind(), ErrorKind::NotFound, "{over}");
}

#[tokio::test]
async fn a_failure_after_another_server_went_on_loses_the_sequence() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, doubles) = far_sequences(&folder).await;
    drop(first);
    let tensor = |name: &str| json!([{ "name": name, "data_type": "FP32", "shape": [-1, 2] }]);
    let steps = json!([
        { "name": "far", "model": "m", "servers": ["a:1"], "inputs": { "x": "request.x" }, "sequences": true,
          "takes": tensor("x"), "gives": tensor("y") },
        { "name": "both", "combine": "weighted", "of": ["far", "far"], "weights": [1e300, 1e300] }
    ]);
    set(&registry(&folder).await, steps, json!({ "out": "both" })).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    server.reach_by(Arc::clone(&doubles) as Arc<dyn RemoteModels>);

    go(&server, true).await.expect("it begins");
    go(&server, false).await.expect("it goes on");
    *doubles.given.lock().expect("whole") = Some(named("y", &[1, 2], &[3e38, 1.0]));
    let lost = go(&server, false).await.expect_err("the sum is too large");
    assert!(lost.to_string().starts_with("sequence 7 is lost") && lost.to_string().contains("inf"), "{lost}");
    *doubles.given.lock().expect("whole") = None;
    assert_eq!(go(&server, false).await.expect_err("it is over").kind(), ErrorKind::NotFound);

    let unwritable = || ServeError::Unwritable {
        kind: ErrorKind::Unsupported,
        message: "no way to write it".to_owned(),
        hint: None,
    };
    let fail = async |start: bool| {
        let outcome = go_until(&server, start, server.deadline(), |_| Err(unwritable())).await;
        outcome.expect_err("it cannot be written")
    };
    assert_eq!(fail(true).await.to_string(), "no way to write it", "one that begins may begin again");
    go(&server, true).await.expect("it begins");
    let lost = fail(false).await;
    assert_eq!(
        lost.to_string(),
        "sequence 7 is lost, as another server may have taken its step already: no way to write it"
    );
    assert_eq!(go(&server, false).await.expect_err("it is over").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_step_too_late_to_be_sent_leaves_its_sequence_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far_sequences(&folder).await;
    go(&server, true).await.expect("it begins");
    doubles.asked();
    let late = go_until(&server, false, Deadline(server.now()), Ok).await.expect_err("late");
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded, "{late}");
    assert!(doubles.asked().is_empty());
    go(&server, false).await.expect("as it was");
}

#[tokio::test]
async fn a_sequence_that_takes_anothers_place_begins_elsewhere_once_that_one_rests() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, doubles) = far_sequences(&folder).await;
    go(&server, true).await.expect("it begins");
    doubles.hang.store(true, Ordering::Relaxed);
    let old = begun(go(&server, false)).await;
    doubles.hang.store(false, Ordering::Relaxed);
    doubles.asked();
    let new = begun(go(&server, true)).await;
    drop(begun(go(&server, true)).await);
    let next = begun(go(&server, true)).await;
    assert!(doubles.asked().is_empty(), "another request runs there under this name");
    drop(old);
    new.await.expect("it begins");
    next.await.expect("in place of that one");
    go(&server, false).await.expect("it goes on");
    assert_eq!(doubles.asked().len(), 3);
}
