//! The memory budget: who was asked longest ago leaves, nobody who is at work, and all come back.

use std::sync::Arc;

use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_serve::{ModelFolder, ServeConfig, Server};
use modelyard_types::{ErrorKind, Version, VersionSelector};
use tempfile::TempDir;

use crate::RealClock;
use crate::folder::onnx;

const MODELS: [&str; 4] = ["a", "b", "c", "d"];

/// Four models of one size each, of which the budget holds two.
async fn serve() -> (TempDir, Arc<Server>, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = 0;
    for (seed, model) in MODELS.iter().enumerate() {
        let network = onnx(seed as u64);
        bytes = network.len() as u64;
        std::fs::write(folder.path().join(format!("{model}.onnx")), network).expect("can write");
    }
    let server = start(&folder, 2 * bytes + bytes / 2).await;
    (folder, server, bytes)
}

async fn start(folder: &TempDir, budget: u64) -> Arc<Server> {
    let config = ServeConfig { memory_budget_bytes: Some(budget), ..ServeConfig::default() };
    let runtimes = Arc::new(Runtimes::detect(&RuntimeConfig::default()));
    let source = ModelFolder::open(folder.path(), None).expect("four models");
    Server::start(source, runtimes, config, Arc::new(RealClock), None).await.expect("starts")
}

/// The models in memory, by name.
fn loaded(server: &Server) -> String {
    server.loaded().iter().map(|version| version.model().to_string()).collect()
}

#[tokio::test]
async fn who_was_asked_longest_ago_makes_room_and_comes_back() {
    let (_folder, server, bytes) = serve().await;
    assert_eq!(
        (loaded(&server).as_str(), server.is_ready()),
        ("ab", true),
        "the others are loaded when asked"
    );
    assert_eq!(server.model("d").expect("known").answering(), Version::new(1));
    for (model, want) in [("c", "bc"), ("b", "bc"), ("d", "bd"), ("a", "ad"), ("d", "ad"), ("b", "bd")] {
        let version = server.open(model, None).await.expect("it is loaded");
        assert_eq!(version.model().as_str(), model);
        drop(version);
        assert_eq!(loaded(&server), want, "after {model}");
        assert_eq!(server.loaded_bytes(), 2 * bytes);
    }
    let metrics = server.telemetry();
    assert!(metrics.contains(&format!("modelyard_loaded_bytes {}\n", 2 * bytes)), "{metrics}");
    assert!(metrics.contains("modelyard_versions_put_to_sleep_total 4\n"), "{metrics}");
    server.refresh().await.expect("it looks again");
    assert_eq!(loaded(&server), "bd", "looking again wakes nobody");
}

#[tokio::test]
async fn nobody_at_work_is_put_to_sleep() {
    let (_folder, server, _) = serve().await;
    let at_work = [server.open("a", None).await, server.open("b", None).await];
    let refused = server.open("c", None).await.err().expect("no room");
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert!(refused.hint().is_some_and(|hint| hint.contains("--memory-budget")), "{refused}");
    assert_eq!(loaded(&server), "ab");
    drop(at_work);
    assert!(server.open("c", None).await.is_ok(), "they are done");
    let first = VersionSelector::Number(Version::FIRST);
    assert!(server.open("d", Some(&first)).await.is_ok(), "a version that is named needs room, too");
    assert_eq!(loaded(&server).len(), 2);
}

#[tokio::test]
async fn a_model_that_can_never_fit_says_so_at_once() {
    let (folder, _, bytes) = serve().await;
    let server = start(&folder, bytes - 1).await;
    assert!(!server.is_ready() && server.loaded().is_empty());
    let problem = server.model("a").expect("known").problem.unwrap_or_default();
    assert!(problem.contains("the memory budget of") && problem.contains("has no room"), "{problem}");
}

#[tokio::test]
async fn a_sleeping_model_whose_file_changes_wakes_as_the_new_one() {
    let (folder, server, _) = serve().await;
    assert_eq!(loaded(&server), "ab");
    std::fs::write(folder.path().join("d.onnx"), b"no longer a network").expect("can write");
    server.refresh().await.expect("it looks again");
    assert!(server.open("d", None).await.is_err(), "it is found out when it is asked");
    std::fs::write(folder.path().join("d.onnx"), onnx(9)).expect("can write");
    server.refresh().await.expect("it looks again");
    assert!(server.open("d", None).await.is_ok());
}
