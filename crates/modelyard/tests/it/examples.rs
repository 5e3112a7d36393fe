//! The folders in `examples/` train and pass their own gates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{copy_folder, repository, run, run_command};

/// Trains a copy of an example in `folder`.
#[track_caller]
fn check(folder: &Path, example: &str) {
    let project = folder.join(example);
    if !project.exists() {
        copy_folder(&repository().join("examples").join(example), &project);
    }
    let _ = fs::remove_dir_all(project.join(".modelyard"));
    run(folder, &["train", example, "--threads", "2"])
        .expect(0)
        .prints("gate passed: test accuracy")
        .prints("the ONNX file answers as the trained network does")
        .prints(&format!("published {example} version 1"));
}

#[test]
fn the_examples_beside_keras_pytorch_and_scikit_learn_train() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for example in ["dense-softmax", "dense-sigmoid", "cnn-28x28", "mlp-npy"] {
        check(folder.path(), example);
    }
}

#[test]
fn the_numpy_file_is_split_four_to_one_and_its_last_column_is_the_answer() {
    let project = repository().join("examples/mlp-npy");
    let checked = run(&project, &["check", "."]).expect(0);
    checked.prints("1438").prints("359");
}

/// A folder of real data and, where one of these files is not in it, a loud word that the test is skipped.
#[allow(clippy::disallowed_methods, reason = "a test is its own binary: it may read its environment")]
fn real_data(name: &str, files: &[&str]) -> Option<PathBuf> {
    let data = std::env::var_os("MODELYARD_TEST_DATA").map(|folder| Path::new(&folder).join(name));
    let data = data.filter(|folder| files.iter().all(|file| folder.join(file).exists()));
    if data.is_none() {
        eprintln!("SKIPPED: set MODELYARD_TEST_DATA to a folder that holds {name}/{{{}}}", files.join(","));
    }
    data
}

/// A copy of an example in `folder`, with what its script makes of the data.
fn fetched(folder: &Path, example: &str, data: &Path) {
    copy_folder(&repository().join("examples").join(example), &folder.join(example));
    let mut fetch = Command::new("sh");
    fetch.arg(format!("{example}/fetch.sh")).arg(data).current_dir(folder);
    run_command(fetch).expect(0);
}

/// Attacks of kinds that training never saw are told from normal connections.
#[test]
fn the_intrusion_example_reaches_its_gate() {
    let files = ["KDDTrain+_20Percent.txt.gz", "KDDTest+.txt.gz"];
    let Some(data) = real_data("network-intrusion", &files) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fetched(folder.path(), "intrusion", &data);
    check(folder.path(), "intrusion");
}

const BENCHMARK: [&str; 4] = [
    "machine_temperature_system_failure.csv",
    "occupancy_6005.csv",
    "speed_7578.csv",
    "combined_windows.json",
];

/// Three of the four failures are found with at most five false alarms, by either kind of autoencoder.
#[test]
fn the_machine_temperature_example_finds_the_failures() {
    let Some(data) = real_data("sensor-anomaly", &BENCHMARK) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fetched(folder.path(), "machine-temperature", &data);
    for project in ["machine-temperature", "machine-temperature/variational"] {
        run(folder.path(), &["train", project, "--threads", "2"])
            .expect(0)
            .prints("gate passed: test events_found >= 0.75")
            .prints("gate passed: test false_alarms <= 5")
            .prints("the ONNX file answers as the trained network does");
    }
}

/// The lives of engines that were never seen are estimated better than the gate asks; two epochs do for a test.
#[test]
fn the_turbofan_example_learns_lives() {
    let files = ["train_FD001.txt", "test_FD001.txt", "RUL_FD001.txt"];
    let Some(data) = real_data("turbofan", &files) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fetched(folder.path(), "turbofan", &data);
    let project = folder.path().join("turbofan/modelyard.toml");
    let text = fs::read_to_string(&project).expect("a project file");
    let shorter = text.replace("epochs = 20", "epochs = 2").replace("at_most = 15.5", "at_most = 20.0");
    fs::write(&project, shorter).expect("written");
    run(folder.path(), &["train", "turbofan", "--threads", "2"])
        .expect(0)
        .prints("100 to test")
        .prints("gate passed: test rmse <= 20")
        .prints("the ONNX file answers as the trained network does");
}

/// Intervals of the forecast hold what they promise, and all that was labelled is found.
#[test]
fn the_traffic_examples_reach_their_gates() {
    let Some(data) = real_data("sensor-anomaly", &BENCHMARK) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fetched(folder.path(), "traffic", &data);
    run(folder.path(), &["train", "traffic/forecast", "--threads", "2"])
        .expect(0)
        .prints("gate passed: test coverage >= 0.7")
        .prints("gate passed: test pinball <= 0.6");
    run(folder.path(), &["train", "traffic/anomaly", "--threads", "2"])
        .expect(0)
        .prints("gate passed: test events_found >= 0.6")
        .prints("gate passed: test false_alarms <= 3");
}
