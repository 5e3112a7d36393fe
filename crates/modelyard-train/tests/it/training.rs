//! Training itself: it learns, it repeats, it stops, and what it makes can be packaged and loaded again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use modelyard_runtime::{RuntimeConfig, Runtimes};
use modelyard_train::{
    EpochRecord, Job, Progress, RunPlan, StepRecord, TrainError, TrainedModel, data_digest, files,
    fingerprint, fit, gate_sentence, package, report,
};
use modelyard_types::ErrorKind;

use crate::support::{CLASSES, Folder, HOST, numbers, points, run};

#[test]
fn classes_are_learned_and_the_gate_passes() {
    let (_, _, trained) = Folder::new(CLASSES, &points(900)).train();
    let accuracy = trained.scores.metric("test", "accuracy").expect("there");
    assert!(accuracy > 0.9, "{accuracy}");
    assert!(trained.scores.gates_passed());
    let test = &trained.scores.splits["test"];
    assert!(test.metrics["accuracy"].baseline.is_some_and(|share| (0.4..0.65).contains(&share)));
    assert!(test.metrics["f1"].interval_95.is_some());
    assert_eq!(test.classes.len(), 2);
    assert_eq!(trained.history.len(), 30);
}

#[test]
fn numbers_are_learned_in_the_unit_of_the_data() {
    let (_, _, trained) = Folder::new(&numbers(), &points(900)).train();
    let test = &trained.scores.splits["test"];
    assert!(test.metrics["rmse"].value < 0.3, "{:?}", test.metrics);
    assert!(test.metrics["rmse"].baseline.is_some_and(|rmse| rmse > 1.0));
    assert!(trained.scores.gates_passed());
}

#[test]
fn one_sigmoid_unit_does_for_two_classes() {
    let text = CLASSES.replace("units = 2, activation = \"softmax\"", "units = 1, activation = \"sigmoid\"");
    let (_, _, trained) = Folder::new(&text, &points(900)).train();
    assert!(trained.scores.metric("test", "accuracy").expect("there") > 0.9);
    assert_eq!(trained.scores.task, "binary");
}

#[test]
fn the_same_seed_and_threads_give_the_same_bits() {
    let folder = Folder::new(&CLASSES.replace("epochs = 30", "epochs = 4"), &points(301));
    let weights = |folder: &Folder| folder.train().2.network.weights_safetensors();
    let first = weights(&folder);
    assert_eq!(first, weights(&folder));
    let text = CLASSES.replace("epochs = 30", "epochs = 4").replace("seed = 5", "seed = 6");
    assert_ne!(first, weights(&Folder::new(&text, &points(301))));
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    let text = CLASSES
        .replace("epochs = 30", "epochs = 200\nearly_stopping = { patience = 3, metric = \"loss\" }")
        .replace("learning_rate = 0.02", "learning_rate = 0.3");
    let (_, _, trained) = Folder::new(&text, &points(300)).train();
    assert!(trained.history.len() < 200);
    assert_eq!(trained.kept_epoch + 3, trained.history.len());
    let loss = |record: &EpochRecord| record.validation_loss.expect("there are validation rows");
    let kept = loss(&trained.history[trained.kept_epoch - 1]);
    assert!(trained.history.iter().all(|record| loss(record) >= kept));
}

#[test]
fn a_cosine_schedule_ends_near_zero() {
    let text = CLASSES.replace("epochs = 30", "epochs = 5\nschedule = \"cosine\"");
    let (_, _, trained) = Folder::new(&text, &points(300)).train();
    let rates: Vec<f32> = trained.history.iter().map(|record| record.learning_rate).collect();
    assert!(rates.windows(2).all(|pair| pair[1] < pair[0]) && rates[4] < 0.001, "{rates:?}");
}

#[test]
fn schedules_warm_ups_accumulation_and_averages_go_together() {
    let text = CLASSES.replace(
        "epochs = 30",
        "epochs = 12\nwarmup = { epochs = 2 }\naccumulate = 2\naverage = { decay = 0.9 }\n\
         schedule = { type = \"plateau\", metric = \"accuracy\", patience = 1, min_delta = 1.0, factor = 0.5 }",
    );
    let (_, _, trained) = Folder::new(&text, &points(900)).train();
    let rates: Vec<f32> = trained.history.iter().map(|record| record.learning_rate).collect();
    assert!((rates[0] - 0.01).abs() < 1e-6 && (rates[1] - 0.02).abs() < 1e-6, "{rates:?}");
    assert!((rates[2] - 0.01).abs() < 1e-6 && (rates[3] - 0.005).abs() < 1e-6, "{rates:?}");
    assert!(trained.scores.metric("test", "accuracy").expect("there") > 0.8);
}

#[test]
fn class_weights_move_the_answers() {
    let text = CLASSES.replace("seed = 5", "seed = 5\nclass_weights = { same = 50.0 }");
    let (_, _, trained) = Folder::new(&text, &points(600)).train();
    let classes = &trained.scores.splits["test"].classes;
    let same = classes.iter().find(|class| class.label == "same").expect("there");
    assert!(same.recall > 0.97, "{classes:?}");
    let (_, _, balanced) =
        Folder::new(&CLASSES.replace("seed = 5", "seed = 5\nclass_weights = \"balanced\""), &points(600))
            .train();
    assert!(balanced.scores.metric("test", "accuracy").expect("there") > 0.85);
}

#[test]
fn a_loss_that_is_no_number_stops_with_a_hint() {
    let text = numbers()
        .replace("{ type = \"adam\", learning_rate = 0.02 }", "{ type = \"sgd\", learning_rate = 1e30 }")
        .replace("units = 16, activation = \"tanh\"", "units = 16");
    let (project, prepared) = Folder::new(&text, &points(300)).prepare();
    let error = run(&project, &prepared).expect_err("diverges");
    assert!(matches!(error, TrainError::Diverged { epoch: 1, .. }), "{error}");
    let hint = error.hint().expect("says what to try");
    assert!(hint.contains("learning_rate") && hint.contains("clip_norm") && hint.contains("standard"));
}

#[test]
fn weights_that_the_last_step_ruined_are_not_given_out() {
    for (fractions, batch) in [
        ("train = 0.7\nvalidation = 0.15\ntest = 0.15", 28),
        ("train = 0.8\nvalidation = 0.0\ntest = 0.2", 32),
    ] {
        let text = numbers()
            .replace("{ type = \"adam\", learning_rate = 0.02 }", "{ type = \"sgd\", learning_rate = 1e38 }")
            .replace("units = 16, activation = \"tanh\"", "units = 16")
            .replace("epochs = 30", "epochs = 1")
            .replace("batch_size = 32", &format!("batch_size = {batch}"))
            .replace("seed = 1\n", &format!("seed = 1\n{fractions}\n"));
        let (project, prepared) = Folder::new(&text, &points(40)).prepare();
        let error = run(&project, &prepared).expect_err("diverges");
        assert!(matches!(error, TrainError::Diverged { epoch: 1, step: 1, .. }), "{error}");
        assert!(error.to_string().contains("an answer of the network became"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("learning_rate")));
    }
}

/// Asks to stop in the third epoch, and counts what it hears.
struct Stopper<'a> {
    stop: &'a AtomicBool,
    plan: Option<RunPlan>,
    rows: usize,
}

impl Progress for Stopper<'_> {
    fn started(&mut self, plan: &RunPlan) {
        self.plan = Some(plan.clone());
    }
    fn steps(&mut self, now: &StepRecord) {
        self.rows = self.rows.max(now.rows);
        assert!(now.loss.is_finite());
    }
    fn epoch(&mut self, record: &EpochRecord) {
        assert!(record.rows_per_second > 0.0 && record.metric.is_some());
        assert!(record.metrics.contains_key("f1_macro"));
        self.stop.store(record.epoch == 2, Ordering::Relaxed);
    }
    fn warning(&mut self, text: &str) {
        unreachable!("nothing goes wrong here: {text}");
    }
}

#[test]
fn training_can_be_stopped_and_tells_its_progress() {
    let (project, prepared) = Folder::new(CLASSES, &points(300)).prepare();
    let stop = AtomicBool::new(false);
    let mut stopper = Stopper { stop: &stop, plan: None, rows: 0 };
    let error = fit(&Job::new(&project, &prepared), &HOST, &mut stopper, &stop).expect_err("is stopped");
    assert!(matches!(error, TrainError::Stopped { epoch: 3, resumable: false }));
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let plan = stopper.plan.expect("was told");
    assert_eq!(stopper.rows, plan.rows, "the last, partial mini-batch is used");
    assert_eq!(plan.steps, plan.rows.div_ceil(32));
}

#[test]
fn a_missed_gate_is_told_and_the_scores_stay() {
    let text = CLASSES.replace("at_least = 0.9", "at_least = 0.9999").replace("epochs = 30", "epochs = 1");
    let (_, _, trained) = Folder::new(&text, &points(300)).train();
    assert!(!trained.scores.gates_passed());
    let sentence = gate_sentence(&trained.scores.gates[0]);
    assert!(sentence.starts_with("missed: test accuracy >= 0.9999, reached 0."), "{sentence}");
}

#[test]
fn a_package_loads_again_and_answers_alike() {
    let folder = Folder::new(CLASSES, &points(900));
    let (project, prepared, trained) = folder.train();
    let runtimes = Runtimes::detect(&RuntimeConfig::default());
    let package = package(&project, &prepared, &trained, &runtimes, &HOST).unwrap_or_else(|e| panic!("{e}"));
    assert!(package.parity.differences.iter().any(|other| other.runtime == "rten"), "{:?}", package.parity);
    let expected = [
        files::CARD,
        files::LINEAGE,
        files::ONNX,
        files::NETWORK,
        files::PIPELINE,
        files::PROFILE,
        files::PROJECT,
        files::SCORES,
        files::SIGNATURE,
        files::WEIGHTS,
    ];
    assert_eq!(package.files.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(
        package.fingerprint,
        fingerprint(&project, &data_digest(&project).expect("files"), None, HOST.program)
    );
    let card = String::from_utf8(package.files[files::CARD].clone()).expect("text");
    for part in
        ["# points", "Tells in which quadrants", "| accuracy | 0.9", "passed: test accuracy", "curl -s"]
    {
        assert!(card.contains(part), "{part:?} is not in\n{card}");
    }
    let model = load(&package.files);
    let scores = model.evaluate(&prepared.dataset, &prepared.parts.test, 2).expect("has answers");
    assert_eq!(Some(scores.metrics["accuracy"].value), trained.scores.metric("test", "accuracy"));
    let mut answers = Vec::new();
    model
        .predict(&prepared.dataset, 1, |some| {
            answers.extend(some);
            Ok::<_, TrainError>(())
        })
        .expect("answers");
    assert_eq!(answers.len(), 900);
}

fn load(files: &BTreeMap<String, Vec<u8>>) -> TrainedModel {
    TrainedModel::from_files(|name| files.get(name).map(Vec::as_slice)).expect("our own files")
}

#[test]
fn a_report_shows_curves_scores_and_errors_and_escapes_what_it_is_given() {
    let text = CLASSES.replace("Tells in which", "<script>alert(1)</script> & tells in which");
    let (project, prepared, trained) = Folder::new(&text, &points(300)).train();
    let page = report(&project, &prepared, &trained).expect("written");
    for part in
        ["<polyline", "class=\"confusion\"", "Expected calibration error", "Gate passed", "instead of"]
    {
        assert!(page.contains(part), "{part} is not in the page");
    }
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"));
    let (project, prepared, trained) = Folder::new(&numbers(), &points(300)).train();
    let page = report(&project, &prepared, &trained).expect("written");
    assert!(page.contains("answer − truth") && page.contains("<circle") && page.contains("<dt>colour</dt>"));
}

#[test]
fn a_version_without_a_pipeline_is_refused() {
    let error = TrainedModel::from_files(|_| None).expect_err("nothing there");
    assert!(matches!(error, TrainError::NoFile { file: "pipeline.json" }) && error.hint().is_some());
}

#[test]
fn nothing_changed_means_the_same_fingerprint() {
    let folder = Folder::new(CLASSES, &points(50));
    let of = |folder: &Folder| {
        let project = folder.project();
        fingerprint(&project, &data_digest(&project).expect("files"), None, "p")
    };
    let first = of(&folder);
    assert_eq!(first, of(&Folder::new(CLASSES, &points(50))), "another folder changes nothing");
    assert_ne!(first, of(&Folder::new(CLASSES, &points(51))));
    assert_ne!(first, of(&Folder::new(&CLASSES.replace("seed = 5", "seed = 6"), &points(50))));
}

#[test]
fn a_changed_file_that_a_cell_names_changes_the_fingerprint() {
    let text = CLASSES.replace(
        "[[inputs]]\nname = \"colour\"\nkind = \"category\"",
        "[[inputs]]\nname = \"photo\"\nkind = \"image\"",
    );
    let folder = Folder::new(&text, "x,y,photo,side\n1,2,a.png,same\n-1,2,a.png,other\n");
    let of_photo = |bytes: &[u8]| {
        std::fs::write(folder.folder.path().join("a.png"), bytes).expect("written");
        data_digest(&folder.project()).expect("files")
    };
    assert_ne!(of_photo(b"one"), of_photo(b"two"));
    assert_eq!(of_photo(b"one"), of_photo(b"one"));
}

#[test]
fn one_step_is_told_even_when_an_epoch_has_one() {
    let text = CLASSES.replace("batch_size = 32", "batch_size = 34").replace("epochs = 30", "epochs = 1");
    let (project, prepared) = Folder::new(&text, &points(50)).prepare();
    assert!(run(&project, &prepared).is_ok());
}
