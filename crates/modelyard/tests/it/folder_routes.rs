//! Routes of models that lie in a folder, through the real binary: canaries beside the version that is to stay live,
//! versions that are taken away under a route, and what is refused.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Run, Running, http, run, trained_twice};

const ALWAYS: &str = " HTTP/1.1\r\nx-modelyard-canary: always\r\nx-rest:";
const NEVER: &str = " HTTP/1.1\r\nx-modelyard-canary: never\r\nx-rest:";

/// A Triton repository that serves all versions of `shapes`, with these.
fn repository(versions: &[u64]) -> TempDir {
    let folder = trained_twice();
    let model = folder.path().join("models/shapes");
    fs::create_dir_all(&model).expect("can make folders");
    let config = "max_batch_size: 4\nversion_policy { all { } }\n";
    fs::write(model.join("config.pbtxt"), config).expect("can write");
    for version in versions {
        put(folder.path(), *version);
    }
    folder
}

/// Puts a version into the repository, at once and whole.
fn put(at: &Path, version: u64) {
    let version = version.to_string();
    let beside = at.join(format!("beside-{version}"));
    fs::create_dir_all(&beside).expect("can make folders");
    let out = beside.join("model.onnx");
    run(at, &["export", "shapes", &version, "--out", &out.to_string_lossy()]).expect(0);
    fs::rename(&beside, at.join("models/shapes").join(&version)).expect("can be moved");
}

fn take_away(at: &Path, version: u64) {
    let version = at.join(format!("models/shapes/{version}"));
    fs::remove_dir_all(version).expect("it is there");
}

fn serve(at: &Path) -> (Running, SocketAddr) {
    let args = ["serve", "--models", "models", "--routes", "routes", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(at, &args);
    let address = server.wait_for_address();
    (server, address)
}

fn set(at: &Path, more: &[&str]) -> Run {
    let set = ["routes", "set", "shapes", "--models", "models", "--store", "routes"];
    run(at, &[&set[..], more].concat())
}

fn routes(at: &Path, command: &str) -> Run {
    run(at, &["routes", command, "shapes", "--store", "routes"])
}

fn post(address: SocketAddr, path: &str) -> (u16, Value) {
    let row = json!({ "name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0, 0, 1, 0, 0, 0] });
    let (status, body) = http(address, &format!("POST {path}"), &json!({ "inputs": [row] }).to_string());
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The version that answered, and whether anybody did.
fn infer(address: SocketAddr, header: &str) -> u64 {
    let (status, answer) = post(address, &format!("/v2/models/shapes/infer{header}"));
    assert_eq!(status, 200, "{answer}");
    answer["model_version"].as_str().and_then(|text| text.parse().ok()).expect("a version")
}

/// Asks until what is wanted happens: a server looks at its folder and routes about once a second.
#[track_caller]
fn until(what: &str, mut wanted: impl FnMut() -> bool) {
    assert!((0..100_000).any(|_| wanted()), "{what}");
}

#[test]
fn a_new_version_is_tried_beside_the_one_that_stays_live() {
    let folder = repository(&[1]);
    let at = folder.path();
    let (server, address) = serve(at);
    set(at, &["--live", "1"])
        .expect(0)
        .prints("shapes: live: version 1")
        .prints("serve --models models --routes routes");
    put(at, 2);
    until("version 2 is seen", || http(address, "GET /v2/models/shapes", "").1.contains(r#"["1","2"]"#));
    assert!((0..20).all(|_| infer(address, "") == 1), "nobody asked for it");
    assert_eq!(post(address, "/v2/models/shapes/versions/live/infer").1["model_version"], "1");

    let told = set(at, &["--live", "1", "--canary", "2", "--percent", "50", "--json"]).expect(0).json();
    assert_eq!((&told["live"], &told["canary"]["version"]), (&json!(1), &json!(2)), "{told}");
    until("the canary answers", || infer(address, "") == 2);
    let canary = (0..100).filter(|_| infer(address, "") == 2).count();
    assert!((47..=53).contains(&canary), "half of 100: {canary}");
    assert!((0..10).all(|_| (infer(address, ALWAYS), infer(address, NEVER)) == (2, 1)));
    server.interrupt().expect(0);

    let (server, address) = serve(at);
    assert_eq!((infer(address, ALWAYS), infer(address, NEVER)), (2, 1), "a restart keeps the route");
    routes(at, "rollback").expect(0).prints("shapes: live: version 1\n");
    until("only the live version answers", || infer(address, ALWAYS) == 1);
    assert!((0..20).all(|_| infer(address, "") == 1));
    run(at, &["routes", "show", "--store", "routes"]).expect(0).prints("shapes: live: version 1\n");
    routes(at, "clear").expect(0).prints("every request goes to the live version");
    until("the highest is live again", || infer(address, "") == 2);
    assert_eq!(infer(address, NEVER), 2);
    server.interrupt().expect(0);
    let left: Vec<_> = fs::read_dir(at.join("models/shapes")).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 3, "nothing was written there: {left:?}");
}

#[test]
fn a_canary_whose_folder_is_taken_away_is_withdrawn() {
    let folder = repository(&[1, 2]);
    let at = folder.path();
    let (server, address) = serve(at);
    set(at, &["--live", "1", "--canary", "2", "--percent", "0", "--sticky", "x-user-id"]).expect(0);
    until("the canary answers who asks for it", || infer(address, ALWAYS) == 2);
    take_away(at, 2);
    until("it answers no more", || infer(address, ALWAYS) == 1);
    let newest = || run(at, &["routes", "history", "shapes", "--store", "routes", "--json"]).expect(0).json();
    until("it is written down", || newest()["changes"][0]["kind"] == "withdrawal");
    let change = newest()["changes"][0].clone();
    assert_eq!(change["why"], "version 2 was withdrawn: it is not there");
    assert_eq!((&change["by"], &change["live"]), (&json!("server"), &json!(1)), "the live version stays");

    put(at, 2);
    routes(at, "rollback").expect(0).prints("canary: version 2 answers 0 % by x-user-id");
    until("it is back", || infer(address, ALWAYS) == 2);
    server.interrupt().expect(0);
}

#[test]
fn nobody_else_takes_the_place_of_a_live_version_that_is_taken_away() {
    let folder = repository(&[1, 2]);
    let at = folder.path();
    let (server, address) = serve(at);
    assert_eq!(infer(address, ""), 2, "without a route the highest answers");
    set(at, &["--live", "1"]).expect(0);
    until("version 1 is live", || infer(address, "") == 1);
    take_away(at, 1);
    let problem = "its route has version 1 live, which is not served from the folder any more";
    until("it is told", || http(address, "GET /v2/health/ready", "").1.contains(problem));
    assert_eq!(infer(address, ""), 1, "it is in memory still");
    server.interrupt().expect(0);

    let args = ["serve", "--models", "models", "--routes", "routes", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(at, &args);
    server.wait_for(&format!("shapes is not served: {problem}"));
    let address = server.wait_for_address();
    let (status, refused) = post(address, "/v2/models/shapes/infer");
    assert_eq!(status, 409, "{refused}");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains(problem)), "{refused}");
    assert_eq!(post(address, "/v2/models/shapes/versions/2/infer").0, 200, "who names it gets it");
    routes(at, "clear").expect(0);
    until("version 2 is live", || post(address, "/v2/models/shapes/infer").0 == 200);
    server.interrupt().expect(0);
}

#[test]
fn a_folder_that_is_one_model_has_a_route_by_the_name_it_is_served_under() {
    let folder = repository(&[1, 2]);
    let at = folder.path();
    let args = ["serve", "--models", "models/shapes", "--model", "pumps", "--routes", "routes"];
    let mut server = Running::start(at, &[&args[..], &["--listen", "127.0.0.1:0"]].concat());
    let address = server.wait_for_address();
    let set = ["routes", "set", "pumps", "--models", "models/shapes", "--store", "routes", "--live", "1"];
    run(at, &set).expect(0).prints("serve --models models/shapes --model pumps --routes routes");
    until("version 1 is live", || post(address, "/v2/models/pumps/infer").1["model_version"] == "1");
    server.interrupt().expect(0);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = repository(&[1, 2]);
    let at = folder.path();
    let canary = ["--canary", "2", "--percent", "5"];
    set(at, &canary).expect(3).says("version 2 is live already").says("--live 1 leaves the other requests");
    set(at, &["--live", "2", "--shadow", "2"])
        .expect(5)
        .says("there is no store at routes")
        .says("--routes STORE");
    serve(at).0.interrupt().expect(0);
    set(at, &["--live", "2", "--shadow", "2"]).expect(3).says("beside the live one at once");
    set(at, &["--live", "9"]).expect(5).says("no version 9").says("version_policy { all { } }");
    set(at, &["--shadow", "challenger"]).expect(5).says("have numbers, and no aliases");
    set(at, &[]).expect(2).says("neither --canary nor --shadow");
    let by_default = |more: &[&str]| run(at, &[&["routes", "set", "shapes", "--live", "1"], more].concat());
    by_default(&[]).expect(2).says("--models");
    by_default(&["--models", "models"])
        .expect(3)
        .says("registers a model named shapes")
        .says("--routes STORE");
    by_default(&["--models", "nowhere"]).expect(5).says("there is no folder nowhere");
    let other = ["routes", "set", "shades", "--models", "models", "--store", "routes", "--shadow", "1"];
    run(at, &other).expect(5).says("did you mean \"shapes\"?");

    set(at, &["--live", "1", "--canary", "2", "--percent", "5"]).expect(0);
    let without = ["routes", "set", "shapes", "--store", "routes", "--canary", "2", "--percent", "9"];
    run(at, &without).expect(5).says("it lies in a folder");
    let import = ["import", "models/shapes/1/model.onnx", "--name", "shapes", "--store", "routes"];
    run(at, &import).expect(3).says("model of a folder, which has a route in this store");
    let serve = |more: &[&str]| run(at, &[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    serve(&["--routes", "routes"]).expect(2).says("--models");
    let within = serve(&["--models", "models", "--routes", "models/new/routes"]).expect(2);
    within.says("would lie in the folder of models").says("hint: nothing is ever written there");
    assert!(!at.join("models/new").exists());
}
