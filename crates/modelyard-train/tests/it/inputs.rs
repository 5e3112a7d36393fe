//! Kinds of input and answer beyond tables of numbers: texts, labels, augmented images.

use std::fmt::Write as _;

use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_train::{Project, TrainError, check, package, prepare};

use crate::support::{Folder, HOST, run};

const TEXTS: &str = r#"
[project]
name = "reviews"

[data]
source = "points.csv"
[data.split]
kind = "random"
seed = 1

[[inputs]]
name = "review"
kind = "text"
transforms = [{ type = "bag_of_words", size = 64 }]

[[outputs]]
name = "tags"
kind = "labels"

[network]
layers = [{ type = "dense", units = 3, activation = "sigmoid" }]

[training]
optimizer = { type = "adam", learning_rate = 0.05 }
epochs = 30
batch_size = 16

[[gates]]
metric = "f1_micro"
at_least = 0.95
"#;

/// Rows whose labels are told by their words.
fn reviews(rows: usize) -> String {
    let mut text = String::from("review,tags\n");
    for row in 0..rows {
        let (mut words, mut tags) = (vec!["这本书"], Vec::new());
        for (bit, (word, tag)) in
            [("cheap", "price"), ("broken", "quality"), ("很晚", "delivery")].iter().enumerate()
        {
            if row >> bit & 1 == 1 {
                words.push(word);
                tags.push(*tag);
            }
        }
        writeln!(text, "{},{}", words.join(" "), tags.join(";")).expect("a text grows");
    }
    text
}

#[test]
fn labels_are_learnt_from_texts_and_scored() {
    let (_, prepared, trained) = Folder::new(TEXTS, &reviews(240)).train();
    let test = &trained.scores.splits["test"];
    assert_eq!(trained.scores.task, "labels");
    assert!(trained.scores.gates_passed(), "{:?}", test.metrics);
    assert!(test.metrics["subset_accuracy"].value > 0.9);
    assert!(test.metrics["f1_micro"].baseline.is_some_and(|dull| dull < 0.8));
    let labels: Vec<&str> = test.classes.iter().map(|class| class.label.as_str()).collect();
    assert_eq!(labels, ["delivery", "price", "quality"]);
    let answer = &prepared.pipeline.decode(&[0.9, 0.2, 0.6], 1)[0];
    assert!(format!("{answer:?}").contains("labels: [\"delivery\", \"quality\"]"), "{answer:?}");
}

#[test]
fn what_labels_cannot_do_is_told() {
    for (from, to, says) in [
        ("units = 3", "units = 4", "has 3 classes"),
        ("metric = \"f1_micro\"", "metric = \"accuracy\"", "cannot score labels"),
        ("epochs = 30", "epochs = 30\nloss = \"mse\"", "each true or not"),
        ("epochs = 30", "epochs = 30\nclass_weights = \"balanced\"", "needs an output of kind"),
    ] {
        let error = check_text(&TEXTS.replace(from, to));
        assert!(error.contains(says), "{error:?} should tell of {says:?}");
    }
}

/// What a check complains about.
fn check_text(text: &str) -> String {
    let folder = Folder::new(text, &reviews(80));
    let project = match modelyard_train::Project::read(folder.folder.path()) {
        Ok(project) => project,
        Err(error) => return error.to_string(),
    };
    let error: TrainError = check(&project).expect_err("something is wrong");
    error.to_string()
}

const PICTURES: &str = r#"
[project]
name = "stripes"

[data]
source = "points.csv"

[[inputs]]
name = "pixels"
kind = "vector"
columns = "p*"
shape = [4, 4, 1]
transforms = []
augment = [{ type = "flip" }, { type = "shift", height = 0.25, width = 0.25 }, { type = "noise" }]

[[outputs]]
name = "way"
kind = "category"

[network]
layers = [
  { type = "flatten" },
  { type = "dense", units = 16, activation = "relu" },
  { type = "dense", units = 2 },
]

[training]
epochs = 6
batch_size = 8
"#;

/// Pictures of upright and level stripes.
fn stripes(rows: usize) -> String {
    let names: Vec<String> = (0..16).map(|pixel| format!("p{pixel}")).collect();
    let mut text = format!("{},way\n", names.join(","));
    for row in 0..rows {
        let level = row % 2 == 0;
        for pixel in 0..16 {
            let lit = (if level { pixel / 4 } else { pixel % 4 }) == row / 2 % 4;
            write!(text, "{},", u8::from(lit)).expect("a text grows");
        }
        writeln!(text, "{}", if level { "level" } else { "upright" }).expect("a text grows");
    }
    text
}

#[test]
fn augmentation_changes_training_repeats_itself_and_is_not_served() {
    let weights = |text: &str| {
        let (_, prepared, trained) = Folder::new(text, &stripes(64)).train();
        assert!(!prepared.pipeline.to_json().contains("augment"));
        trained.network.weights_safetensors()
    };
    let first = weights(PICTURES);
    assert_eq!(first, weights(PICTURES));
    let plain: String = PICTURES
        .lines()
        .filter(|line| !line.starts_with("augment"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_ne!(first, weights(&plain));
}

const MIXED: &str = r#"
[project]
name = "mixed"

[data]
source = "points.csv"

[[inputs]]
name = "pixels"
kind = "vector"
columns = "p*"
shape = [4, 4, 1]
transforms = []
[[inputs]]
name = "weight"
kind = "number"
[[inputs]]
name = "note"
kind = "text"
transforms = [{ type = "bag_of_words", size = 16 }]

[[outputs]]
name = "way"
kind = "category"

[network]
layers = [
  { type = "conv2d", from = "pixels", filters = 4, kernel_size = 2, activation = "relu" },
  { type = "flatten", name = "seen" },
  { type = "dense", from = "features", name = "weighed", units = 4, activation = "tanh" },
  { type = "dense", from = "note", name = "read", units = 4, activation = "tanh" },
  { type = "concatenate", from = ["seen", "weighed", "read"] },
  { type = "dense", units = 2, activation = "softmax" },
]

[training]
optimizer = { type = "adam", learning_rate = 0.01 }
epochs = 40
batch_size = 8
"#;

/// The stripes with a weight and a note.
fn mixed(rows: usize) -> String {
    let lines = stripes(rows);
    let more = |(at, line): (usize, &str)| match at {
        0 => format!("{line},weight,note\n"),
        at => format!("{line},{},{}\n", at % 7, if at % 3 == 0 { "good 很好" } else { "bad" }),
    };
    lines.lines().enumerate().map(more).collect()
}

#[test]
fn several_kinds_of_input_join_in_one_network_that_every_engine_runs() {
    let (project, prepared, trained) = Folder::new(MIXED, &mixed(96)).train();
    let parts: Vec<(&str, &[usize])> = prepared
        .pipeline
        .input_parts()
        .iter()
        .map(|part| (part.name.as_str(), part.shape.as_slice()))
        .collect();
    assert_eq!(parts, [("pixels", &[4, 4, 1][..]), ("features", &[1]), ("note", &[16])]);
    assert_eq!(prepared.network.input, [33]);
    assert!(trained.scores.metric("train", "accuracy").expect("there") > 0.9);
    let runtimes = Runtimes::detect(&RuntimeConfig::default());
    let package = package(&project, &prepared, &trained, &runtimes, &HOST).unwrap_or_else(|e| panic!("{e}"));
    assert!(package.parity.differences.iter().any(|other| other.runtime == "rten"), "{:?}", package.parity);
}

#[test]
fn a_part_that_no_layer_takes_is_told() {
    for (from, to, says) in [
        ("from = \"note\", ", "", "no layer"),
        ("from = \"pixels\", ", "", "several input parts"),
        ("from = \"note\"", "from = \"notes\"", "did you mean 'note'"),
    ] {
        let folder = Folder::new(&MIXED.replace(from, to), &mixed(96));
        let error = check(&folder.project()).expect_err(says).to_string();
        assert!(error.contains(says), "{error:?} should tell of {says:?}");
    }
}

#[test]
fn templates_of_texts_and_of_several_inputs_reach_their_gates() {
    for template in ["text", "multimodal"] {
        let folder = tempfile::tempdir().expect("a folder");
        let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../modelyard/templates");
        for file in ["modelyard.toml", "reviews.csv", "items.csv"] {
            let Ok(text) = std::fs::read_to_string(templates.join(template).join(file)) else { continue };
            std::fs::write(folder.path().join(file), text.replace("{name}", template)).expect("written");
        }
        std::os::unix::fs::symlink(templates.join("images/pictures"), folder.path().join("pictures"))
            .expect("linked");
        let project = Project::read(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        let prepared = prepare(&project).unwrap_or_else(|error| panic!("{error}"));
        let trained = run(&project, &prepared).unwrap_or_else(|error| panic!("{error}"));
        assert!(trained.scores.gates_passed(), "{template}: {:?}", trained.scores.splits["test"].metrics);
    }
}
