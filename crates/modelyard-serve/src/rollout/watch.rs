//! What a canary did of late beside the default version, and whether that passes one of its limits. A pure
//! state machine: time is an argument, so that every order of events can be simulated.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use modelyard_registry::document::Guard;

/// Parts of the window, of which the oldest is forgotten as a whole.
const SLICES: u32 = 6;
/// The percentile of latency that is compared.
const PERCENTILE: f64 = 0.95;
/// Buckets of latency: eight to each doubling of nanoseconds, so that one is at most an eighth wide.
const BUCKETS: usize = 64 * 8;

/// Which of the two versions answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The one that answers by default.
    Default,
    /// The one on trial.
    Canary,
}

/// The limit that a canary passed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Breach {
    /// Too many of its requests failed.
    Errors { rate: f64, max: f64, requests: u64 },
    /// It is too slow.
    Latency { ratio: f64, max: f64 },
    /// Too many of its answers differ.
    Disagreement { rate: f64, max: f64, compared: u64 },
}

impl Breach {
    /// The kind, as the metric names it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Errors { .. } => "errors",
            Self::Latency { .. } => "latency",
            Self::Disagreement { .. } => "disagreement",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { rate, max, requests } => {
                write!(
                    f,
                    "{:.1} % of {requests} requests failed, at most {:.1} % may",
                    rate * 100.0,
                    max * 100.0
                )
            }
            Self::Latency { ratio, max } => {
                write!(
                    f,
                    "its 95th percentile of latency is {ratio:.2} times the default version's, at most {max} may be"
                )
            }
            Self::Disagreement { rate, max, compared } => {
                let (rate, max) = (rate * 100.0, max * 100.0);
                write!(f, "{rate:.1} % of {compared} answers differ, at most {max:.1} % may")
            }
        }
    }
}

struct Tally {
    requests: u64,
    failed: u64,
    latencies: Vec<u32>,
}

impl Tally {
    fn new() -> Self {
        Self { requests: 0, failed: 0, latencies: vec![0; BUCKETS] }
    }
}

/// A latency that so large a share of the answered requests did not pass, in nanoseconds.
fn percentile<'t>(tallies: impl Iterator<Item = &'t Tally> + Clone, share: f64) -> Option<f64> {
    let answered: u64 = tallies.clone().map(|tally| tally.requests - tally.failed).sum();
    let wanted = (answered as f64 * share).ceil() as u64;
    let mut seen = 0;
    let at = (0..BUCKETS).find(|&bucket| {
        seen += tallies.clone().map(|tally| u64::from(tally.latencies[bucket])).sum::<u64>();
        answered > 0 && seen >= wanted
    });
    at.map(middle)
}

/// The bucket of a latency.
fn bucket(took: Duration) -> usize {
    let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(8);
    let doublings = nanoseconds.ilog2();
    (doublings as usize) * 8 + ((nanoseconds >> (doublings - 3)) & 7) as usize
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> f64 {
    let (doublings, eighth) = (bucket / 8, bucket % 8);
    2f64.powi(i32::try_from(doublings).unwrap_or(i32::MAX)) * (1.0 + (eighth as f64 + 0.5) / 8.0)
}

struct Slice {
    since: Instant,
    default: Tally,
    canary: Tally,
    compared: u64,
    differed: u64,
}

/// What was seen within the window.
pub(crate) struct Watch {
    guard: Guard,
    slices: VecDeque<Slice>,
}

impl Watch {
    /// Nothing seen yet.
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard, slices: VecDeque::new() }
    }

    /// A request ended at `now`: `took` where it was answered, none where it failed by the version's own fault.
    pub(crate) fn ended(&mut self, now: Instant, part: Part, took: Option<Duration>) {
        let slice = self.slice(now);
        let tally = match part {
            Part::Default => &mut slice.default,
            Part::Canary => &mut slice.canary,
        };
        tally.requests += 1;
        match took {
            Some(took) => tally.latencies[bucket(took)] += 1,
            None => tally.failed += 1,
        }
    }

    /// An answer of the canary was held against the default version's.
    pub(crate) fn compared(&mut self, now: Instant, agreed: bool) {
        let slice = self.slice(now);
        slice.compared += 1;
        slice.differed += u64::from(!agreed);
    }

    /// The limit that is passed by what was seen within the window before `now`; none while too little was.
    pub(crate) fn verdict(&mut self, now: Instant) -> Option<Breach> {
        self.forget(now);
        let sum = |of: fn(&Slice) -> u64| self.slices.iter().map(of).sum::<u64>();
        let (requests, failed) = (sum(|s| s.canary.requests), sum(|s| s.canary.failed));
        let (compared, differed) = (sum(|s| s.compared), sum(|s| s.differed));
        let Guard { requests_min, error_rate_max, latency_ratio_max, disagreement_max, .. } = self.guard;
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        if requests >= requests_min
            && let Some(max) = error_rate_max
            && share(failed, requests) > max
        {
            return Some(Breach::Errors { rate: share(failed, requests), max, requests });
        }
        if compared >= requests_min
            && let Some(max) = disagreement_max
            && share(differed, compared) > max
        {
            return Some(Breach::Disagreement { rate: share(differed, compared), max, compared });
        }
        let (default, canary) =
            (self.slices.iter().map(|s| &s.default), self.slices.iter().map(|s| &s.canary));
        if requests.min(sum(|s| s.default.requests)) >= requests_min
            && let Some(max) = latency_ratio_max
            && let Some((own, other)) = percentile(canary, PERCENTILE).zip(percentile(default, PERCENTILE))
            && own > other * max
        {
            return Some(Breach::Latency { ratio: own / other, max });
        }
        None
    }

    fn slice(&mut self, now: Instant) -> &mut Slice {
        self.forget(now);
        let length = Duration::from_secs(self.guard.window_seconds) / SLICES;
        if self.slices.back().is_none_or(|last| now.saturating_duration_since(last.since) >= length) {
            let (default, canary) = (Tally::new(), Tally::new());
            self.slices.push_back(Slice { since: now, default, canary, compared: 0, differed: 0 });
        }
        self.slices.back_mut().expect("one was just added where there was none")
    }

    fn forget(&mut self, now: Instant) {
        let window = Duration::from_secs(self.guard.window_seconds);
        while self.slices.front().is_some_and(|first| now.saturating_duration_since(first.since) >= window) {
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
