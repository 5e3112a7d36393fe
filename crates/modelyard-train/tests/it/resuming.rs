//! Runs that stop and go on: bit for bit, from the newest checkpoint that is whole, and never as another run.

use std::sync::atomic::{AtomicBool, Ordering};

use modelyard_registry::Checkpoints;
use modelyard_train::{
    Checkpoint, EpochRecord, Job, Prepared, Progress, Project, RunPlan, Silent, StepRecord, TrainError,
    Trained, fit,
};
use modelyard_types::ErrorKind;

use crate::support::{CLASSES, Folder, HOST, numbers, points};

/// Everything that a run remembers: order, dropout, running statistics, momenta, average, plateau, best weights.
fn project() -> String {
    CLASSES
        .replace(
            "{ type = \"dense\", units = 2",
            "{ type = \"batch_norm\" },\n  { type = \"dropout\", rate = 0.2 },\n  { type = \"dense\", units = 2",
        )
        .replace(
            "epochs = 30",
            "epochs = 9\naccumulate = 2\naverage = { decay = 0.9 }\ncheckpoint = { every_steps = 5, keep = 3 }\n\
             early_stopping = { patience = 8 }\n\
             schedule = { type = \"plateau\", patience = 1, min_delta = 0.05, factor = 0.5 }",
        )
}

struct Kept {
    checkpoints: Checkpoints,
    folder: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { checkpoints: Checkpoints::open(folder.path(), 3).expect("made"), folder }
    }

    /// Trains until `stop` asks to end.
    fn train(
        &self,
        (project, prepared): &(Project, Prepared),
        resume: Option<&Checkpoint>,
        progress: &mut dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Trained, TrainError> {
        let job = Job { project, prepared, checkpoints: Some(&self.checkpoints), resume };
        fit(&job, &HOST, progress, stop)
    }

    fn newest(
        &self,
        (project, prepared): &(Project, Prepared),
    ) -> Result<(Checkpoint, Vec<String>), TrainError> {
        Checkpoint::newest(&self.checkpoints, project, prepared, HOST.program)
    }
}

/// Asks to stop in the epoch after this one, and collects warnings.
struct StopAfter<'a> {
    epoch: usize,
    stop: &'a AtomicBool,
    warnings: Vec<String>,
}

impl Progress for StopAfter<'_> {
    fn started(&mut self, _plan: &RunPlan) {}
    fn steps(&mut self, _now: &StepRecord) {}
    fn epoch(&mut self, record: &EpochRecord) {
        self.stop.store(record.epoch == self.epoch, Ordering::Relaxed);
    }
    fn warning(&mut self, text: &str) {
        self.warnings.push(text.to_owned());
    }
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit() {
    let both = Folder::new(&project(), &points(500)).prepare();
    let never = AtomicBool::new(false);
    let whole = Kept::new().train(&both, None, &mut Silent, &never).expect("trains");
    let kept = Kept::new();
    let mut checkpoint = None;
    for epoch in [2, 5] {
        let stop = AtomicBool::new(false);
        let mut stopper = StopAfter { epoch, stop: &stop, warnings: Vec::new() };
        let error = kept.train(&both, checkpoint.as_ref(), &mut stopper, &stop).expect_err("is stopped");
        assert!(matches!(error, TrainError::Stopped { resumable: true, .. }), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--resume")));
        let (found, remarks) = kept.newest(&both).expect("there");
        assert_eq!((found.place(), found.history().len()), ((epoch + 1, 2), epoch), "after one step");
        assert_eq!(remarks, Vec::<String>::new());
        checkpoint = Some(found);
    }
    let resumed = kept.train(&both, checkpoint.as_ref(), &mut Silent, &never).expect("trains");
    assert!(resumed.network.weights_safetensors() == whole.network.weights_safetensors(), "bit for bit");
    assert_eq!((resumed.kept_epoch, &resumed.scores), (whole.kept_epoch, &whole.scores));
    let told = |trained: &Trained| {
        let numbers = |e: &EpochRecord| (e.epoch, e.loss, e.metrics.clone(), e.learning_rate, e.best);
        trained.history.iter().map(numbers).collect::<Vec<_>>()
    };
    assert_eq!(told(&resumed), told(&whole));
    // A checkpoint between epochs or steps gives the same, wherever it was written.
    for file in kept.checkpoints.newest_first().expect("listed").into_iter().skip(1) {
        for newer in
            kept.checkpoints.newest_first().expect("listed").into_iter().filter(|f| f.step > file.step)
        {
            std::fs::remove_file(kept.checkpoints.path().join(newer.name)).expect("removed");
        }
        let (found, _) = kept.newest(&both).expect("there");
        let again = Kept::new().train(&both, Some(&found), &mut Silent, &never).expect("trains");
        assert!(again.network.weights_safetensors() == whole.network.weights_safetensors(), "{file:?}");
    }
}

#[test]
fn training_that_was_over_only_scores_again() {
    let text = project().replace("early_stopping = { patience = 8 }", "early_stopping = { patience = 1 }");
    let both = Folder::new(&text, &points(300)).prepare();
    let (kept, never) = (Kept::new(), AtomicBool::new(false));
    let whole = kept.train(&both, None, &mut Silent, &never).expect("trains");
    let (last, _) = kept.newest(&both).expect("one of the end");
    assert_eq!((last.place(), last.history().len()), ((whole.history.len() + 1, 0), whole.history.len()));
    let again = Kept::new().train(&both, Some(&last), &mut Silent, &never).expect("scores");
    assert_eq!(again.history.len(), whole.history.len(), "no epoch was added");
    assert!(again.network.weights_safetensors() == whole.network.weights_safetensors(), "bit for bit");
    assert_eq!((again.kept_epoch, &again.scores), (whole.kept_epoch, &whole.scores));
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_used() {
    let both = Folder::new(&project(), &points(300)).prepare();
    let kept = Kept::new();
    let never = AtomicBool::new(false);
    kept.train(&both, None, &mut Silent, &never).expect("trains");
    let files = kept.checkpoints.newest_first().expect("listed");
    assert_eq!(files.len(), 3);
    for (at, damage) in [(0, "cut"), (1, "flipped"), (2, "swapped")] {
        let path = kept.checkpoints.path().join(&files[at].name);
        let mut bytes = std::fs::read(&path).expect("readable");
        match damage {
            "cut" => bytes.truncate(100),
            "flipped" => *bytes.last_mut().expect("not empty") ^= 1,
            _ => bytes = b"something else".to_vec(),
        }
        std::fs::write(&path, bytes).expect("written");
        match kept.newest(&both) {
            Ok((_, remarks)) => {
                assert_eq!(remarks.len(), at + 1);
                assert!(
                    remarks[at]
                        .contains(&format!("the checkpoint of step {} cannot be used", files[at].step))
                );
            }
            Err(error) => {
                assert_eq!(at, 2, "{error}");
                assert!(error.to_string().contains("all are damaged") && error.kind() == ErrorKind::NotFound);
            }
        }
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused_and_says_what_differs() {
    let both = Folder::new(&project(), &points(300)).prepare();
    let kept = Kept::new();
    let error = kept.newest(&both).expect_err("nothing there");
    assert!(matches!(error, TrainError::NoCheckpoint { damaged: 0, .. }) && error.hint().is_some());
    kept.train(&both, None, &mut Silent, &AtomicBool::new(false)).expect("trains");
    let check = |project: &str, rows: usize, want: &str| {
        let error = kept.newest(&Folder::new(project, &points(rows)).prepare()).expect_err(want);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.to_string(),
            format!("this run cannot be resumed: {want} changed since it was begun")
        );
        assert!(error.hint().is_some());
    };
    check(&project().replace("epochs = 9", "epochs = 10"), 300, "the project file");
    check(&project(), 301, "the data");
    check(&project().replace("units = 16", "units = 17"), 300, "the network and the project file");
}

#[test]
fn training_goes_on_where_no_checkpoint_can_be_written() {
    let both = Folder::new(&project(), &points(300)).prepare();
    let kept = Kept::new();
    std::fs::remove_dir_all(kept.folder.path()).expect("removed");
    let stop = AtomicBool::new(false);
    let mut progress = StopAfter { epoch: 99, stop: &stop, warnings: Vec::new() };
    kept.train(&both, None, &mut progress, &stop).expect("trains");
    assert!(progress.warnings.len() > 3, "{:?}", progress.warnings);
    assert!(progress.warnings[0].contains("no checkpoint could be written"), "{:?}", progress.warnings);
}

#[test]
fn a_divergence_keeps_the_last_good_weights_and_says_where() {
    // Grows past every number within some epochs: the warm-up keeps the first ones tame.
    let text = numbers()
        .replace(
            "{ type = \"adam\", learning_rate = 0.02 }",
            "{ type = \"sgd\", learning_rate = 1e30 }\nwarmup = { steps = 999999999 }",
        )
        .replace("units = 16, activation = \"tanh\"", "units = 16");
    let slow = text.replace("1e30", "2e7");
    let both = Folder::new(&slow, &points(300)).prepare();
    let kept = Kept::new();
    let error = kept.train(&both, None, &mut Silent, &AtomicBool::new(false)).expect_err("diverges");
    let TrainError::Diverged { epoch, step, kept: Some(weights), .. } = &error else {
        unreachable!("it diverges and keeps weights, not {error}: {:?}", error.hint())
    };
    assert!(*epoch > 1 && *step > 0 && weights.epoch + 1 == *epoch, "epoch {epoch}, kept {weights:?}");
    assert!(weights.file.is_file() && error.to_string().contains(&format!("epoch {epoch}, step {step}")));
    let hint = error.hint().expect("says what to try");
    assert!(hint.contains(&format!("the weights of epoch {} are kept in", weights.epoch)), "{hint}");
}
