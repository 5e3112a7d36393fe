//! What a row costs of late where each costs as much as the next, measured: it decides whose thread does the work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest that work may be expected to take where the caller's own thread does it: beyond half a
/// millisecond other connections on that thread would feel it.
pub(crate) const SHORT: Duration = Duration::from_micros(400);
const UNKNOWN: u64 = u64::MAX;

/// A moving average of nanoseconds a row.
pub(crate) struct RowCost(AtomicU64);

impl RowCost {
    /// Starts from a first measurement; without one, work counts as long.
    pub(crate) fn new(first: Option<Duration>) -> Self {
        Self(AtomicU64::new(first.map_or(UNKNOWN, nanoseconds)))
    }

    /// Whether this many rows are short work.
    pub(crate) fn is_short(&self, rows: usize) -> bool {
        self.0.load(Ordering::Relaxed).saturating_mul(rows as u64) <= nanoseconds(SHORT)
    }

    /// Takes in a measurement. Two at once may lose one of them, which does not matter to an average.
    pub(crate) fn observe(&self, rows: usize, took: Duration) {
        let row = nanoseconds(took) / rows.max(1) as u64;
        let before = self.0.load(Ordering::Relaxed);
        let cost = if before == UNKNOWN { row } else { before - before / 8 + row / 8 };
        self.0.store(cost, Ordering::Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_short_once_it_was_seen_to_be() {
        let cost = RowCost::new(None);
        assert!(!cost.is_short(1));
        cost.observe(10, Duration::from_micros(100));
        assert!(cost.is_short(40) && !cost.is_short(41));
        cost.observe(1, Duration::from_millis(10));
        assert!(!cost.is_short(1), "one long run makes it careful");
        for _ in 0..60 {
            cost.observe(10, Duration::from_micros(100));
        }
        assert!(cost.is_short(30), "and many short ones make it trust again");
    }
}
