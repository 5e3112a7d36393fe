//! Routes at work over a real registry: shares, stickiness, shadows, and canaries that are withdrawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_registry::{GateRule, NewRoute, NewVersion, Origin, Registry, RouteChangeKind};
use modelyard_serve::{
    CANARY_LABEL, Routed, SequenceId, SequenceStep, ServeConfig, ServeError, Server, Urgency,
};
use modelyard_types::{Caller, Deadline, ErrorKind, NamedTensor, Tensor, Version};

use crate::{name, publish, registry, start};

fn version(number: u64) -> Version {
    Version::new(number).expect("not zero")
}

fn canary(number: u64, percent: f64) -> Canary {
    let guard = Guard { requests_min: 10, ..Guard::default() };
    Canary { version: version(number), percent, sticky: None, guard }
}

async fn set(registry: &Registry, server: &Server, route: Route) {
    let gates = GateRule::Override;
    let new = NewRoute { name: name("m"), route, gates, by: Caller::default(), why: String::new() };
    registry.set_route(new).await.expect("it is set");
    server.refresh().await.expect("it looks again");
}

async fn only_canary(registry: &Registry, server: &Server, canary: Canary) {
    set(registry, server, Route { canary: Some(canary), ..Route::default() }).await;
}

/// A version whose network takes more inputs than the others.
async fn publish_wider(registry: &Registry) {
    let layers = vec![LayerSpec::Dense(Dense::new(2, Some(Activation::Softmax)))];
    let network = Network::init(NetworkSpec::new(vec![5], layers), 1).expect("it fits together");
    let onnx = network.to_onnx().expect("exports");
    publish_files(registry, BTreeMap::from([("model.onnx".to_owned(), onnx)])).await;
}

async fn publish_files(registry: &Registry, files: BTreeMap<String, Vec<u8>>) {
    publish_gated(registry, files, true).await;
}

async fn publish_gated(registry: &Registry, files: BTreeMap<String, Vec<u8>>, gates_passed: bool) {
    let new = NewVersion {
        name: name("m"),
        files,
        origin: Origin::Imported,
        gates_passed,
        summary: serde_json::Value::Null,
        parent: None,
        by: Caller::default(),
    };
    registry.publish(new).await.expect("publishes");
}

fn row(values: [f32; 2]) -> Vec<NamedTensor> {
    let tensor = Tensor::new(vec![1, 2], values.to_vec().into()).expect("fits");
    vec![NamedTensor { name: "input".to_owned(), tensor }]
}

async fn turn(server: &Server, labels: &[(&str, &str)]) -> Routed {
    let find =
        |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
    let chosen = server.choose("m", None, &find);
    server.open_chosen(chosen, "m", None).await.expect("it serves")
}

/// The version that answered.
async fn ask(server: &Server, labels: &[(&str, &str)]) -> Result<u64, ServeError> {
    let routed = turn(server, labels).await;
    let answered = routed.infer(row([0.3, -0.7]), &[], server.deadline().into()).await;
    answered.map(|_| routed.version().get())
}

async fn two_versions() -> (tempfile::TempDir, Registry, Arc<Server>) {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish(&registry, "m", 1, true).await;
    publish(&registry, "m", 2, false).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    (folder, registry, server)
}

/// Lets the copies that are under way end, and what they found be written down.
async fn settle(server: &Server, until: impl Fn(&str) -> bool) {
    let seen = async {
        while !until(&server.telemetry()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("copies end");
    server.refresh().await.expect("it looks again");
}

#[tokio::test]
async fn a_canary_gets_its_share_and_who_asks_for_it() {
    let (_folder, registry, server) = two_versions().await;
    only_canary(&registry, &server, canary(2, 25.0)).await;
    let mut got = [0, 0];
    for _ in 0..200 {
        got[ask(&server, &[]).await.expect("an answer") as usize - 1] += 1;
    }
    assert!((48..=52).contains(&got[1]), "a quarter of 200: {got:?}");
    assert_eq!(ask(&server, &[(CANARY_LABEL, "always")]).await.expect("an answer"), 2);
    assert_eq!(ask(&server, &[(CANARY_LABEL, "never")]).await.expect("an answer"), 1);
    set(&registry, &server, Route::default()).await;
    assert!(server.choose("m", None, &|_| None).is_none(), "no route, no choice");
    assert!(server.telemetry().contains("modelyard_versions_loaded 1\n"), "the canary left memory");
}

#[tokio::test]
async fn a_sticky_caller_stays_with_one_version() {
    let (_folder, registry, server) = two_versions().await;
    let sticky = Some("x-user".to_owned());
    only_canary(&registry, &server, Canary { sticky: sticky.clone(), ..canary(2, 50.0) }).await;
    let users: Vec<String> = (0..40).map(|user| format!("user {user}")).collect();
    let mut first = Vec::new();
    for user in &users {
        let answered = ask(&server, &[("x-user", user)]).await.expect("an answer");
        for _ in 0..3 {
            assert_eq!(ask(&server, &[("x-user", user)]).await.expect("an answer"), answered);
        }
        first.push(answered);
    }
    assert!(first.contains(&1) && first.contains(&2));
    only_canary(&registry, &server, Canary { sticky, ..canary(2, 80.0) }).await;
    for (user, before) in users.iter().zip(first) {
        let now = ask(&server, &[("x-user", user)]).await.expect("an answer");
        assert!(now >= before, "{user} was moved back from the canary");
    }
}

#[tokio::test]
async fn a_shadow_is_compared_and_answers_nobody() {
    let (_folder, registry, server) = two_versions().await;
    let shadow = Shadow { version: version(2), percent: 100.0, tolerance: Some(1e-6) };
    set(&registry, &server, Route { shadow: Some(shadow), ..Route::default() }).await;
    for _ in 0..20 {
        assert_eq!(ask(&server, &[]).await.expect("an answer"), 1);
    }
    let line = "modelyard_compared_answers_total{model=\"m\",version=\"2\",result=\"different\"} 20\n";
    settle(&server, |metrics| metrics.contains(line)).await;
    assert_eq!(ask(&server, &[]).await.expect("a shadow is never withdrawn"), 1);
    assert!(server.choose("m", None, &|_| None).is_some());
}

#[tokio::test]
async fn a_canary_that_disagrees_is_withdrawn_and_that_is_written_down() {
    let (_folder, registry, server) = two_versions().await;
    let guard = Guard { disagreement_max: Some(0.1), tolerance: Some(1e-6), ..canary(2, 50.0).guard };
    only_canary(&registry, &server, Canary { guard, ..canary(2, 50.0) }).await;
    for _ in 0..60 {
        ask(&server, &[]).await.expect("an answer");
        tokio::task::yield_now().await;
    }
    let line = "modelyard_canaries_withdrawn_total{model=\"m\",reason=\"disagreement\"} 1\n";
    settle(&server, |metrics| metrics.contains(line)).await;
    for _ in 0..20 {
        assert_eq!(ask(&server, &[]).await.expect("an answer"), 1);
    }
    assert_eq!(ask(&server, &[(CANARY_LABEL, "always")]).await.expect("an answer"), 1, "not even by name");
    let history = registry.route_history(&name("m")).await.expect("listed");
    assert_eq!(history[0].kind, RouteChangeKind::Withdrawal);
    assert!(history[0].why.starts_with("version 2 was withdrawn: 100.0 % of"), "{}", history[0].why);
    assert!(history[0].route.is_empty() && history.len() == 2);
}

/// A network that goes over a series of pairs step by step.
fn recurrent(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let gru = serde_json::json!({ "input": [4, 2], "layers": [{ "type": "gru", "units": 3 }] });
    let spec: NetworkSpec = serde_json::from_value(gru).expect("a network");
    let network = Network::init(spec, seed).expect("it fits together");
    BTreeMap::from([
        ("network.json".to_owned(), network.network_json().into_bytes()),
        ("weights.safetensors".to_owned(), network.weights_safetensors()),
    ])
}

/// The next step of the sequence 1, by whomever these labels choose.
async fn step(
    server: &Server,
    label: &str,
    start: bool,
    urgency: impl Into<Urgency>,
) -> Result<u64, ServeError> {
    let opened = turn(server, &[(CANARY_LABEL, label)]).await;
    let step = SequenceStep { id: SequenceId::Number(1), start, end: false };
    let turn = server.take_turn(&opened, false, step)?;
    let version = turn.version().version().get();
    let tensor = Tensor::new(vec![1, 1, 2], vec![0.5_f32, -0.5].into()).expect("fits");
    let inputs = vec![NamedTensor { name: "input".to_owned(), tensor }];
    let urgency: Urgency = urgency.into();
    turn.infer(inputs, &[], urgency.into(), Ok).await.map(|_| version)
}

#[tokio::test]
async fn a_canary_is_watched_in_sequences_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(&folder).await;
    publish_gated(&registry, recurrent(1), true).await;
    publish_gated(&registry, recurrent(2), false).await;
    let server = start(&folder, ServeConfig::default(), None).await.expect("starts");
    only_canary(&registry, &server, canary(2, 0.0)).await;
    assert_eq!(step(&server, "always", true, server.deadline()).await.expect("an answer"), 2);
    // The sequence stays with the canary, whoever would be chosen now.
    assert_eq!(step(&server, "never", false, server.deadline()).await.expect("an answer"), 2);
    for _ in 0..10 {
        let late = step(&server, "never", false, Deadline(server.now())).await.expect_err("late");
        assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    }
    assert_eq!(turn(&server, &[(CANARY_LABEL, "always")]).await.version().get(), 1, "it was withdrawn");
    assert_eq!(step(&server, "never", false, server.deadline()).await.expect("it goes on"), 2);
}

#[tokio::test]
async fn a_canary_that_cannot_take_the_place_of_the_live_version_never_answers() {
    let (_folder, registry, server) = two_versions().await;
    publish_wider(&registry).await;
    publish_files(&registry, BTreeMap::from([("model.onnx".to_owned(), b"noise".to_vec())])).await;
    for (number, why) in [(3, "it takes other inputs than the default version"), (4, "it cannot be loaded")] {
        only_canary(&registry, &server, canary(number, 100.0)).await;
        for _ in 0..10 {
            assert_eq!(ask(&server, &[(CANARY_LABEL, "always")]).await.expect("an answer"), 1);
        }
        server.refresh().await.expect("it looks again");
        let now = registry.route(&name("m")).await.expect("read").expect("it was changed");
        assert_eq!(now.kind, RouteChangeKind::Withdrawal);
        assert_eq!(now.why, format!("version {number} was withdrawn: {why}"));
        assert!(server.is_ready());
    }
}
