//! Records of runs, who may train them, and their checkpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use modelyard_registry::document::{EpochRecord, Machine, RunFold, RunRecord, RunStart, RunStatus};
use modelyard_registry::{Checkpoints, RegistryError};
use modelyard_types::ErrorKind;

use crate::support::store;

fn epoch(epoch: usize) -> EpochRecord {
    EpochRecord {
        epoch,
        loss: 0.1 + 0.2,
        validation_loss: None,
        metric: Some(0.5),
        metrics: BTreeMap::from([("accuracy".to_owned(), 0.5)]),
        best: true,
        learning_rate: 0.001,
        rows_per_second: 1e6,
        elapsed: Duration::from_millis(250),
    }
}

fn record(project: &str) -> RunRecord {
    RunRecord {
        project: project.to_owned(),
        status: RunStatus::Running,
        started_unix_ms: 1_700_000_000_000,
        ended_unix_ms: None,
        error: None,
        program: "modelyard test".to_owned(),
        machine: Machine { os: "linux".to_owned(), arch: "x86_64".to_owned(), threads: 2 },
        processor: Some("one".to_owned()),
        seed: 7,
        data_sha256: "d".repeat(64),
        project_sha256: "p".repeat(64),
        rows: 100,
        parameters: 42,
        start: Some(RunStart {
            from: "digits version 3".to_owned(),
            digest: "e".repeat(64),
            taken: vec!["trunk".to_owned()],
            anew: vec!["head".to_owned()],
            frozen: Vec::new(),
        }),
        fold: Some(RunFold { number: 2, of: 3, origin: "2024-01-01T00:00:00Z".to_owned() }),
        epochs_max: 9,
        metric: "accuracy".to_owned(),
        resumed_after: vec![1],
        epochs: vec![epoch(1), epoch(2)],
        kept_epoch: None,
        test: BTreeMap::new(),
        version: None,
    }
}

#[tokio::test]
async fn a_run_is_recorded_and_only_one_process_trains_it() {
    let (_folder, registry) = store().await;
    let before = registry.revision().await.expect("readable");
    let open = registry.begin_run(&record("digits")).await.expect("recorded");
    assert_eq!(open.id(), 1);
    assert_eq!(registry.run(1).await.expect("there").record, record("digits"));
    let error = registry.open_run(1).await.expect_err("it is open");
    assert!(matches!(error, RegistryError::RunIsOpen { id: 1 }) && error.hint().is_some());

    drop(open);
    assert_eq!(registry.run(1).await.expect("there").record.status, RunStatus::Interrupted);
    let again = registry.open_run(1).await.expect("nobody trains it");
    let mut done = record("digits");
    (done.status, done.version) = (RunStatus::Finished, Some(3));
    registry.save_run(again.id(), &done).await.expect("written");
    drop(again);
    let second = registry.begin_run(&record("other")).await.expect("recorded");
    let runs = registry.runs(10).await.expect("listed");
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(runs[1].record, done);
    assert_eq!(registry.runs(1).await.expect("listed").len(), 1);
    assert_eq!(registry.revision().await.expect("readable"), before, "servers need not look");

    let error = registry.run(9).await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().is_some_and(|hint| hint.contains("newest run is 2")));
    assert_eq!(registry.run_report(2).expect("readable"), None);
    second.write_report("<p>").expect("written");
    assert_eq!(registry.run_report(2).expect("readable"), Some(b"<p>".to_vec()));
}

#[test]
fn the_newest_checkpoints_stay_and_damage_is_seen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::open(folder.path(), 2).expect("made");
    for step in [9, 10, 11] {
        checkpoints.save(step, format!("state {step}").as_bytes()).expect("written");
    }
    let files = checkpoints.newest_first().expect("listed");
    assert_eq!(files.iter().map(|file| file.step).collect::<Vec<_>>(), [11, 10]);
    assert_eq!(checkpoints.load(&files[0]).expect("readable"), Some(b"state 11".to_vec()));
    std::fs::write(checkpoints.path().join(&files[0].name), "state 1l").expect("written");
    assert_eq!(checkpoints.load(&files[0]).expect("readable"), None);
    checkpoints.save_weights("good.safetensors", b"weights").expect("written");
    checkpoints.clear().expect("removed");
    assert_eq!(checkpoints.newest_first().expect("listed"), []);
    assert!(checkpoints.path().join("good.safetensors").is_file());
}

#[test]
fn a_record_of_format_1_still_loads() {
    let text = record("digits").to_json();
    assert_eq!(RunRecord::from_json(text.as_bytes()).expect("our own text"), record("digits"));
    let old = r#"{"format_version": 1, "project": "p", "status": "stopped", "started_unix_ms": 5, "program": "m",
        "machine": {"os": "linux", "arch": "x86_64", "threads": 1}, "seed": 0, "data_sha256": "", "project_sha256": "",
        "rows": 1, "parameters": 1, "epochs_max": 1, "metric": "rmse", "epochs": [{"epoch": 1, "loss": 0.5,
        "validation_loss": null, "metric": null, "best": false, "learning_rate": 0.1, "rows_per_second": 1.0,
        "seconds": 0.25}]}"#;
    let read = RunRecord::from_json(old.as_bytes()).expect("format 1");
    assert_eq!(read.training_time(), Duration::from_millis(250));
    for (from, to) in [("0.25", "-1.0"), ("\"stopped\"", "\"sleeping\""), ("version\": 1", "version\": 2")] {
        assert!(RunRecord::from_json(old.replace(from, to).as_bytes()).is_err(), "{to}");
    }
}
