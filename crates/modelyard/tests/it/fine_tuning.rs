//! Training that starts from a version: it gets there sooner, frozen layers stay, and everybody can see where it began.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::{changed_project, run, trained};

/// The bytes of a version's arrays of weights by name.
fn weights(folder: &Path, version: &str) -> BTreeMap<String, Vec<u8>> {
    let file = folder.join(format!("{version}.safetensors"));
    let out = file.to_str().expect("text");
    run(folder, &["export", "shapes", version, "--file", "weights.safetensors", "--out", out]).expect(0);
    let bytes = std::fs::read(&file).expect("written");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    let array = |(name, entry): (String, Value)| {
        let at = |i: usize| entry["data_offsets"][i].as_u64().expect("a number") as usize + 8 + length;
        (name, bytes[at(0)..at(1)].to_vec())
    };
    header.into_iter().filter(|(name, _)| name != "__metadata__").map(array).collect()
}

#[test]
fn a_version_is_tuned_in_fewer_epochs_with_its_frozen_layers_bit_for_bit() {
    let folder = trained();
    let at = folder.path();
    let few = ("epochs = 30", "epochs = 2");
    changed_project(at, &[few, ("learning_rate = 0.05", "learning_rate = 0.001")]);
    let scratch = run(at, &["train", ".", "--json"]);
    let accuracy = |json: &Value| json["scores"]["splits"]["test"]["metrics"]["accuracy"]["value"].as_f64();
    let start = "epochs = 2\nstart_from = { model = \"shapes\", version = 1 }";
    let changes = [
        ("epochs = 30", start),
        ("learning_rate = 0.05", "learning_rate = 0.001"),
        ("units = 8,", "units = 8, trainable = false,"),
    ];
    changed_project(at, &changes);
    let tuned = run(at, &["train", ".", "--json"]).expect(0).json();
    assert!(accuracy(&tuned) >= Some(0.85), "{tuned}");
    assert!(accuracy(&tuned) > accuracy(&scratch.json()), "{scratch}");
    let (before, after) = (weights(at, "1"), weights(at, "3"));
    assert_eq!(before["0.dense.kernel"], after["0.dense.kernel"], "frozen");
    assert_eq!(before["0.dense.bias"], after["0.dense.bias"], "frozen");
    assert_ne!(before["1.dense.kernel"], after["1.dense.kernel"], "trained on");

    let show = run(at, &["models", "show", "shapes", "3", "--json"]).expect(0).json();
    assert_eq!(show["parent"], 1);
    let record = run(at, &["runs", "show", "3", "--json"]).expect(0).json();
    let start = &record["record"]["start"];
    assert_eq!((&start["from"], &start["frozen"][0]), (&"shapes version 1".into(), &"0.dense".into()));
    run(at, &["runs", "show", "3"])
        .expect(0)
        .prints("from       shapes version 1: took over 0.dense, 1.dense");
    let card = run(at, &["export", "shapes", "3", "--file", "card.md"]).expect(0);
    card.prints("started from shapes version 1: took over 0.dense, 1.dense; frozen: 0.dense");
    run(at, &["train", "."]).expect(0).prints("nothing has changed since version 3");
}

#[test]
fn a_folder_of_files_will_do_and_what_does_not_fit_is_drawn_anew() {
    let folder = trained();
    let at = folder.path();
    run(at, &["export", "shapes", "1", "--out", "earlier"]).expect(0);
    let from = ("epochs = 30", "epochs = 2\nstart_from = { folder = \"earlier\" }");
    changed_project(at, &[from, ("name = \"shapes\"", "name = \"figures\"")]);
    let told = run(at, &["train", "."]);
    told.prints("took over 0.dense, 1.dense");
    let show = run(at, &["models", "show", "figures", "1", "--json"]).expect(0).json();
    assert!(show["parent"].is_null(), "it is another model's");
    let longer = "  { type = \"dense\", units = 4 },\n  { type = \"dense\", units = 2,";
    changed_project(at, &[from, ("  { type = \"dense\", units = 2,", longer)]);
    run(at, &["train", "."]).prints("took over 0.dense; drawn anew: 1.dense, 2.dense");
}

#[test]
fn what_cannot_be_started_from_is_said() {
    let folder = trained();
    let at = folder.path();
    let check = |start: &str, units: &str, code: i32, says: &[&str]| {
        let start = format!("epochs = 2\nstart_from = {start}");
        changed_project(at, &[("epochs = 30", &start), ("units = 8", units)]);
        let mut ended = run(at, &["train", "."]).expect(code);
        for text in says {
            ended = ended.says(text);
        }
    };
    check("{ model = \"shape\" }", "units = 8", 5, &["start_from", "did you mean \"shapes\"?"]);
    check("{ model = \"shapes\", version = 7 }", "units = 8", 5, &["start_from", "7"]);
    check("{ model = \"shapes\", version = 0 }", "units = 8", 3, &["modelyard.toml:", "version"]);
    check("{ }", "units = 8", 3, &["modelyard.toml:", "folder = "]);
    check("{ model = \"a b\" }", "units = 8", 3, &["modelyard.toml:"]);
    check(
        "{ folder = \"nowhere\" }",
        "units = 8",
        5,
        &["nowhere: it has no network.json", "modelyard export"],
    );
    let says = ["modelyard.toml:", "no layer of this network", "version 1", "0.dense.kernel ["];
    check("{ model = \"shapes\" }", "units = 5", 3, &says);
}
