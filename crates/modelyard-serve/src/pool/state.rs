//! What a pool's lock holds: the queue, the sessions that are free, and what is known of batches.

use std::time::Instant;

use modelyard_runtime::Session;

use super::Job;
use crate::batch::RowShape;
use crate::batch_cost::BatchCost;
use crate::rounds::Rounds;
use crate::scheduler::{Batch, Next, Scheduler};
use crate::target::Target;

/// All of it.
pub(super) struct State {
    pub(super) scheduler: Scheduler<RowShape, Job>,
    pub(super) target: Option<Target>,
    pub(super) cost: BatchCost,
    pub(super) rounds: Rounds,
    pub(super) sessions: Vec<Box<dyn Session>>,
    /// Most sessions.
    pub(super) sessions_max: usize,
    /// Sessions that exist or are being made.
    pub(super) sessions_made: usize,
    pub(super) threads: usize,
    pub(super) threads_idle: usize,
    pub(super) closed: bool,
}

impl State {
    /// An empty queue before these sessions; at most so many are made.
    pub(super) fn new(
        scheduler: Scheduler<RowShape, Job>,
        target: Option<Target>,
        cost: BatchCost,
        sessions: Vec<Box<dyn Session>>,
        sessions_max: usize,
    ) -> Self {
        Self {
            scheduler,
            target,
            cost,
            rounds: Rounds::default(),
            sessions_max: sessions_max.max(1),
            sessions_made: sessions.len(),
            sessions,
            threads: 0,
            threads_idle: 0,
            closed: false,
        }
    }

    /// Whether a request of so many rows is to wait a round for company.
    pub(super) fn waits_a_round(&mut self, rows: usize) -> bool {
        self.scheduler.may_gather(rows)
            && self.cost.is_short(self.scheduler.queued_rows() + rows)
            && self.rounds.waits(self.cost.company_pays(rows))
    }

    /// Batches that may be computed at once.
    pub(super) fn sessions_at_once(&self) -> usize {
        self.target.as_ref().map_or(self.sessions_max, Target::sessions)
    }

    /// Whether one more may begin.
    pub(super) fn may_begin(&self) -> bool {
        self.sessions_made - self.sessions.len() < self.sessions_at_once()
    }

    /// A session and a batch for the caller's own thread, where the queue's rows are known to be short work.
    pub(super) fn take_short(&mut self, now: Instant) -> Option<(Box<dyn Session>, Batch<Job>)> {
        if !self.may_begin() || !self.cost.is_short(self.scheduler.queued_rows()) {
            return None;
        }
        let session = self.sessions.pop()?;
        match self.scheduler.next_batch(now) {
            Next::Batch(batch) => Some((session, batch)),
            Next::WaitUntil(_) | Next::Idle => {
                self.sessions.push(session);
                None
            }
        }
    }
}
