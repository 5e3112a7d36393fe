//! Language models from project file to scores: they learn, stop and go on bit for bit, and say what does not fit.

use std::sync::atomic::{AtomicBool, Ordering};

use modelyard_registry::Checkpoints;
use modelyard_train::{
    Checkpoint, EpochRecord, Job, Progress, RunPlan, Sampling, Silent, StepRecord, TrainError, TrainedModel,
    check, files, fit,
};

use crate::support::{Folder, HOST, run};

const PROJECT: &str = r#"
[project]
name = "words"

[data]
source = "points.csv"
format = "text_lines"
[data.split]
kind = "random"
seed = 1

[[inputs]]
name = "text"
kind = "text"
transforms = [{ type = "tokenize", model = "characters", length = 12 }]

[[outputs]]
name = "next"
kind = "next_token"

[network]
layers = [
  { type = "embedding", input_dim = 12, output_dim = 16 },
  { type = "positional_encoding", kind = "learned" },
  { type = "dropout", rate = 0.1 },
  { type = "transformer_encoder", num_heads = 2, intermediate_dim = 32, dropout = 0.1, norm_first = true, causal = true },
  { type = "layer_norm" },
  { type = "dense", units = 12 },
]

[training]
optimizer = { type = "adam", learning_rate = 0.01 }
epochs = 15
batch_size = 16
checkpoint = { every_steps = 3 }
seed = 5

[[gates]]
metric = "bits_per_character"
at_most = 1.5
"#;

/// Lines of which a trigram cannot know the end: a letter, then letters that repeat it after 4 steps.
fn lines(rows: usize) -> String {
    let words = ["abcdabcd", "bcdebcde", "cdafcdaf", "eafbeafb", "dfecdfec", "fabefabe"];
    (0..rows).map(|row| format!("{}\n", words[row * 7 % words.len()])).collect()
}

#[test]
fn a_language_model_is_scored_beside_a_trigram_and_writes() {
    let (project, prepared) = Folder::new(PROJECT, &lines(240)).prepare();
    let report = prepared.report(&project).expect("it fits");
    assert_eq!((report.task, report.loss), ("next_token", "cross_entropy"));
    let trained = run(&project, &prepared).expect("trains");
    let test = &trained.scores.splits["test"];
    let bits = test.metrics["bits_per_character"];
    assert!(bits.value < 1.0 && bits.baseline.is_some_and(|trigram| trigram > 0.1), "{bits:?}");
    assert!(bits.interval_95.is_some() && trained.scores.gates_passed());
    // One of six words is drawn, then nothing is left to guess: log2(6) bits over 9 characters.
    assert!(bits.value > 6f64.log2() / 9.0 - 0.05, "no model can know the first letter: {bits:?}");
    let perplexity = test.metrics["perplexity"].value;
    assert!((perplexity.log2() - bits.value).abs() < 1e-6, "characters are tokens here: {perplexity}");
    let page = modelyard_train::report(&project, &prepared, &trained).expect("it can be written");
    assert!(page.contains("What it expects least") && page.contains("Kneser-Ney"));

    let network = trained.network.network_json();
    let weights = trained.network.weights_safetensors();
    let pipeline = prepared.pipeline.to_json();
    let model = TrainedModel::from_files(|name| match name {
        files::NETWORK => Some(network.as_bytes()),
        files::WEIGHTS => Some(&weights),
        files::PIPELINE => Some(pipeline.as_bytes()),
        _ => None,
    })
    .expect("the files are whole");
    let coldest = Sampling { temperature: 0.0, ..Sampling::default() };
    let stops = ["abx".to_owned(), "bcde".to_owned()];
    let mut told = Vec::new();
    let drawn = model.generate("ab", (coldest, 0), (&stops, 50), |piece| told.push(piece.to_owned()));
    let drawn = drawn.expect("a language model");
    assert_eq!(drawn.text, "cdabcd", "{drawn:?}");
    // What may be the beginning of a stop is told once it is none.
    assert_eq!(told, ["c", "d", "", "", "a", "", "bcd"]);
}

/// Asks to stop in the epoch after this one.
struct StopAfter<'a>(usize, &'a AtomicBool);

impl Progress for StopAfter<'_> {
    fn started(&mut self, _plan: &RunPlan) {}
    fn steps(&mut self, _now: &StepRecord) {}
    fn epoch(&mut self, record: &EpochRecord) {
        self.1.store(record.epoch == self.0, Ordering::Relaxed);
    }
    fn warning(&mut self, _text: &str) {}
}

#[test]
fn a_transformer_that_was_stopped_goes_on_bit_for_bit() {
    let (project, prepared) = Folder::new(PROJECT, &lines(160)).prepare();
    let whole = run(&project, &prepared).expect("trains");
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = Checkpoints::open(folder.path(), 2).expect("made");
    let stop = AtomicBool::new(false);
    let job = Job { checkpoints: Some(&checkpoints), ..Job::new(&project, &prepared) };
    let stopped = fit(&job, &HOST, &mut StopAfter(2, &stop), &stop).expect_err("it is asked to stop");
    assert!(matches!(stopped, TrainError::Stopped { resumable: true, .. }), "{stopped}");
    let (checkpoint, _) =
        Checkpoint::newest(&checkpoints, &project, &prepared, HOST.program).expect("one was written");
    let job = Job { resume: Some(&checkpoint), ..job };
    let resumed = fit(&job, &HOST, &mut Silent, &AtomicBool::new(false)).expect("trains");
    assert!(resumed.network.weights_safetensors() == whole.network.weights_safetensors(), "bit for bit");
    assert_eq!(resumed.scores, whole.scores);
}

/// Checks a changed project; every piece of `want` must be in the message or its hint.
fn refused(from: &str, to: &str, want: &[&str]) {
    assert!(PROJECT.contains(from), "{from:?}");
    let folder = Folder::new(&PROJECT.replace(from, to), &lines(60));
    let error = check(&folder.project()).expect_err("does not fit");
    let text = format!("{error}\nhint: {}", error.hint().unwrap_or_default());
    for piece in want {
        assert!(text.contains(piece), "{piece:?} is not in:\n{text}");
    }
}

#[test]
fn what_does_not_fit_is_told_with_its_line() {
    refused(
        "input_dim = 12",
        "input_dim = 7",
        &[
            "modelyard.toml:23:37: the texts of `text` have 9 different tokens, and the embedding knows 7",
            "input_dim = 9",
        ],
    );
    refused("units = 12", "units = 8", &["modelyard.toml:28:3: the network ends in [12, 8]", "units = 9"]);
    refused("seed = 5", "seed = 5\nloss = \"mse\"", &["the loss `mse` is not for output `next`"]);
    refused("model = \"characters\"", "model = \"words\"", &["modelyard.toml:17", "lose the spaces"]);
}

#[test]
fn metrics_of_other_tasks_are_refused() {
    let text = PROJECT.replace("bits_per_character", "accuracy");
    let folder = tempfile::tempdir().expect("a folder");
    let error = modelyard_train::Project::parse(text.as_bytes(), "modelyard.toml", folder.path());
    let error = error.expect_err("accuracy scores classes").to_string();
    assert!(error.contains("`accuracy` cannot score a language model"), "{error}");
    assert!(error.contains("bits_per_character, perplexity"), "{error}");
}
