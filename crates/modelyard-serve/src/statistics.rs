//! What one version did since it was loaded, in sums that only grow: the numbers behind the protocol's
//! statistics, which clients read twice and subtract.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How often.
    pub count: u64,
    /// How long, in nanoseconds.
    pub nanoseconds: u64,
}

/// How long the parts of one request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From its arrival in the queue to the start of its batch.
    pub queue: Duration,
    /// The run of its batch.
    pub compute: Duration,
}

impl std::ops::AddAssign for Times {
    fn add_assign(&mut self, more: Self) {
        self.queue += more.queue;
        self.compute += more.compute;
    }
}

/// The sums of one loaded version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Requests that were answered, from their arrival at the version to their answer.
    pub success: Total,
    /// Requests that were answered with an error.
    pub failure: Total,
    /// Time that requests waited for their batch.
    pub queue: Total,
    /// Time that the session took, counted for each request of a batch.
    pub compute: Total,
    /// Rows computed.
    pub rows: u64,
    /// Batches computed.
    pub batches: u64,
    /// When the last batch ended, in milliseconds since 1970; 0 before the first.
    pub last_batch_unix_ms: u64,
}

#[derive(Default)]
struct Tally {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Tally {
    fn add(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn total(&self) -> Total {
        let (count, nanoseconds) = (&self.count, &self.nanoseconds);
        Total { count: count.load(Ordering::Relaxed), nanoseconds: nanoseconds.load(Ordering::Relaxed) }
    }
}

/// The sums while they grow, written to by every thread.
#[derive(Default)]
pub(crate) struct Tallies {
    success: Tally,
    failure: Tally,
    queue: Tally,
    compute: Tally,
    rows: AtomicU64,
    batches: AtomicU64,
    last_batch_unix_ms: AtomicU64,
}

impl Tallies {
    /// A request ended.
    pub(crate) fn ended(&self, answered: bool, took: Duration) {
        if answered { self.success.add(took) } else { self.failure.add(took) }
    }

    /// A request waited for its batch, which then took `computed`.
    pub(crate) fn rode(&self, waited: Duration, computed: Duration) {
        self.queue.add(waited);
        self.compute.add(computed);
    }

    /// A batch of this many rows ended now.
    pub(crate) fn batch(&self, rows: usize, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last_batch_unix_ms.store(unix_ms, Ordering::Relaxed);
    }

    /// The sums so far.
    pub(crate) fn read(&self) -> Statistics {
        Statistics {
            success: self.success.total(),
            failure: self.failure.total(),
            queue: self.queue.total(),
            compute: self.compute.total(),
            rows: self.rows.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            last_batch_unix_ms: self.last_batch_unix_ms.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_only_grow() {
        let tallies = Tallies::default();
        tallies.ended(true, Duration::from_micros(5));
        tallies.ended(true, Duration::from_micros(7));
        tallies.ended(false, Duration::from_micros(1));
        tallies.rode(Duration::from_micros(2), Duration::from_micros(3));
        tallies.batch(4, UNIX_EPOCH + Duration::from_millis(1234));
        let read = tallies.read();
        assert_eq!(read.success, Total { count: 2, nanoseconds: 12_000 });
        assert_eq!(read.failure.count, 1);
        assert_eq!((read.queue.nanoseconds, read.compute.nanoseconds), (2_000, 3_000));
        assert_eq!((read.rows, read.batches, read.last_batch_unix_ms), (4, 1, 1234));
    }
}
