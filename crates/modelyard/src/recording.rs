//! Keeps the record of a training run in the store: when it begins, while it trains, and how it ended.

use std::time::{Duration, UNIX_EPOCH};

use modelyard_registry::document::{Machine, RunFold, RunRecord, RunStatus};
use modelyard_registry::{Checkpoints, ModelVersion, OpenRun, Registry};
use modelyard_train::{Checkpoint, EpochRecord, Prepared, Progress, Project, RunPlan, StepRecord, Trained};
use modelyard_types::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::failure::{Exit, Failure};
use crate::progress::TrainingProgress;
use crate::training::PROGRAM;

/// A run that trains is written at most this often.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// How many runs back one to resume is looked for.
const RUNS_SEARCHED: u64 = 1000;

/// Which run to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// The newest of the project that did not finish.
    Newest,
    /// This one.
    Run(u64),
}

impl std::str::FromStr for Resume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "newest" => Ok(Self::Newest),
            number => number.parse().map(Self::Run).map_err(|_| "a run's number, or `newest`".to_owned()),
        }
    }
}

/// The record of the run that this process trains.
pub(crate) struct Recording {
    registry: Registry,
    open: OpenRun,
    /// The one copy: what changes is added in place, so that an epoch costs the same however many came before.
    record: watch::Sender<RunRecord>,
    writer: JoinHandle<()>,
}

impl Recording {
    /// Records a new run, which may be one of a backtest.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub(crate) async fn begin(
        registry: &Registry,
        project: &Project,
        prepared: &Prepared,
        fold: Option<RunFold>,
    ) -> Result<Self, Failure> {
        let record = RunRecord { fold, ..new_record(project, prepared) };
        let open = registry.begin_run(&record).await?;
        Ok(Self::watch(registry, open, record))
    }

    /// Opens the run to go on with, with the newest checkpoint that can be used, and remarks about those that
    /// cannot.
    ///
    /// # Errors
    /// No such run, none that can be resumed, or one of another project, network or data.
    pub(crate) async fn resume(
        registry: &Registry,
        project: &Project,
        prepared: &Prepared,
        which: Resume,
    ) -> Result<(Self, Checkpoint, Vec<String>), Failure> {
        let id = match which {
            Resume::Run(id) => id,
            Resume::Newest => newest_unfinished(registry, project).await?,
        };
        let open = registry.open_run(id).await?;
        let mut record = registry.run(id).await?.record;
        let checkpoints = open.checkpoints(1)?;
        let (checkpoint, remarks) = Checkpoint::newest(&checkpoints, project, prepared, PROGRAM)
            .map_err(|error| Failure::from(error).context(format!("cannot go on with run {id}")))?;
        record.status = RunStatus::Running;
        (record.ended_unix_ms, record.error) = (None, None);
        record.resumed_after.push(checkpoint.history().len() as u64);
        record.epochs = checkpoint.history().to_vec();
        registry.save_run(id, &record).await?;
        Ok((Self::watch(registry, open, record), checkpoint, remarks))
    }

    fn watch(registry: &Registry, open: OpenRun, record: RunRecord) -> Self {
        let (record, changed) = watch::channel(record);
        let writer = tokio::spawn(write_changes(registry.clone(), open.id(), changed));
        Self { registry: registry.clone(), open, record, writer }
    }

    /// The run's number.
    pub(crate) fn id(&self) -> u64 {
        self.open.id()
    }

    /// Where its checkpoints go.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub(crate) fn checkpoints(&self, project: &Project) -> Result<Checkpoints, Failure> {
        Ok(self.open.checkpoints(project.training().checkpoint.keep)?)
    }

    /// Records that training is over, and keeps the report.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub(crate) fn trained(&mut self, trained: &Trained, report: &str) -> Result<(), Failure> {
        self.record.send_modify(|record| {
            record.epochs.clone_from(&trained.history);
            record.kept_epoch = Some(trained.kept_epoch as u64);
            if let Some(test) = trained.scores.splits.get("test") {
                record.test = test.metrics.iter().map(|(name, found)| (name.clone(), found.value)).collect();
            }
        });
        self.open.write_report(report)?;
        Ok(())
    }

    /// Records how the run ended: well and mostly as a version, or with an error. A finished run needs its checkpoints no more; they
    /// go once the record says that it is finished.
    ///
    /// # Errors
    /// A store that cannot be written.
    pub(crate) async fn end(
        mut self,
        outcome: Result<Option<&ModelVersion>, &Failure>,
    ) -> Result<(), Failure> {
        // The writer is cut off between two writings or within one; a transaction is whole either way.
        self.writer.abort();
        let _ = (&mut self.writer).await;
        let mut record = self.record.borrow().clone();
        match outcome {
            Ok(version) => {
                record.status = RunStatus::Finished;
                record.version = version.map(|version| version.version.get());
            }
            Err(failure) => {
                let stopped = failure.exit == Exit::Interrupted;
                record.status = if stopped { RunStatus::Stopped } else { RunStatus::Failed };
                record.error = Some(failure.message());
            }
        }
        record.ended_unix_ms = Some(now_unix_ms());
        self.registry.save_run(self.open.id(), &record).await?;
        if outcome.is_ok()
            && let Err(error) = self.open.checkpoints(1).and_then(|checkpoints| checkpoints.clear())
        {
            tracing::warn!(run = self.open.id(), %error, "the run is finished, and its checkpoints could not be removed");
        }
        Ok(())
    }
}

/// Hears a run's progress, records its epochs and passes everything on to whoever shows it.
pub(crate) struct Recorded<'a> {
    pub(crate) shown: &'a mut TrainingProgress,
    pub(crate) recording: &'a mut Recording,
}

impl Progress for Recorded<'_> {
    fn started(&mut self, plan: &RunPlan) {
        self.recording.record.send_modify(|record| {
            record.machine.threads = u32::try_from(plan.threads).unwrap_or(u32::MAX);
            record.parameters = plan.parameters as u64;
            record.metric = plan.metric.to_owned();
        });
        self.shown.started(plan);
    }

    fn steps(&mut self, now: &StepRecord) {
        self.shown.steps(now);
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.recording.record.send_modify(|run| run.epochs.push(record.clone()));
        self.shown.epoch(record);
    }

    fn warning(&mut self, text: &str) {
        self.shown.warning(text);
    }
}

/// Writes what changes, off the thread that trains, with pauses in which changes come together.
async fn write_changes(registry: Registry, id: u64, mut changed: watch::Receiver<RunRecord>) {
    loop {
        tokio::time::sleep(WRITE_EVERY).await;
        if changed.changed().await.is_err() {
            return;
        }
        let record = changed.borrow_and_update().clone();
        if let Err(error) = registry.save_run(id, &record).await {
            tracing::warn!(run = id, %error, "the run's record could not be written");
        }
    }
}

async fn newest_unfinished(registry: &Registry, project: &Project) -> Result<u64, Failure> {
    let runs = registry.runs(RUNS_SEARCHED).await?;
    let unfinished = |status| !matches!(status, RunStatus::Finished | RunStatus::Running);
    let unfinished: Vec<_> = runs
        .iter()
        .filter(|run| run.record.project == project.name().as_str() && unfinished(run.record.status))
        .filter(|run| run.record.fold.is_none())
        .collect();
    let mut found = unfinished.first();
    for run in &unfinished {
        if registry.run_has_checkpoints(run.id)? {
            found = Some(run);
            break;
        }
    }
    found.map(|run| run.id).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no run of {} to go on with", project.name()))
            .hint("`modelyard runs list` shows them; without --resume, training begins anew")
    })
}

fn new_record(project: &Project, prepared: &Prepared) -> RunRecord {
    RunRecord {
        project: project.name().to_string(),
        status: RunStatus::Running,
        started_unix_ms: now_unix_ms(),
        ended_unix_ms: None,
        error: None,
        program: PROGRAM.to_owned(),
        machine: Machine {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            threads: 0,
        },
        processor: processor(),
        seed: project.training().seed,
        data_sha256: prepared.data_sha256.clone(),
        project_sha256: modelyard_train::project_digest(project),
        rows: prepared.parts.train.len() as u64,
        parameters: 0,
        start: prepared.start.as_ref().map(|start| start.record.clone()),
        fold: None,
        epochs_max: project.training().epochs as u64,
        metric: String::new(),
        resumed_after: Vec::new(),
        epochs: Vec::new(),
        kept_epoch: None,
        test: std::collections::BTreeMap::new(),
        version: None,
    }
}

fn now_unix_ms() -> u64 {
    let since_1970 = SystemClock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// The processor's name, where Linux tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
