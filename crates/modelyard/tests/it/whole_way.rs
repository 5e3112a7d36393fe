//! From a data file to a live prediction, with one command: the example that the README begins with.

use std::fs;

use serde_json::Value;

use crate::harness::{
    Running, SMALL_PROJECT, changed_project, copy_folder, http, repository, run, shell, small_project,
    trained,
};

/// The line to paste and the answer that the data gives, out of what `up` prints.
fn curl_of(server: &mut Running) -> (String, Value) {
    let truth = server.wait_for("the data says ");
    let truth = truth.split("the data says ").nth(1).and_then(|rest| rest.strip_suffix("):"));
    let truth = serde_json::from_str(truth.expect("the answer is printed")).expect("JSON");
    (server.wait_for("curl "), truth)
}

#[test]
fn the_digits_example_goes_all_the_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let project = folder.path().join("digits");
    copy_folder(&repository().join("examples/digits"), &project);
    let _ = fs::remove_dir_all(project.join(".modelyard"));

    let mut server = Running::start(folder.path(), &["up", "digits", "--listen", "127.0.0.1:0"]);
    server.wait_for("accuracy");
    server.wait_for("gate passed: test accuracy >= 0.975");
    server.wait_for("the ONNX file answers as the trained network does");
    server.wait_for("published digits version 1");
    server.wait_for("live now points at version 1");
    let address = server.wait_for_address();
    let (curl, truth) = curl_of(&mut server);
    let answer: Value = serde_json::from_str(&shell(&curl)).expect("JSON");
    assert_eq!(answer["prediction"]["digit"]["label"], truth["digit"], "{answer}");
    assert_eq!(http(address, "GET /v2/health/ready", "").0, 200);
    assert_eq!(http(address, "GET /", "").0, 200);
    let (status, metrics) = http(address, "GET /metrics", "");
    assert_eq!(status, 200);
    assert!(metrics.contains("digits"), "{metrics}");
    let ended = server.interrupt().expect(0);
    assert!(
        ended.stderr.contains("samples/s") && ended.stderr.contains("left"),
        "plain progress lines\n{ended}"
    );

    // Nothing has changed: nothing is trained, and the same version is served.
    let mut again = Running::start(folder.path(), &["up", "digits", "--listen", "127.0.0.1:0"]);
    again.wait_for(
        "nothing to train: project file, data and program are those of version 1 of digits (--force",
    );
    again.wait_for_address();
    let (curl, _) = curl_of(&mut again);
    let same: Value = serde_json::from_str(&shell(&curl)).expect("JSON");
    assert_eq!(same, answer);
    let ended = again.end_by("-TERM").expect(0);
    assert!(!ended.stderr.contains("epoch"), "nothing is trained\n{ended}");
}

#[test]
fn a_change_trains_again_and_force_does_too() {
    let folder = trained();
    let at = folder.path();
    let same = run(at, &["up", ".", "--no-serve", "--json"]).expect(0).json();
    assert_eq!((&same["trained"], &same["version"], &same["live"]), (&false.into(), &1.into(), &true.into()));
    assert_eq!(same["epochs"], Value::Null);
    let forced = run(at, &["train", ".", "--force", "--json"]).expect(0).json();
    assert_eq!(forced["trained"], true);
    assert_eq!(forced["epochs"], 30);
    assert!(forced["scores"]["splits"]["test"]["metrics"]["accuracy"]["baseline"].is_number(), "{forced}");
    let before = fs::read_to_string(at.join("shapes.csv")).expect("can read");
    fs::write(at.join("shapes.csv"), before.clone() + "7,1,red,wide\n").expect("can write");
    let changed = run(at, &["up", ".", "--no-serve", "--json"]).expect(0).json();
    assert_eq!((&changed["trained"], &changed["live"]), (&true.into(), &true.into()));
    assert!(changed["version"].as_u64() > forced["version"].as_u64(), "{changed}");
    // Back at what an older version was trained from, the one that is live answers, and is the one reported.
    fs::write(at.join("shapes.csv"), before).expect("can write");
    let told = run(at, &["up", ".", "--no-serve"]).expect(0);
    told.prints("is not live; make it so").prints("version 3 is live, and answers");
    let back = run(at, &["up", ".", "--no-serve", "--json"]).expect(0).json();
    assert_eq!((&back["trained"], &back["version"], &back["live"]), (&false.into(), &3.into(), &true.into()));
}

#[test]
fn the_same_seed_and_threads_give_the_same_weights() {
    let sums: Vec<Value> = (0..2)
        .map(|_| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            small_project(folder.path());
            run(folder.path(), &["train", "."]).expect(0);
            let shown = run(folder.path(), &["models", "show", "shapes", "--json"]).expect(0).json();
            let files = shown["files"].as_array().expect("a list").clone();
            files.into_iter().find(|file| file["name"] == "weights.safetensors").expect("stored")["sha256"]
                .clone()
        })
        .collect();
    assert_eq!(sums[0], sums[1]);
}

#[test]
fn a_missed_gate_promotes_nothing_and_keeps_the_version() {
    let folder = trained();
    let at = folder.path();
    let strict = SMALL_PROJECT.replace("at_least = 0.7", "at_least = 1.1");
    fs::write(at.join("modelyard.toml"), strict).expect("can write");
    let up = run(at, &["up", ".", "--listen", "127.0.0.1:0"]).expect(4);
    let up = up.says("version 2 of shapes missed a gate: nothing was promoted, version 1 stays live");
    up.says("modelyard models show shapes 2").prints("gate missed: test accuracy >= 1.1");
    let again = run(at, &["up", ".", "--no-serve", "--json"]).expect(4);
    assert_eq!(again.json()["gates_passed"], false);
    assert_eq!(again.json()["trained"], false);
    let list = run(at, &["models", "list", "--json"]).expect(0).json();
    assert_eq!(list["models"][0]["aliases"]["live"], 1);
    run(at, &["models", "show", "shapes", "2"]).expect(0).prints("gates      missed");
    run(at, &["models", "promote", "shapes", "2"]).expect(4).says("missed a gate").says("--force");
    run(at, &["models", "promote", "shapes", "2", "--force"]).expect(0);
}

#[test]
fn the_first_version_that_misses_its_gate_is_not_live() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changed_project(folder.path(), &[("at_least = 0.7", "at_least = 1.1")]);
    run(folder.path(), &["train", "."]).expect(4).says("no version is live");
    run(folder.path(), &["models", "show", "shapes"]).expect(5);
    run(folder.path(), &["models", "show", "shapes", "1"]).expect(0);
}

#[test]
fn ctrl_c_in_training_publishes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    changed_project(folder.path(), &[("epochs = 30", "epochs = 1000000")]);
    let mut training = Running::start(folder.path(), &["up", ".", "--listen", "127.0.0.1:0"]);
    training.wait_for("shapes: 120 rows");
    training
        .interrupt()
        .expect(130)
        .says("error: training was stopped in epoch")
        .says("nothing was published");
    assert_eq!(
        run(folder.path(), &["models", "list", "--json"]).expect(0).json()["models"],
        serde_json::json!([])
    );
}

#[test]
fn a_project_is_named_by_its_file_too_and_the_store_can_stand_elsewhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    small_project(folder.path());
    let train = run(folder.path(), &["train", "modelyard.toml", "--store", "elsewhere", "--quiet"]).expect(0);
    assert_eq!(train.stderr, "", "--quiet says nothing on the way");
    run(folder.path(), &["models", "list", "--store", "elsewhere"]).expect(0).prints("shapes");
    assert!(!folder.path().join(".modelyard").exists());
}

#[test]
fn two_processes_that_publish_at_once_both_do() {
    let folder = trained();
    let at = folder.path();
    // Two seeds: equal content, made in the same millisecond, would rightly be one version.
    let start = |seed: &str| {
        let text = SMALL_PROJECT.replace("seed = 3\nthreads", &format!("seed = {seed}\nthreads"));
        let file = format!("seed-{seed}.toml");
        fs::write(at.join(&file), text).expect("can write");
        Running::start(at, &["train", &file])
    };
    let mut others = ["4", "5"].map(start);
    for other in &mut others {
        other.finish().expect(0);
    }
    let list = run(at, &["models", "list", "--json"]).expect(0).json();
    assert_eq!(list["models"][0]["versions"], 3);
    for version in ["1", "2", "3"] {
        run(at, &["models", "verify", "shapes", version]).expect(0);
    }
}

/// Twelve bright and twelve dark pictures of 3×2 pixels, as IDX files.
fn idx_project(folder: &std::path::Path) {
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 24, 0, 0, 0, 3, 0, 0, 0, 2];
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 24];
    for i in 0..24u8 {
        let bright = i % 2;
        images.extend((0..6).map(|pixel| bright * 200 + pixel + i));
        labels.push(bright);
    }
    fs::write(folder.join("images-idx3-ubyte"), images).expect("can write");
    fs::write(folder.join("labels-idx1-ubyte"), labels).expect("can write");
    let project = r#"
        project = { name = "light" }
        data = { source = "images-idx3-ubyte", labels = "labels-idx1-ubyte", split = { kind = "stratified" } }
        inputs = [{ name = "picture", kind = "image" }]
        outputs = [{ name = "light", kind = "category", labels = ["dark", "bright"] }]
        network = { layers = [{ type = "flatten" }, { type = "dense", units = 1, activation = "sigmoid" }] }
        training = { optimizer = { type = "adam", learning_rate = 0.1 }, epochs = 40, batch_size = 8 }
    "#;
    fs::write(folder.join("modelyard.toml"), project).expect("can write");
}

#[test]
fn pictures_from_arrays_with_named_classes_go_all_the_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    idx_project(folder.path());
    let mut server = Running::start(folder.path(), &["up", ".", "--listen", "127.0.0.1:0"]);
    let (curl, truth) = curl_of(&mut server);
    let answer: Value = serde_json::from_str(&shell(&curl)).expect("JSON");
    assert_eq!(answer["prediction"]["light"]["label"], truth["light"], "{answer}");
    assert!(["dark", "bright"].contains(&truth["light"].as_str().expect("a name")), "{truth}");
    server.interrupt().expect(0);
    let scored = ["evaluate", "light", "images-idx3-ubyte", "--labels", "labels-idx1-ubyte", "--json"];
    let scored = run(folder.path(), &scored).expect(0).json();
    assert_eq!(scored["scores"]["splits"]["test"]["metrics"]["accuracy"]["value"], 1.0);
    let answers = run(folder.path(), &["predict", "light", "images-idx3-ubyte"]).expect(0).stdout;
    assert!(answers.starts_with("predicted_light,probability\ndark,"), "{answers}");
}
