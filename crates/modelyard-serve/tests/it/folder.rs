//! Folders of models: each layout, what a configuration changes, and what is refused without harm to others.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_registry::NewRoute;
use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_serve::{CANARY_LABEL, ModelFolder, ModelSettings, ServeConfig, ServeError, Server};
use modelyard_types::{Caller, ErrorKind, InferRequest, NamedTensor, Tensor, Version, VersionSelector};
use tempfile::TempDir;

use crate::{RealClock, name};

/// A network of three inputs and two classes; the seed makes it another one.
pub(crate) fn onnx(seed: u64) -> Vec<u8> {
    let layers = vec![LayerSpec::Dense(Dense::new(2, Some(Activation::Softmax)))];
    Network::init(NetworkSpec::new(vec![3], layers), seed)
        .expect("it fits together")
        .to_onnx()
        .expect("exports")
}

/// A folder of these files.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, bytes) in files {
        write(folder.path(), path, bytes, 0);
    }
    folder
}

/// Writes a file whose time of change is the given number of seconds after a fixed moment.
fn write(folder: &Path, path: &str, bytes: &[u8], second: u64) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("it has one")).expect("can make folders");
    fs::write(&path, bytes).expect("can write");
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
    File::options().write(true).open(&path).and_then(|file| file.set_modified(changed)).expect("can be set");
}

pub(crate) async fn serve(folder: &Path, config: ServeConfig) -> Result<Arc<Server>, ServeError> {
    let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
    let source = ModelFolder::open(folder, None)?;
    Server::start(source, runtimes, config, Arc::new(RealClock), None).await
}

/// The version that answered, or what was said.
async fn ask(server: &Server, model: &str, version: Option<u64>) -> Result<u64, ServeError> {
    ask_rows(server, model, version, 1).await.map(|(version, _)| version)
}

async fn ask_rows(
    server: &Server,
    model: &str,
    version: Option<u64>,
    rows: usize,
) -> Result<(u64, Vec<f32>), ServeError> {
    let tensor = Tensor::new(vec![rows, 3], vec![0.5f32; 3 * rows].into()).expect("fits");
    let request = InferRequest {
        model: name(model),
        version: version.and_then(Version::new).map(VersionSelector::Number),
        inputs: vec![NamedTensor { name: "input".to_owned(), tensor }],
        outputs: Vec::new(),
        deadline: server.deadline(),
        caller: Caller::default(),
    };
    let response = server.infer(request).await?;
    let values = response.outputs[0].tensor.as_f32().expect("numbers").to_vec();
    Ok((response.version.get(), values))
}

#[tokio::test]
async fn onnx_files_side_by_side_are_models_by_their_names() {
    let folder = folder(&[("a.onnx", &onnx(1)), ("b.onnx", &onnx(2)), ("README.md", b"#"), (".x.onnx", b"")]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    let names: Vec<String> = server.models().iter().map(|status| status.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(server.is_ready());
    let [a, b] = [ask_rows(&server, "a", None, 1).await, ask_rows(&server, "b", Some(1), 1).await];
    assert_ne!(a.expect("an answer").1, b.expect("an answer").1, "two networks");
    assert!(matches!(ask(&server, "a", Some(2)).await, Err(ServeError::UnknownVersion { .. })));
    assert!(matches!(ask(&server, "README", None).await, Err(ServeError::UnknownModel { .. })));
}

#[tokio::test]
async fn a_triton_repository_is_served_as_its_configuration_says() {
    let config = b"name: \"m\" max_batch_size: 8 version_policy { specific { versions: [1, 3] } }
        instance_group { count: 3 } dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 70 }
        input { name: \"input\" data_type: TYPE_FP32 dims: 3 }
        output { name: \"output\" data_type: TYPE_FP32 dims: 2 label_filename: \"labels.txt\" }
        model_warmup { batch_size: 2 inputs { key: \"input\" value { data_type: TYPE_FP32 dims: 3 zero_data: true } } }";
    let folder = folder(&[
        ("m/config.pbtxt", config),
        ("m/labels.txt", b"no\nyes\n"),
        ("m/1/model.onnx", &onnx(1)),
        ("m/2/model.onnx", &onnx(2)),
        ("m/3/model.onnx", &onnx(3)),
        ("m/0/model.onnx", b"no version"),
        ("latest/1/model.onnx", &onnx(4)),
        ("latest/12/model.onnx", &onnx(5)),
        ("notes/read.me", b"no model"),
    ]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    assert_eq!(ask(&server, "m", None).await.expect("the newest that the policy names"), 3);
    assert_eq!(ask(&server, "m", Some(1)).await.expect("by number"), 1);
    assert!(matches!(ask(&server, "m", Some(2)).await, Err(ServeError::UnknownVersion { .. })));
    assert_eq!(ask(&server, "latest", None).await.expect("the newest"), 12);
    assert!(matches!(ask(&server, "latest", Some(1)).await, Err(ServeError::UnknownVersion { .. })));
    let version = server.open("m", None).await.expect("it serves");
    let limits = version.limits();
    assert_eq!((limits.sessions_max, limits.batch_size_max, &limits.preferred_rows), (3, 8, &vec![4]));
    assert_eq!(limits.batch_delay, Duration::from_micros(70));
    assert_eq!(version.labels("output"), Some(["no".to_owned(), "yes".to_owned()].as_slice()));
    let wide = ask_rows(&server, "m", None, 9).await.expect_err("more rows than its largest batch");
    assert_eq!(wide.kind(), ErrorKind::TooLarge);
    assert_eq!(server.models().len(), 2);
}

#[tokio::test]
async fn one_model_alone_in_the_folder_takes_the_name_that_it_is_given() {
    let folder = folder(&[("model.onnx", &onnx(1)), ("storage.json", b"{}")]);
    let own = |text: &str| ModelFolder::open(folder.path(), Some(name(text))).and_then(|f| f.names());
    assert_eq!(own("resnet").expect("one model"), [name("resnet")]);
    write(folder.path(), "config.pbtxt", b"name: \"told\"", 0);
    let told = ModelFolder::open(folder.path(), None).and_then(|folder| folder.names());
    assert_eq!(told.expect("one model"), [name("told")]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    assert_eq!(ask(&server, "told", None).await.expect("an answer"), 1);
    assert_eq!(
        server.open("told", None).await.expect("it serves").batch_rows_max(),
        None,
        "no rows declared"
    );
}

#[tokio::test]
async fn what_one_model_asks_in_vain_leaves_the_others_alone() {
    let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let other_shape = b"max_batch_size: 4 input { name: \"input\" data_type: TYPE_FP32 dims: 5 }";
    let bad_warmup = b"max_batch_size: 4\nmodel_warmup { inputs { key: \"input\" value { dims: 9 } } }";
    let folder = folder(&[
        ("good.onnx", &onnx(1)),
        ("noise.onnx", &noise),
        ("gpu/config.pbtxt", b"\ninstance_group { kind: KIND_GPU }"),
        ("gpu/1/model.onnx", &onnx(1)),
        ("python/config.pbtxt", b"backend: \"python\""),
        ("python/1/model.py", b"import os"),
        ("plan/1/model.plan", b""),
        ("named/config.pbtxt", b"name: \"another\""),
        ("named/1/model.onnx", &onnx(1)),
        ("shaped/config.pbtxt", other_shape),
        ("shaped/1/model.onnx", &onnx(1)),
        ("cold/config.pbtxt", bad_warmup),
        ("cold/1/model.onnx", &onnx(1)),
    ]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    assert_eq!(ask(&server, "good", None).await.expect("an answer"), 1);
    assert!(!server.is_ready());
    let problem = |model: &str| server.model(model).expect("it is known").problem.unwrap_or_default();
    let gpu = "gpu/config.pbtxt:2: instance_group kind KIND_GPU is not supported (models run on CPUs: say KIND_CPU)";
    assert_eq!(problem("gpu"), gpu);
    assert!(problem("python").starts_with("python/config.pbtxt:1: backend \"python\" is not supported"));
    assert!(problem("plan").contains("cannot be read"), "{}", problem("plan"));
    assert!(problem("named").contains("name is \"another\", but its folder is named named"));
    assert!(
        problem("shaped").contains("version 1 of model shaped cannot be loaded"),
        "{}",
        problem("shaped")
    );
    assert!(problem("cold").contains("cannot be loaded") && problem("noise").contains("cannot be loaded"));
    let refused = ask(&server, "gpu", None).await.expect_err("not served");
    assert_eq!(refused.kind(), ErrorKind::FailedPrecondition);
    assert!(refused.to_string().starts_with("model gpu cannot be served: gpu/config.pbtxt:2"), "{refused}");

    write(folder.path(), "gpu/config.pbtxt", b"instance_group { kind: KIND_CPU }", 1);
    server.refresh().await.expect("it looks again");
    assert_eq!(ask(&server, "gpu", None).await.expect("its files are in order now"), 1);
}

#[tokio::test]
async fn a_file_that_changes_is_loaded_and_a_broken_one_changes_nothing() {
    let folder = folder(&[("m.onnx", &onnx(1))]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    let before = ask_rows(&server, "m", None, 1).await.expect("an answer").1;
    let other = onnx(2);
    write(folder.path(), "m.onnx", &other[..other.len() / 2], 1);
    server.refresh().await.expect("it looks again");
    assert_eq!(ask_rows(&server, "m", None, 1).await.expect("the one before answers").1, before);
    assert!(server.model("m").expect("it is known").problem.is_some());
    write(folder.path(), "m.onnx", &other, 2);
    write(folder.path(), "new.onnx", &onnx(3), 2);
    server.refresh().await.expect("it looks again");
    assert_ne!(ask_rows(&server, "m", None, 1).await.expect("the new one answers").1, before);
    assert_eq!(ask(&server, "new", None).await.expect("an answer"), 1);
    fs::remove_file(folder.path().join("new.onnx")).expect("can be removed");
    server.refresh().await.expect("it looks again");
    assert!(matches!(ask(&server, "new", None).await, Err(ServeError::UnknownModel { .. })));
}

#[tokio::test]
async fn a_folder_that_cannot_be_served_is_refused_with_the_reason() {
    let empty = folder(&[("notes.txt", b"")]);
    let check = |folder: &Path, what: &str| {
        let error = ModelFolder::open(folder, None).expect_err(what);
        assert!(error.to_string().contains(what) && error.hint().is_some(), "{error}");
    };
    check(empty.path(), "there is no model in it");
    check(&empty.path().join("nowhere"), "cannot be read");
    check(folder(&[("my model.onnx", b"")]).path(), "not a model name");
    check(folder(&[("m.onnx", b""), ("m/1/model.onnx", b"")]).path(), "two models named m");
}

#[tokio::test]
async fn a_model_has_the_engine_and_limits_that_it_is_given() {
    let folder = folder(&[("m.onnx", &onnx(1)), ("plain.onnx", &onnx(1))]);
    let own = ModelSettings {
        runtime: Some("rten".to_owned()),
        sessions_max: Some(1),
        queue_rows_max: Some(5),
        ..ModelSettings::default()
    };
    let config = ServeConfig { models: [(name("m"), own)].into(), ..ServeConfig::default() };
    let server = serve(folder.path(), config).await.expect("starts");
    let [m, plain] = [server.open("m", None).await, server.open("plain", None).await];
    let (m, plain) = (m.expect("it serves"), plain.expect("it serves"));
    assert_eq!((m.runtime(), plain.runtime()), ("rten", "native-onnx"));
    assert_eq!((m.limits().sessions_max, m.limits().queue_rows_max), (1, 5));
    let full = ask_rows(&server, "m", None, 6).await.expect_err("more than its queue holds");
    assert_eq!(full.kind(), ErrorKind::ResourceExhausted);
}

/// A folder with the versions 1 and 2 of `m`, served with the routes of a store, in which this one is.
async fn routed(folder: &Path, store: &TempDir, route: Route) -> Arc<Server> {
    let registry = crate::registry(store).await;
    let gates = modelyard_registry::GateRule::Override;
    let new = NewRoute { name: name("m"), route, gates, by: Caller::default(), why: String::new() };
    let models = ModelFolder::open(folder, None).expect("it is in order");
    models.check_route(&new.name, &new.route).expect("its versions are there");
    registry.set_route_elsewhere(new).await.expect("it is set");
    let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
    let source = models.with_routes(registry);
    let started = Server::start(source, runtimes, ServeConfig::default(), Arc::new(RealClock), None).await;
    started.expect("starts")
}

fn two_versions() -> TempDir {
    let all = b"version_policy { all { } }";
    folder(&[("m/config.pbtxt", all), ("m/1/model.onnx", &onnx(1)), ("m/2/model.onnx", &onnx(2))])
}

/// What the canary answers.
async fn canary_says(server: &Server) -> Vec<f32> {
    let chosen =
        server.choose("m", None, &|label: &str| (label == CANARY_LABEL).then(|| "always".to_owned()));
    let canary = server.open_chosen(chosen, "m", None).await.expect("it serves");
    assert_eq!(canary.version().get(), 2);
    let tensor = Tensor::new(vec![1, 3], vec![0.5f32; 3].into()).expect("fits");
    let inputs = vec![NamedTensor { name: "input".to_owned(), tensor }];
    let answered = canary.infer(inputs, &[], server.deadline().into()).await.expect("an answer");
    answered.answer[0].tensor.as_f32().expect("numbers").to_vec()
}

#[tokio::test]
async fn a_canary_whose_file_changes_is_loaded_anew() {
    let (folder, store) = (two_versions(), tempfile::tempdir().expect("a folder"));
    let version = Version::new(2).expect("not zero");
    let canary = Some(Canary { version, percent: 0.0, sticky: None, guard: Guard::default() });
    let route = Route { live: Some(Version::FIRST), canary, ..Route::default() };
    let server = routed(folder.path(), &store, route).await;
    assert_eq!(ask(&server, "m", None).await.expect("the live one"), 1);
    let before = canary_says(&server).await;
    write(folder.path(), "m/2/model.onnx", &onnx(7), 5);
    server.refresh().await.expect("it looks again");
    assert_ne!(canary_says(&server).await, before, "another network");
    assert_eq!(server.loaded().len(), 2, "the one before left memory");
}

#[tokio::test]
async fn a_shadow_may_go_and_come_back() {
    let (folder, store) = (two_versions(), tempfile::tempdir().expect("a folder"));
    let shadow = Some(Shadow { version: Version::FIRST, percent: 100.0, tolerance: None });
    let server = routed(folder.path(), &store, Route { shadow, ..Route::default() }).await;
    let in_memory = || server.loaded().iter().map(|version| version.version().get()).collect::<Vec<_>>();
    assert_eq!(in_memory(), [1, 2]);
    fs::remove_dir_all(folder.path().join("m/1")).expect("it is there");
    server.refresh().await.expect("it looks again");
    assert_eq!(in_memory(), [2]);
    assert_eq!(ask(&server, "m", None).await.expect("the live one"), 2);
    write(folder.path(), "m/1/model.onnx", &onnx(1), 9);
    server.refresh().await.expect("it looks again");
    assert_eq!(in_memory(), [1, 2]);
}
