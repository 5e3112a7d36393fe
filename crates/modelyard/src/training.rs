//! From a project to a published version, for `train` and `up` alike.

use std::path::Path;

use modelyard_registry::document::{RunFold, Scores};
use modelyard_registry::{ModelVersion, NewVersion, Origin, Registry, RegistryError};
use modelyard_runtime::ParityReport;
use modelyard_train::project::StartingPoint;
use modelyard_train::report as html_report;
use modelyard_train::{
    Checkpoint, Host, Job, Parent, Prepared, Project, Trained, data_digest, fingerprint, fit, package,
    prepare_from,
};
use modelyard_types::Alias;
use serde::{Deserialize, Serialize};

use crate::cli::GlobalArgs;
use crate::clock::SystemClock;
use crate::example::Example;
use crate::failure::{Exit, Failure};
use crate::live::Live;
use crate::output::Output;
use crate::progress::{TrainingProgress, seconds, thousands};
use crate::recording::{Recorded, Recording, Resume};
use crate::report::report;
use crate::signals::StopSignal;
use crate::wiring;

/// Name and version of this program, as the lineage of a version shows them.
pub(crate) const PROGRAM: &str = concat!("modelyard ", env!("CARGO_PKG_VERSION"));

/// What the registry keeps beside a version trained here, so that nothing has to be read again to serve it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// What decided the outcome: equal means that nothing has changed.
    fingerprint: String,
    /// A row to ask about.
    example: Option<Example>,
}

impl Summary {
    /// What is kept beside a version; none for imported ones.
    pub(crate) fn of(version: &ModelVersion) -> Option<Self> {
        serde_json::from_value(version.summary.clone()).ok()
    }

    /// A row to ask about.
    pub(crate) fn into_example(self) -> Option<Example> {
        self.example
    }
}

/// What a training run made.
pub(crate) struct Run {
    /// The published version.
    pub(crate) version: ModelVersion,
    /// Its scores and gates.
    pub(crate) scores: Scores,
    /// How the engines compared.
    pub(crate) parity: ParityReport,
    /// Epochs run, and the one whose weights were kept.
    pub(crate) epochs: (usize, usize),
    /// How long training took, in seconds.
    pub(crate) seconds: f64,
}

/// The newest version that was made from the same project file, data and program, if there is one.
///
/// # Errors
/// Data that cannot be read, or a store that cannot be used.
pub(crate) async fn unchanged(
    project: &Project,
    registry: &Registry,
) -> Result<Option<ModelVersion>, Failure> {
    let versions = match registry.versions(project.name()).await {
        Ok(versions) => versions,
        Err(RegistryError::NoSuchModel { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let parent = parent(project, registry).await?;
    let start = parent.as_ref().map(Parent::digest);
    let now = fingerprint(project, &data_digest(project)?, start, PROGRAM);
    let same =
        |version: &ModelVersion| Summary::of(version).is_some_and(|summary| summary.fingerprint == now);
    Ok(versions.into_iter().rev().find(same))
}

/// The model that a project's training starts from, where it names one.
///
/// # Errors
/// A model that is not there, is damaged or was not trained here.
pub(crate) async fn parent(project: &Project, registry: &Registry) -> Result<Option<Parent>, Failure> {
    let parent = match &project.training().start_from {
        None => return Ok(None),
        Some(StartingPoint::Folder(folder)) => Parent::of_folder(&project.folder().join(folder))?,
        Some(StartingPoint::Version(name, version)) => {
            let cannot = |error| Failure::from(error).context("training.start_from cannot be used");
            let found = registry.find(name, version).await.map_err(cannot)?;
            let files = registry.load(&found).await.map_err(cannot)?;
            let file = |name: &str| files.get(name).map(AsRef::as_ref);
            Parent::of_version(&found.name, found.version, &found.digest, file)?
        }
    };
    Ok(Some(parent))
}

/// Checks, trains, scores and publishes; moves no alias. The store keeps a record of the run, however it ends.
///
/// # Errors
/// Whatever is wrong with the project or its data; training that diverges or is stopped; an ONNX file that
/// answers otherwise than the network; a store that cannot be written; a run that cannot be resumed.
pub(crate) async fn train_and_publish(
    project: &Project,
    registry: &Registry,
    resume: Option<Resume>,
    trainer: &mut Trainer<'_>,
) -> Result<Run, Failure> {
    let parent = parent(project, registry).await?;
    let prepared = prepare_from(project, parent.as_ref())?;
    trainer.tell_plan(project, &prepared);
    let (mut recording, checkpoint) = match resume {
        None => (Recording::begin(registry, project, &prepared, None).await?, None),
        Some(which) => {
            let (recording, checkpoint, remarks) =
                Recording::resume(registry, project, &prepared, which).await?;
            trainer.tell_resumed(recording.id(), &checkpoint, &remarks);
            (recording, Some(checkpoint))
        }
    };
    let training = Training { project, prepared: &prepared, checkpoint: checkpoint.as_ref() };
    let made = training.run(registry, &mut recording, trainer).await;
    let recorded = recording.end(made.as_ref().map(|run| Some(&run.version))).await;
    let run = made?;
    recorded?;
    Ok(run)
}

/// What is trained, and where an earlier process stopped.
struct Training<'a> {
    project: &'a Project,
    prepared: &'a Prepared,
    checkpoint: Option<&'a Checkpoint>,
}

impl Training<'_> {
    /// Trains, compares the engines and publishes.
    async fn run(
        &self,
        registry: &Registry,
        recording: &mut Recording,
        trainer: &mut Trainer<'_>,
    ) -> Result<Run, Failure> {
        let (project, prepared) = (self.project, self.prepared);
        let host = Host { clock: &SystemClock, threads: trainer.threads, program: PROGRAM };
        let checkpoints = recording.checkpoints(project)?;
        let job = Job { project, prepared, checkpoints: Some(&checkpoints), resume: self.checkpoint };
        let trained = trainer.fit(&job, &host, recording)?;
        trainer.tell_outcome(&trained);
        recording.trained(&trained, &html_report(project, prepared, &trained)?)?;
        let runtimes = wiring::runtimes(trainer.global)?;
        let package = package(project, prepared, &trained, &runtimes, &host)?;
        trainer.output.remark(parity_sentence(&package.parity));
        let summary = Summary { fingerprint: package.fingerprint, example: Example::of(project, prepared) };
        let new = NewVersion {
            name: project.name().clone(),
            files: package.files,
            origin: Origin::Trained,
            gates_passed: trained.scores.gates_passed(),
            summary: serde_json::to_value(summary).expect("our own type serializes"),
            parent: prepared.start.as_ref().and_then(|start| start.parent_of(project.name())),
            by: wiring::caller(),
        };
        let version = registry.publish(new).await?;
        Ok(Run {
            version,
            parity: package.parity,
            epochs: (trained.history.len(), trained.kept_epoch),
            seconds: trained.elapsed.as_secs_f64(),
            scores: trained.scores,
        })
    }
}

/// Who trains: flags, streams, and the wish to stop.
pub(crate) struct Trainer<'a> {
    /// The global flags.
    pub(crate) global: &'a GlobalArgs,
    /// Threads, where the project file does not say.
    pub(crate) threads: usize,
    /// Ctrl-C.
    pub(crate) stop: &'a StopSignal,
    /// The streams.
    pub(crate) output: &'a mut Output,
}

impl Trainer<'_> {
    fn tell_plan(&mut self, project: &Project, prepared: &Prepared) {
        let parts = &prepared.parts;
        let (train, validation, test) = (parts.train.len(), parts.validation.len(), parts.test.len());
        self.output.remark(format!(
            "{}: {} rows ({train} to learn from, {validation} to decide when to stop, {test} to test)",
            project.name(),
            thousands(prepared.dataset.rows() as f64),
        ));
        if let Some(start) = &prepared.start {
            self.output.remark(format!("starts from {}", start.record));
        }
        for warning in &prepared.warnings {
            self.output.remark(format!("warning: {warning}"));
        }
    }

    fn tell_resumed(&mut self, run: u64, checkpoint: &Checkpoint, remarks: &[String]) {
        for remark in remarks {
            self.output.remark(format!("warning: {remark}"));
        }
        let (epoch, mini_batches) = checkpoint.place();
        self.output.remark(format!("run {run} goes on in epoch {epoch}, after {mini_batches} mini-batches"));
    }

    /// Trains and scores one of a backtest's networks, which is not published; gives the number of its run, too.
    ///
    /// # Errors
    /// As [`train_and_publish`].
    pub(crate) async fn train_fold(
        &mut self,
        project: &Project,
        prepared: &Prepared,
        registry: &Registry,
        fold: RunFold,
    ) -> Result<(u64, Trained), Failure> {
        self.tell_plan(project, prepared);
        let mut recording = Recording::begin(registry, project, prepared, Some(fold)).await?;
        let run = recording.id();
        let host = Host { clock: &SystemClock, threads: self.threads, program: PROGRAM };
        let trained = self.fit(&Job::new(project, prepared), &host, &mut recording).and_then(|trained| {
            recording.trained(&trained, &html_report(project, prepared, &trained)?)?;
            Ok(trained)
        });
        let recorded = recording.end(trained.as_ref().map(|_| None)).await;
        let trained = trained?;
        recorded?;
        Ok((run, trained))
    }

    fn fit(&mut self, job: &Job<'_>, host: &Host<'_>, recording: &mut Recording) -> Result<Trained, Failure> {
        let mut shown = TrainingProgress::new(self.output.is_quiet());
        let mut progress = Recorded { shown: &mut shown, recording };
        let trained = fit(job, host, &mut progress, self.stop.flag());
        shown.finish();
        Ok(trained?)
    }

    fn tell_outcome(&mut self, trained: &Trained) {
        let (run, kept) = (trained.history.len(), trained.kept_epoch);
        let kept = if kept == run { String::new() } else { format!(", kept the best, epoch {kept}") };
        self.output.remark(format!("trained {run} epochs in {}{kept}\n", seconds(trained.elapsed)));
        self.output.text(report(&trained.scores));
        self.output.text("");
    }
}

fn parity_sentence(parity: &ParityReport) -> String {
    let others: Vec<String> = parity
        .differences
        .iter()
        .map(|other| format!("{} (largest difference {:.1e})", other.runtime, other.scaled_max))
        .collect();
    format!("the ONNX file answers as the trained network does on real rows: {}", others.join(", "))
}

/// What `train` and `up` print with `--json`.
#[derive(Serialize)]
pub(crate) struct RunJson {
    model: String,
    version: u64,
    digest: String,
    store: std::path::PathBuf,
    trained: bool,
    epochs: Option<usize>,
    kept_epoch: Option<usize>,
    seconds: Option<f64>,
    scores: Scores,
    parity: Vec<ParityJson>,
    gates_passed: bool,
    live: bool,
    #[serde(flatten)]
    pub(crate) serving: Option<ServingJson>,
}

/// The part of [`RunJson`] that `up` adds once it listens.
#[derive(Serialize)]
pub(crate) struct ServingJson {
    pub(crate) address: String,
    pub(crate) url: String,
    pub(crate) curl: Option<String>,
}

#[derive(Serialize)]
struct ParityJson {
    engine: &'static str,
    difference: f64,
}

impl RunJson {
    /// The result of a training run.
    pub(crate) fn trained(run: &Run, live: Live, store: &Path) -> Self {
        let engine =
            |d: &modelyard_runtime::Difference| ParityJson { engine: d.runtime, difference: d.scaled_max };
        Self {
            trained: true,
            epochs: Some(run.epochs.0),
            kept_epoch: Some(run.epochs.1),
            seconds: Some(run.seconds),
            parity: run.parity.differences.iter().map(engine).collect(),
            ..Self::unchanged(&run.version, run.scores.clone(), live, store)
        }
    }

    /// A version that needed no training.
    pub(crate) fn unchanged(version: &ModelVersion, scores: Scores, live: Live, store: &Path) -> Self {
        Self {
            model: version.name.to_string(),
            version: version.version.get(),
            digest: version.digest.clone(),
            store: store.to_owned(),
            trained: false,
            epochs: None,
            kept_epoch: None,
            seconds: None,
            parity: Vec::new(),
            gates_passed: version.gates_passed,
            live: live == Live::Yes,
            scores,
            serving: None,
        }
    }
}

/// The scores of a version in the registry.
///
/// # Errors
/// A version that is damaged or has none.
pub(crate) async fn scores_of(registry: &Registry, version: &ModelVersion) -> Result<Scores, Failure> {
    let Some(bytes) = registry.load_file(version, Scores::FILE).await? else {
        return Ok(Scores::default());
    };
    Ok(Scores::from_json(&bytes).map_err(RegistryError::from)?)
}

/// The failure for a version that missed a gate: it is published, and nothing points at it.
pub(crate) async fn gate_missed(registry: &Registry, version: &ModelVersion, store: &Path) -> Failure {
    let (name, number) = (&version.name, version.version);
    let live = registry.find(name, &modelyard_types::VersionSelector::Alias(Alias::live())).await;
    let stays = match live {
        Ok(live) => format!("version {} stays live", live.version),
        Err(_) => "no version is live".to_owned(),
    };
    let store = store.display();
    Failure::new(
        Exit::GateMissed,
        format!("version {number} of {name} missed a gate: nothing was promoted, {stays}"),
    )
    .hint(format!(
        "it is kept for inspection: modelyard models show {name} {number} --store {store}\n\
             make it live all the same: modelyard models promote {name} {number} --force --store {store}"
    ))
}
