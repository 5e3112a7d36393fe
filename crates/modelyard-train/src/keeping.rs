//! When checkpoints are written. One that cannot be written is told and training goes on: the older ones stay.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use modelyard_model::Network;
use modelyard_registry::{Checkpoints, RegistryError};
use modelyard_types::Clock;

use crate::checkpoint::{Best, Checkpoint, Identity};
use crate::fit::{Host, Job};
use crate::run::Run;

/// The file of the weights that were good before a divergence.
const GOOD_WEIGHTS: &str = "last-good.safetensors";

/// Writes checkpoints at the times that the project file sets.
pub(crate) struct Keeping<'a> {
    files: &'a Checkpoints,
    clock: &'a dyn Clock,
    identity: Identity,
    program: &'a str,
    every_steps: Option<u64>,
    every: Option<Duration>,
    last_step: u64,
    last: Instant,
    /// Whether there is a checkpoint to go on from.
    has_kept: bool,
}

impl<'a> Keeping<'a> {
    pub(crate) fn new(files: &'a Checkpoints, job: &Job<'a>, host: &Host<'a>) -> Self {
        let declared = job.project.training().checkpoint;
        Self {
            files,
            clock: host.clock,
            identity: Identity::of(job.project, job.prepared),
            program: host.program,
            every_steps: declared.every_steps,
            every: declared.interval(),
            last_step: 0,
            last: host.clock.now(),
            has_kept: job.resume.is_some(),
        }
    }

    /// Whether there is a checkpoint to go on from.
    pub(crate) fn has_kept(&self) -> bool {
        self.has_kept
    }

    /// Whether it is time for a checkpoint. The clock is only read where the caller's own has just been.
    pub(crate) fn is_due(&self, run: &Run<'_>, clock_is_read: bool) -> bool {
        let by_steps = self.every_steps.is_some_and(|every| run.steps_done() - self.last_step >= every);
        by_steps
            || clock_is_read
                && self.every.is_some_and(|every| self.clock.now().duration_since(self.last) >= every)
    }

    /// Writes a checkpoint of a run between two steps.
    ///
    /// # Errors
    /// Why it could not be written, in words.
    pub(crate) fn keep(&mut self, run: &Run<'_>, best: Option<&Best>) -> Result<(), String> {
        // Failed or not, the next one is not due at once.
        self.last_step = run.steps_done();
        self.last = self.clock.now();
        let engine = run.engine.save().map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint {
            identity: self.identity.clone(),
            program: self.program.to_owned(),
            threads: run.plan.threads,
            position: run.position.clone(),
            memory: run.memory.clone(),
            history: run.history.clone(),
            best: best.cloned(),
            order: run.order.clone(),
            engine,
        };
        let saved = self.files.save(run.steps_done(), &checkpoint.to_bytes());
        self.has_kept |= saved.is_ok();
        saved.map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("no checkpoint could be written ({error}{cause}); training goes on, older ones are kept")
        })
    }

    /// Keeps weights beside the checkpoints, and gives the file.
    pub(crate) fn keep_weights(&self, network: &Network) -> Result<PathBuf, RegistryError> {
        self.files.save_weights(GOOD_WEIGHTS, &network.weights_safetensors())?;
        Ok(self.files.path().join(GOOD_WEIGHTS))
    }
}
