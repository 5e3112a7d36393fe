//! The server over a real registry, without a front end: which version answers, what is kept, what is refused.

mod folder;
mod graphs;
mod memory;
mod rollouts;
mod stateful;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_registry::{NewVersion, Origin, Registry};
use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_serve::{Row, ServeConfig, ServeError, Server};
use modelyard_types::{
    Caller, Clock, Deadline, ErrorKind, InferRequest, ModelName, NamedTensor, Tensor, Version,
    VersionSelector,
};

struct RealClock;

#[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which owns the clock")]
impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

fn name(text: &str) -> ModelName {
    text.parse().expect("a name")
}

async fn publish(registry: &Registry, model: &str, seed: u64, gates_passed: bool) {
    let layers = vec![LayerSpec::Dense(Dense::new(2, Some(Activation::Softmax)))];
    let network = Network::init(NetworkSpec::new(vec![2], layers), seed).expect("it fits together");
    let new = NewVersion {
        name: name(model),
        files: BTreeMap::from([
            ("network.json".to_owned(), network.network_json().into_bytes()),
            ("weights.safetensors".to_owned(), network.weights_safetensors()),
        ]),
        origin: Origin::Trained,
        gates_passed,
        summary: serde_json::Value::Null,
        parent: None,
        by: Caller::default(),
    };
    registry.publish(new).await.expect("publishes");
}

async fn registry(folder: &tempfile::TempDir) -> Registry {
    Registry::open(folder.path(), Arc::new(RealClock)).await.expect("opens")
}

async fn start(
    folder: &tempfile::TempDir,
    config: ServeConfig,
    only: Option<Vec<ModelName>>,
) -> Result<Arc<Server>, ServeError> {
    let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
    Server::start(registry(folder).await, runtimes, config, Arc::new(RealClock), only).await
}

fn request(server: &Server, version: Option<u64>, values: [f32; 2]) -> InferRequest {
    let tensor = Tensor::new(vec![1, 2], values.to_vec().into()).expect("fits");
    InferRequest {
        model: name("m"),
        version: version.and_then(Version::new).map(VersionSelector::Number),
        inputs: vec![NamedTensor { name: "input".to_owned(), tensor }],
        outputs: Vec::new(),
        deadline: server.deadline(),
        caller: Caller::default(),
    }
}

#[tokio::test]
async fn without_an_alias_the_newest_version_that_passed_its_gates_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "m", 1, false).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    let error = server.infer(request(&server, None, [1.0, 2.0])).await.expect_err("none passed");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::FailedPrecondition, "model m serves no version yet")
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("models promote m")) && !server.is_ready());

    publish(&registry, "m", 2, true).await;
    publish(&registry, "m", 3, false).await;
    server.refresh().await.expect("the registry is there");
    let response = server.infer(request(&server, None, [1.0, 2.0])).await.expect("an answer");
    assert_eq!((response.version.get(), server.is_ready()), (2, true));
    assert_eq!(
        server.infer(request(&server, Some(3), [1.0, 2.0])).await.expect("by number").version.get(),
        3
    );
}

#[tokio::test]
async fn versions_on_demand_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    for seed in 1..=5 {
        publish(&registry, "m", seed, true).await;
    }
    let config = ServeConfig { versions_on_demand_max: 2, ..ServeConfig::default() };
    let server = start(&folder, config, None).await.expect("starts");
    for number in [1, 2, 3, 4, 1, 5] {
        let response = server.infer(request(&server, Some(number), [1.0, 2.0])).await.expect("an answer");
        assert_eq!(response.version.get(), number);
    }
    let metrics = server.telemetry();
    assert!(metrics.contains("modelyard_versions_loaded 3\n"), "the live one and two more: {metrics}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_told_by_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    publish(&registry(&folder).await, "m", 1, true).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    let infinite = server.infer(request(&server, None, [1.0, f32::INFINITY])).await.expect_err("infinite");
    assert_eq!(
        infinite.to_string(),
        "input \"input\" holds inf at position 1; only finite numbers are taken"
    );
    let nan = server.infer(request(&server, None, [f32::NAN, 0.0])).await.expect_err("not a number");
    assert_eq!(nan.kind(), ErrorKind::InvalidArgument);
    let late = InferRequest { deadline: Deadline(server.now()), ..request(&server, None, [1.0, 2.0]) };
    assert_eq!(server.infer(late).await.expect_err("late").kind(), ErrorKind::DeadlineExceeded);
    let rows = server.open("m", None).await.expect("it is served");
    let deadline = Deadline(server.now() + Duration::from_secs(5));
    let no_pipeline = rows.predict(vec![Row::new()], deadline).await.expect_err("tensors only");
    assert!(matches!(no_pipeline, ServeError::NoPipeline { .. }));
    server.drain().await;
    let refused = server.infer(request(&server, None, [1.0, 2.0])).await.expect_err("draining");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_model_that_was_named_must_be_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "digits", 1, true).await;
    publish(&registry, "other", 1, true).await;
    let server = start(&folder, ServeConfig::default(), Some(vec![name("digits")])).await.expect("starts");
    assert_eq!(server.models().len(), 1);
    let unknown = start(&folder, ServeConfig::default(), Some(vec![name("digit")])).await;
    assert_eq!(unknown.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn a_version_whose_files_are_damaged_is_left_alone_for_a_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    let stored = || {
        let entries = std::fs::read_dir(folder.path().join("versions/m")).expect("there");
        entries.map(|entry| entry.expect("readable").path()).collect::<Vec<_>>()
    };
    publish(&registry, "m", 1, true).await;
    let whole = stored();
    publish(&registry, "m", 2, false).await;
    let second = stored().into_iter().find(|path| !whole.contains(path)).expect("it has a folder");
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    std::fs::write(second.join("weights.safetensors"), b"damaged").expect("writes");
    let first = server.infer(request(&server, Some(2), [1.0, 2.0])).await.expect_err("damaged");
    assert!(matches!(first, ServeError::Registry(_)), "{first:?}");
    let second = server.infer(request(&server, Some(2), [1.0, 2.0])).await.expect_err("still damaged");
    assert!(matches!(second, ServeError::LeftAlone { .. }), "{second:?}");
    assert_eq!((first.kind(), second.kind()), (ErrorKind::DataCorrupt, ErrorKind::DataCorrupt));
    server.infer(request(&server, Some(1), [1.0, 2.0])).await.expect("the others answer");
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_is_left_alone_for_a_moment() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "m", 1, true).await;
    let new = NewVersion {
        name: name("m"),
        files: BTreeMap::from([
            ("network.json".to_owned(), b"{}".to_vec()),
            ("weights.safetensors".to_owned(), b"nothing".to_vec()),
        ]),
        origin: Origin::Trained,
        gates_passed: false,
        summary: serde_json::Value::Null,
        parent: None,
        by: Caller::default(),
    };
    registry.publish(new).await.expect("publishes");
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    let first = server.infer(request(&server, Some(2), [1.0, 2.0])).await.expect_err("broken");
    assert!(matches!(first, ServeError::Load { .. }), "{first:?}");
    let second = server.infer(request(&server, Some(2), [1.0, 2.0])).await.expect_err("still broken");
    assert!(matches!(second, ServeError::LeftAlone { .. }), "{second:?}");
    assert_eq!(second.kind(), first.kind());
    let told = second.to_string();
    assert!(told.starts_with(&first.to_string()) && told.contains("it is tried again in"), "{told}");
    server.infer(request(&server, Some(1), [1.0, 2.0])).await.expect("the others answer");
}
