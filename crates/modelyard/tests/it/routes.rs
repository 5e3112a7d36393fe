//! Routes through the real binary: canaries, withdrawals, shadows, and versions swapped under load.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Running, damage, http, run, trained_twice};

fn tensor() -> String {
    json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0, 0, 1, 0, 0, 0] }] })
        .to_string()
}

/// The version that answered, and whether anybody did.
fn infer(address: SocketAddr, header: &str) -> u64 {
    let (status, body) = http(address, &format!("POST /v2/models/shapes/infer{header}"), &tensor());
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["model_version"].as_str().and_then(|text| text.parse().ok()).expect("a version")
}

fn serve(folder: &TempDir) -> (Running, SocketAddr) {
    let mut server = Running::start(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.wait_for_address();
    (server, address)
}

/// Asks until what is wanted happens: a server looks at its store about once a second.
#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| wanted()), "{what}");
}

/// A third version, which names its classes the other way round: every answer of it is another one.
fn contrary(at: &Path) {
    let text = fs::read_to_string(at.join("shapes.csv")).expect("it is there");
    let text = text.replace(",wide\n", ",x\n").replace(",tall\n", ",wide\n").replace(",x\n", ",tall\n");
    fs::write(at.join("shapes.csv"), text).expect("can write");
    run(at, &["train", "."]).expect(0);
}

#[test]
fn a_canary_is_set_answers_and_is_rolled_back() {
    let folder = trained_twice();
    let at = folder.path();
    let (server, address) = serve(&folder);
    run(at, &["routes", "show", "shapes"]).expect(0).prints("every request goes to the live version");
    let set = run(at, &["routes", "set", "shapes", "--canary", "2", "--percent", "50", "--json"]).expect(0);
    let told = set.json();
    assert_eq!((&told["kind"], &told["canary"]["version"]), (&json!("set"), &json!(2)), "{told}");
    until("the canary answers", || infer(address, "") == 2);
    let canary = (0..100).filter(|_| infer(address, "") == 2).count();
    assert!((47..=53).contains(&canary), "half of 100: {canary}");
    let always = " HTTP/1.1\r\nx-modelyard-canary: always\r\nx-rest:";
    assert!((0..10).all(|_| infer(address, always) == 2));
    let row = r#"{"instances": [{"width": 9, "height": 1, "colour": "red"}]}"#;
    assert_eq!(http(address, "POST /v1/models/shapes:predict", row).0, 200);

    run(at, &["routes", "rollback", "shapes", "--why", "a try"]).expect(0).prints("live version");
    until("only the live version answers", || (0..10).all(|_| infer(address, "") == 1));
    let history = run(at, &["routes", "history", "shapes", "--json"]).expect(0).json();
    let kinds: Vec<&str> =
        history["changes"].as_array().expect("a list").iter().filter_map(|c| c["kind"].as_str()).collect();
    assert_eq!(kinds, ["rollback", "set"]);
    assert_eq!(history["changes"][0]["why"], "a try");
    run(at, &["routes", "rollback", "shapes"]).expect(6).says("nothing to undo");
    server.interrupt().expect(0);
}

#[test]
fn a_damaged_route_is_named_and_the_others_are_shown() {
    let folder = trained_twice();
    let at = folder.path();
    run(at, &["export", "shapes", "--out", "other.onnx"]).expect(0);
    run(at, &["import", "other.onnx", "--name", "other"]).expect(0);
    run(at, &["routes", "set", "shapes", "--canary", "2", "--percent", "50"]).expect(0);
    damage(at, "UPDATE route_changes SET route = '{'");
    let shown = run(at, &["routes", "show"]).expect(0);
    let shown = shown.prints("other: every request goes to the live version").prints("shapes: ");
    assert!(!shown.stdout.contains("shapes: every request"), "{shown}");
    let json = run(at, &["routes", "show", "--json"]).expect(0).json();
    assert_eq!((&json["routes"], &json["damaged"][0]["model"]), (&json!([]), &json!("shapes")), "{json}");
    run(at, &["routes", "show", "shapes"]).expect(6);
}

#[test]
fn a_canary_with_other_answers_is_withdrawn_without_being_asked() {
    let folder = trained_twice();
    let at = folder.path();
    contrary(at);
    let (server, address) = serve(&folder);
    let limits = ["--max-disagreement", "0.2", "--min-requests", "10"];
    run(at, &[&["routes", "set", "shapes", "--canary", "3", "--percent", "100"][..], &limits].concat())
        .expect(0);
    let row = |i: u32| {
        format!(r#"{{"instances": [{{"width": {}, "height": {}, "colour": "red"}}]}}"#, i % 12, i % 7)
    };
    let mut asked = 0;
    until("the canary is withdrawn", || {
        asked += 1;
        let (status, body) = http(address, "POST /v1/models/shapes:predict", &row(asked));
        assert_eq!(status, 200, "{body}");
        asked % 20 == 0 && http(address, "GET /metrics", "").1.contains("modelyard_canaries_withdrawn_total{")
    });
    until("it is written down", || {
        let history = run(at, &["routes", "history", "shapes", "--json"]).expect(0).json();
        let newest = &history["changes"][0];
        let why = newest["why"].as_str().unwrap_or_default();
        newest["kind"] == "withdrawal"
            && why.starts_with("version 3 was withdrawn: ")
            && why.contains("answers differ")
    });
    assert!((0..20).all(|_| infer(address, "") == 1));
    server.interrupt().expect(0);
}

#[test]
fn a_shadow_counts_disagreements_and_answers_nobody() {
    let folder = trained_twice();
    let at = folder.path();
    let (server, address) = serve(&folder);
    run(at, &["routes", "set", "shapes", "--shadow", "2", "--tolerance", "0.0000001"]).expect(0);
    let counted = |result: &str| {
        let metrics = http(address, "GET /metrics", "").1;
        let series = format!(
            "modelyard_compared_answers_total{{model=\"shapes\",version=\"2\",result=\"{result}\"}} "
        );
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap_or(0)
    };
    until("copies are compared", || {
        assert_eq!(infer(address, ""), 1);
        counted("different") >= 20
    });
    assert_eq!((counted("failed"), counted("same")), (0, 0));
    server.interrupt().expect(0);
}

#[test]
fn fifty_swaps_under_load_fail_no_request() {
    let folder = trained_twice();
    let at = folder.path();
    let (server, address) = serve(&folder);
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    infer(address, "");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for swap in 0..50 {
            let to = 1 + (swap + 1) % 2;
            run(at, &["models", "promote", "shapes", &to.to_string()]).expect(0);
            if swap % 10 == 9 {
                until("the swap is followed", || infer(address, "") == to);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 50);
    let metrics = http(address, "GET /metrics", "").1;
    assert!(!metrics.contains("modelyard_request_failures_total{"), "{metrics}");
    assert!(metrics.contains("modelyard_versions_loaded 1\n"), "the versions before left memory: {metrics}");
    server.interrupt().expect(0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = trained_twice();
    let at = folder.path();
    let set = |more: &[&str]| run(at, &[&["routes", "set", "shapes"], more].concat());
    set(&[]).expect(2).says("neither --canary nor --shadow");
    set(&["--canary", "2"]).expect(2).says("--percent");
    set(&["--canary", "9", "--percent", "5"]).expect(5).says("has no version 9");
    set(&["--canary", "2", "--percent", "500"]).expect(3).says("must be from 0 to 100");
    set(&["--canary", "2", "--percent", "5", "--sticky", "x user"])
        .expect(3)
        .says("not the name of a header");
    run(at, &["routes", "set", "shades", "--shadow", "1"]).expect(5).says("did you mean \"shapes\"?");
    run(at, &["routes", "history", "shapes"]).expect(0).prints("never changed");
    run(at, &["routes", "clear", "shapes"]).expect(0).prints("every request goes to the live version");
}
