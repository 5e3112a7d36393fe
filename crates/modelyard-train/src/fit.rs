//! Training a project: epochs of the run, early stopping, checkpoints on the way, and the scores of what came out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use modelyard_data::Pipeline;
use modelyard_model::Network;
use modelyard_registry::Checkpoints;
use modelyard_registry::document::Scores;
use modelyard_types::Clock;

use crate::checkpoint::{Best, Checkpoint};
use crate::error::{KeptWeights, TrainError};
use crate::keeping::Keeping;
use crate::prepare::Prepared;
use crate::progress::{EpochRecord, Progress};
use crate::project::Project;
use crate::run::Run;
use crate::scores::{calibrated, score_parts};

/// What training needs to know about where it runs.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The time.
    pub clock: &'a dyn Clock,
    /// How many threads train where the project file does not say.
    pub threads: usize,
    /// Name and version of the program, for the lineage.
    pub program: &'a str,
}

/// What is to be trained, and from where.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The project.
    pub project: &'a Project,
    /// Its data.
    pub prepared: &'a Prepared,
    /// Where checkpoints go; none are written without.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Where an earlier process stopped.
    pub resume: Option<&'a Checkpoint>,
}

impl<'a> Job<'a> {
    /// A job that begins at the beginning and keeps nothing.
    pub fn new(project: &'a Project, prepared: &'a Prepared) -> Self {
        Self { project, prepared, checkpoints: None, resume: None }
    }
}

/// What training made.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network with its weights.
    pub network: Network,
    /// The pipeline, with what validation rows told about the network's answers.
    pub pipeline: Pipeline,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// The epoch whose weights these are, from 1.
    pub kept_epoch: usize,
    /// The scores on every part, and the gates.
    pub scores: Scores,
    /// How many threads trained.
    pub threads: usize,
    /// How long training took, scoring excluded.
    pub elapsed: Duration,
}

/// Trains the project's network on prepared data.
///
/// # Errors
/// [`TrainError::Diverged`] where the loss or an answer is no longer a number, [`TrainError::Stopped`] soon after `stop` is set,
/// and whatever the engine or the pipeline refuse.
pub fn fit(
    job: &Job<'_>,
    host: &Host<'_>,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Trained, TrainError> {
    let mut fitting = Fitting::new(job, host)?;
    progress.started(&fitting.run.plan);
    // Between two epochs a checkpoint is only written when training is over.
    let mut is_over = job.resume.is_some() && fitting.run.position.mini_batches == 0;
    while !is_over {
        fitting.steps(progress, stop)?;
        let verdict = fitting.end_epoch(progress)?;
        is_over = verdict == Verdict::Stop || fitting.run.position.epoch > fitting.run.plan.epochs;
    }
    fitting.keep(progress);
    let Fitting { run, best, .. } = fitting;
    let kept_epoch =
        best.as_ref().filter(|best| best.network.is_some()).map_or(run.history.len(), |best| best.epoch);
    let network = best.and_then(|best| best.network).unwrap_or_else(|| run.engine.network());
    let elapsed = run.history.iter().map(|record| record.elapsed).sum();
    let threads = run.plan.threads;
    let scored = calibrated(job.prepared, &network, threads).and_then(|pipeline| {
        let scores = score_parts(job.project, job.prepared, &pipeline, &network, threads)?;
        Ok((pipeline, scores))
    });
    let (pipeline, scores) = scored.map_err(|error| run.judged(error))?;
    let history = run.history;
    Ok(Trained { network, pipeline, history, kept_epoch, scores, threads, elapsed })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Wait,
    Stop,
}

/// A run, what it keeps, and its best epoch so far.
struct Fitting<'a> {
    run: Run<'a>,
    keeping: Option<Keeping<'a>>,
    best: Option<Best>,
    /// The network after the last whole epoch, in case the next one diverges.
    last_good: Option<(usize, Network)>,
}

impl<'a> Fitting<'a> {
    fn new(job: &Job<'a>, host: &Host<'a>) -> Result<Self, TrainError> {
        let mut run = Run::new(job, host)?;
        let keeping = job.checkpoints.map(|files| Keeping::new(files, job, host));
        let best = match job.resume {
            Some(checkpoint) => {
                run.resume(checkpoint)?;
                checkpoint.best.clone()
            }
            None => None,
        };
        Ok(Self { run, keeping, best, last_good: None })
    }

    /// The rest of the epoch in which the run stands.
    fn steps(&mut self, progress: &mut dyn Progress, stop: &AtomicBool) -> Result<(), TrainError> {
        self.run.enter_epoch();
        while let Some(now) = self.run.step().map_err(|error| self.keep_good(error))? {
            if now.tell {
                progress.steps(&self.run.record());
            }
            let stopped = stop.load(Ordering::Relaxed);
            if stopped || self.keeping.as_ref().is_some_and(|keeping| keeping.is_due(&self.run, now.tell)) {
                self.keep(progress);
            }
            if stopped {
                let epoch = self.run.position.epoch;
                let resumable = self.keeping.as_ref().is_some_and(Keeping::has_kept);
                return Err(TrainError::Stopped { epoch, resumable });
            }
        }
        Ok(())
    }

    /// Writes a checkpoint, where they are kept; one that cannot be written is told.
    fn keep(&mut self, progress: &mut dyn Progress) {
        if let Some(keeping) = &mut self.keeping {
            let kept = keeping.keep(&self.run, self.best.as_ref());
            kept.unwrap_or_else(|error| progress.warning(&error));
        }
    }

    /// Validates, judges and records the epoch, and turns to the next.
    fn end_epoch(&mut self, progress: &mut dyn Progress) -> Result<Verdict, TrainError> {
        let (mut record, watched) = self.run.validate().map_err(|error| self.keep_good(error))?;
        let epoch = record.epoch;
        let verdict = self.judge(watched, epoch);
        record.best = verdict == Verdict::Better;
        progress.epoch(&record);
        self.run.end_epoch(record);
        if verdict == Verdict::Better {
            let stopping = self.run.training.early_stopping.as_ref();
            let network = stopping.is_some_and(|s| s.restore_best).then(|| self.run.engine.network());
            self.best = Some(Best { epoch, watched: watched.unwrap_or(f64::NAN), network });
        }
        if self.keeping.is_some() && self.best.as_ref().is_none_or(|best| best.network.is_none()) {
            self.last_good = Some((epoch, self.run.engine.network()));
        }
        Ok(verdict)
    }

    /// Whether an epoch is the best, one to wait through, or the last.
    fn judge(&self, watched: Option<f64>, epoch: usize) -> Verdict {
        let (Some(stopping), Some(watched)) = (&self.run.training.early_stopping, watched) else {
            return Verdict::Wait;
        };
        let Some(best) = &self.best else {
            return Verdict::Better;
        };
        let higher = stopping.watched().higher_is_better();
        let gain = if higher { watched - best.watched } else { best.watched - watched };
        if gain > stopping.min_delta || best.watched.is_nan() {
            Verdict::Better
        } else if epoch - best.epoch >= stopping.patience {
            Verdict::Stop
        } else {
            Verdict::Wait
        }
    }

    /// Keeps the last weights that were good when training has diverged, and adds to the error where they are.
    fn keep_good(&self, mut error: TrainError) -> TrainError {
        let (TrainError::Diverged { kept, .. }, Some(keeping)) = (&mut error, &self.keeping) else {
            return error;
        };
        let best = self.best.as_ref().and_then(|best| Some((best.epoch, best.network.as_ref()?)));
        let last = self.last_good.as_ref().map(|(epoch, network)| (*epoch, network));
        if let Some((epoch, network)) = best.or(last) {
            // What cannot be written is not told beside the divergence: the error then names no file.
            let file = keeping.keep_weights(network).ok();
            *kept = file.map(|file| KeptWeights { epoch, file });
        }
        error
    }
}
