//! The folders in `examples/` train and pass their own gates.

use std::fs;
use std::path::Path;
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

/// Attacks of kinds that training never saw are told from normal connections.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test is its own binary: it may read its environment")]
fn the_intrusion_example_reaches_its_gate() {
    let data = std::env::var_os("MODELYARD_TEST_DATA")
        .map(|folder| Path::new(&folder).join("network-intrusion"))
        .filter(|folder| folder.join("KDDTest+.txt.gz").exists());
    let Some(data) = data else {
        eprintln!(
            "SKIPPED: NSL-KDD is not here; set MODELYARD_TEST_DATA to a folder that holds \
             network-intrusion/KDDTrain+_20Percent.txt.gz and network-intrusion/KDDTest+.txt.gz"
        );
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&repository().join("examples/intrusion"), &folder.path().join("intrusion"));
    let mut fetch = Command::new("sh");
    fetch.arg("intrusion/fetch.sh").arg(data).current_dir(folder.path());
    run_command(fetch).expect(0);
    check(folder.path(), "intrusion");
}
