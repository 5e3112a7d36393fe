//! Keeps requests away from a server that fails: a pure state machine, told the time.
//!
//! After some failures in a row it opens and lets nothing through for a while; then one request may try, and
//! its outcome closes it or opens it again. Source: M. Nygard, Release It!, 2nd ed., "Circuit Breaker".

use std::time::{Duration, Instant};

/// Failures in a row after which a server rests.
const FAILURES_MAX: u32 = 5;
/// How long it rests before one request tries it again.
const REST: Duration = Duration::from_secs(1);

/// The breaker of one server.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One request is trying; its fate is awaited.
    HalfOpen,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a request may go to the server now. Who is let through must tell how it went.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen;
                true
            }
            State::Open { .. } | State::HalfOpen => false,
        }
    }

    /// The server answered, be it with a refusal.
    pub(super) fn succeeded(&mut self) {
        self.state = State::default();
    }

    /// The server failed; true where that opened the breaker.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let failures = match self.state {
            State::Closed { failures } => failures + 1,
            State::HalfOpen => FAILURES_MAX,
            // One that was sent before it opened.
            State::Open { .. } => return false,
        };
        let opens = failures >= FAILURES_MAX;
        self.state = if opens { State::Open { until: now + REST } } else { State::Closed { failures } };
        opens
    }

    /// The request was given up before it was known how the server does: the next one may try.
    pub(super) fn abandoned(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen) {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the one instant that the others are counted from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for failure in 1..=FAILURES_MAX {
            assert!(breaker.admit(now));
            assert_eq!(breaker.failed(now), failure == FAILURES_MAX);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = start();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert!(!breaker.failed(now));
            }
            breaker.succeeded();
            assert!(breaker.admit(now));
        }
        assert!(!opened(now).admit(now));
    }

    #[test]
    fn after_its_rest_one_request_tries() {
        let now = start();
        let mut breaker = opened(now);
        assert!(!breaker.admit(now + REST / 2));
        assert!(breaker.admit(now + REST), "one may try");
        assert!(!breaker.admit(now + REST), "and only one");
        assert!(breaker.failed(now + REST), "one failure is enough then");
        assert!(!breaker.admit(now + REST * 3 / 2));
        assert!(breaker.admit(now + REST * 2));
        breaker.succeeded();
        assert!(breaker.admit(now + REST * 2) && breaker.admit(now + REST * 2));
    }

    #[test]
    fn a_trial_that_was_given_up_leaves_it_to_the_next() {
        let now = start();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + REST));
        breaker.abandoned(now + REST);
        assert!(breaker.admit(now + REST));
        assert!(!breaker.failed(now + REST) || !breaker.admit(now + REST));
        let mut closed = Breaker::default();
        closed.abandoned(now);
        assert!(closed.admit(now));
    }

    #[test]
    fn failures_that_come_late_do_not_prolong_the_rest() {
        let now = start();
        let mut breaker = opened(now);
        assert!(!breaker.failed(now + REST / 2));
        assert!(breaker.admit(now + REST));
    }
}
