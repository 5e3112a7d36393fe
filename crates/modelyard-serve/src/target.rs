//! From a latency to be kept, to the limits: how many rows ride together, how long a request may wait for company,
//! how many may wait at all, and how many batches are computed at once (see [`crate::parallel`]). A pure state
//! machine: time comes in, limits come out.
//!
//! A request that just missed a batch waits for that batch, rides in its own, and waits behind what is queued
//! before it. What a batch takes is learnt as a line, `fixed + row · rows`, by least squares that forget, so the
//! limits follow from the target; a margin is taken off it while requests come in late, and given back slowly.

use std::time::{Duration, Instant};

use crate::parallel::Parallel;
use crate::scheduler::Kept;

/// What a new measurement weighs, once there are some.
const NEW: f64 = 0.05;
/// Requests from which the share of late ones is told.
const WINDOW: u32 = 200;
/// The share that may be late: a p99.
const LATE_MAX: f64 = 0.01;
/// The parts of the budget that are taken off when too many were late, and given back in a window without any.
const STEP_DOWN: f64 = 0.8;
const STEP_UP: f64 = 1.1;
const MARGIN_MIN: f64 = 0.4;
/// A batch may take this share of the budget: one that is just missed, and the own one.
const BATCH_SHARE: f64 = 0.3;
/// Waiting for company may take this share, where company pays.
const DELAY_SHARE: f64 = 0.1;
/// Company pays where a batch costs as much as this many rows before its first.
const PAYS_FROM_ROWS: f64 = 4.0;
/// A batch may be this many times as large as the largest of late.
const GROWTH: f64 = 2.0;
/// Batches measured before the limits are set by them.
const MEASURED_MIN: u32 = 8;

/// Keeps a target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    budget_s: f64,
    parallel: Parallel,
    allowed: Kept,
    cost: Cost,
    margin: f64,
    seen: u32,
    late: u32,
}

/// A batch that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// When.
    pub(crate) at: Instant,
    /// Its rows.
    pub(crate) rows: usize,
    /// What it took.
    pub(crate) took: Duration,
    /// Whether more waited then.
    pub(crate) backlog: bool,
}

/// Moments of batches' rows and seconds, forgetting.
#[derive(Clone, Debug, Default)]
struct Cost {
    count: u32,
    rows: f64,
    seconds: f64,
    rows_rows: f64,
    rows_seconds: f64,
    /// The largest of late.
    rows_max: f64,
}

impl Cost {
    fn observe(&mut self, rows: f64, seconds: f64) {
        self.count = self.count.saturating_add(1);
        let new = NEW.max(1.0 / f64::from(self.count));
        let towards = |average: &mut f64, value: f64| *average += new * (value - *average);
        towards(&mut self.rows, rows);
        towards(&mut self.seconds, seconds);
        towards(&mut self.rows_rows, rows * rows);
        towards(&mut self.rows_seconds, rows * seconds);
        self.rows_max = rows.max((1.0 - NEW) * self.rows_max);
    }

    /// Seconds of a batch before its first row, and of each row.
    fn line(&self) -> (f64, f64) {
        let spread = self.rows_rows - self.rows * self.rows;
        let mean_row = self.seconds / self.rows.max(1.0);
        if spread < 1e-3 {
            // Batches of one size tell no line: most is taken to come before the first row, until larger ones,
            // which may be twice as large at once, show otherwise.
            return (0.9 * self.seconds, 0.1 * mean_row);
        }
        let slope = (self.rows_seconds - self.rows * self.seconds) / spread;
        let row = slope.clamp(0.05 * mean_row, mean_row);
        ((self.seconds - row * self.rows).max(0.0), row)
    }
}

impl Target {
    /// For at most so many sessions at once, within the limits that are allowed.
    pub(crate) fn new(target: Duration, sessions: usize, allowed: Kept) -> Self {
        Self {
            budget_s: target.as_secs_f64(),
            parallel: Parallel::new(sessions),
            allowed,
            cost: Cost::default(),
            margin: 1.0,
            seen: 0,
            late: 0,
        }
    }

    /// Takes in a batch that ended: the rows of each of its requests, and how long it had waited.
    pub(crate) fn observe(&mut self, batch: Ended, requests: impl Iterator<Item = (usize, Duration)>) {
        self.cost.observe(batch.rows as f64, batch.took.as_secs_f64());
        let mut rows_in_time = 0;
        for (rows, waited) in requests {
            self.seen += 1;
            if (waited + batch.took).as_secs_f64() > self.budget_s {
                self.late += 1;
            } else {
                rows_in_time += rows;
            }
        }
        self.parallel.observe(batch.at, rows_in_time, batch.backlog);
        if self.seen >= WINDOW {
            let share = f64::from(self.late) / f64::from(self.seen);
            if share > LATE_MAX {
                self.margin = (self.margin * STEP_DOWN).max(MARGIN_MIN);
            } else if self.late == 0 {
                self.margin = (self.margin * STEP_UP).min(1.0);
            }
            (self.seen, self.late) = (0, 0);
        }
    }

    /// Batches that may be computed at once.
    pub(crate) fn sessions(&self) -> usize {
        self.parallel.now()
    }

    /// The limits that keep the target, never beyond what is allowed.
    pub(crate) fn limits(&self) -> Kept {
        if self.cost.count < MEASURED_MIN {
            // What a row costs is not known: no more wait than one round of batches takes in.
            let round = self.allowed.batch_rows_max.saturating_mul(self.sessions());
            let queue_rows_max = self.allowed.queue_rows_max.min(round);
            return Kept { batch_delay: Duration::ZERO, queue_rows_max, ..self.allowed };
        }
        let (fixed, row) = self.cost.line();
        let budget = self.margin * self.budget_s;
        let fits = (BATCH_SHARE * budget - fixed) / row.max(1e-9);
        let tried = (GROWTH * self.cost.rows_max).min(self.allowed.batch_rows_max as f64);
        let rows = fits.min(tried).max(1.0).floor();
        let batch = fixed + row * rows;
        let pays = fixed >= PAYS_FROM_ROWS * row && rows > 1.0;
        let delay = if pays { DELAY_SHARE * budget } else { 0.0 };
        // Behind what runs already, and before the own batch.
        let turns = ((budget - delay) / batch - 2.0).max(1.0);
        let queue = (self.sessions() as f64 * rows * turns).clamp(1.0, self.allowed.queue_rows_max as f64);
        Kept {
            batch_rows_max: rows as usize,
            batch_delay: Duration::from_secs_f64(delay),
            queue_rows_max: queue as usize,
        }
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
