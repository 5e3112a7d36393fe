//! Change while it runs: new versions, broken versions, and the end, without a failed request.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use modelyard_types::Version;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Store, infer_body, native};

const INFER: &str = "/v2/models/m/infer";

/// Sends requests one after the other until told to stop or the server is gone; gives each version's answer.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>) -> BTreeMap<String, Vec<Value>> {
    let mut answers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let body = infer_body(2, 1.0);
    'connect: while !stop.load(Ordering::SeqCst) {
        let mut client = match Client::connect(address).await {
            Ok(client) => client,
            Err(error) if is_gone(&error) => return answers,
            Err(error) => panic!("cannot connect: {error}"),
        };
        let mut answered = 0;
        while !stop.load(Ordering::SeqCst) {
            let reply = match client.send("POST", INFER, &[], body.as_bytes()).await {
                Ok(reply) => reply,
                // Never accepted: the listener closed while the connection stood in its queue.
                Err(error) if answered == 0 && is_gone(&error) => return answers,
                Err(error) => panic!("no answer to request {answered} of a connection: {error}"),
            };
            answered += 1;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let json = reply.json();
            let version = json["model_version"].as_str().expect("a version").to_owned();
            let seen = answers.entry(version).or_default();
            if !seen.contains(&json["outputs"]) {
                seen.push(json["outputs"].clone());
            }
            if reply.closes() {
                continue 'connect;
            }
        }
    }
    answers
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

async fn gather(mut clients: JoinSet<BTreeMap<String, Vec<Value>>>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    while let Some(answers) = clients.join_next().await {
        for (version, answers) in answers.expect("no request failed") {
            let seen = all.entry(version).or_default();
            answers.into_iter().for_each(|answer| {
                if !seen.contains(&answer) {
                    seen.push(answer)
                }
            });
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_switches_under_load_fail_no_request() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let running = store.serve().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(load(running.address, Arc::clone(&stop)));
    }
    for seed in 2..=21 {
        let version = store.publish("m", native(2, 2, seed)).await.version;
        store.promote("m", version).await;
        running.server.refresh().await.expect("the registry is there");
        let reply = running.post(INFER, infer_body(2, 1.0)).await;
        assert_eq!(reply.json()["model_version"], json!(version.to_string()), "it serves at once");
    }
    stop.store(true, Ordering::SeqCst);
    let answers = gather(clients).await;
    assert!(answers.values().all(|seen| seen.len() == 1), "a version always answers alike: {answers:?}");
    let metrics = running.get("/metrics").await;
    assert!(
        metrics.text().contains("modelyard_versions_loaded 1\n"),
        "the old ones are gone: {}",
        metrics.text()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_fails_no_request() {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    let running = store.serve().await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(load(running.address, Arc::default()));
    }
    for _ in 0..50 {
        assert_eq!(running.post(INFER, infer_body(2, 1.0)).await.status, 200);
    }
    running.stop().await;
    assert_eq!(gather(clients).await.len(), 1);
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_leaves_the_old_one_serving() {
    let store = Store::new().await;
    let good = store.publish("m", native(2, 2, 1)).await;
    store.promote("m", good.version).await;
    let running = store.serve().await;
    let mut broken = native(2, 2, 2);
    broken.insert("weights.safetensors".to_owned(), b"nothing of use".to_vec());
    broken.remove("model.onnx");
    let bad = store.publish("m", broken).await;
    store.promote("m", bad.version).await;
    running.server.refresh().await.expect("the registry is there");

    let reply = running.post(INFER, infer_body(2, 1.0)).await;
    assert_eq!((reply.status, reply.json()["model_version"].as_str()), (200, Some("1")));
    let ready = running.get("/v2/health/ready").await;
    assert_eq!(ready.status, 200);
    let problem = &ready.json()["problems"][0];
    assert_eq!((&problem["model"], &problem["serving"]), (&json!("m"), &json!(1)));
    assert!(problem["problem"].as_str().is_some_and(|text| text.contains("version 2")), "{problem}");
    let by_number = running.post("/v2/models/m/versions/2/infer", infer_body(2, 1.0)).await;
    assert!(by_number.status >= 500 && !by_number.text().contains(store.path().to_str().expect("UTF-8")));

    let next = store.publish("m", native(2, 2, 3)).await;
    store.promote("m", next.version).await;
    running.server.refresh().await.expect("the registry is there");
    assert_eq!(running.get("/v2/health/ready").await.json()["problems"], json!([]));
    running.stop().await;
}

#[tokio::test]
async fn a_model_published_later_appears_and_old_versions_answer_by_number() {
    let store = Store::new().await;
    let running = store.serve().await;
    assert_eq!(running.get("/v2/health/ready").await.status, 200, "nothing to wait for");
    store.publish("m", native(2, 2, 1)).await;
    store.publish("m", native(2, 2, 2)).await;
    running.server.refresh().await.expect("the registry is there");
    for (path, version) in [(INFER, "2"), ("/v2/models/m/versions/1/infer", "1"), (INFER, "2")] {
        let reply = running.post(path, infer_body(2, 1.0)).await;
        assert_eq!(reply.json()["model_version"], json!(version));
    }
    store.promote("m", Version::FIRST).await;
    running.server.refresh().await.expect("the registry is there");
    let live = running.post("/v2/models/m/versions/live/infer", infer_body(2, 1.0)).await;
    assert_eq!(live.json()["model_version"], json!("1"));
    running.stop().await;
}
