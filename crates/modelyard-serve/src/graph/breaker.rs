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
    /// How often it opened.
    opened: u64,
}

/// Tells requests that were sent before a breaker opened from the one that tries it afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    opened: u64,
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
    /// A ticket where a request may go to the server now. Who is let through must tell how it went.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Ticket> {
        match self.state {
            State::Closed { .. } => {}
            State::Open { until } if now >= until => self.state = State::HalfOpen,
            State::Open { .. } | State::HalfOpen => return None,
        }
        Some(Ticket { opened: self.opened })
    }

    /// The server answered, be it with a refusal.
    pub(super) fn succeeded(&mut self, ticket: Ticket) {
        if self.counts(ticket) {
            self.state = State::default();
        }
    }

    /// The server failed; true where that opened the breaker.
    pub(super) fn failed(&mut self, now: Instant, ticket: Ticket) -> bool {
        if !self.counts(ticket) {
            return false;
        }
        let failures = match self.state {
            State::Closed { failures } => failures + 1,
            State::HalfOpen | State::Open { .. } => FAILURES_MAX,
        };
        let opens = failures >= FAILURES_MAX;
        self.opened += u64::from(opens);
        self.state = if opens { State::Open { until: now + REST } } else { State::Closed { failures } };
        opens
    }

    /// The request was given up before it was known how the server does: the next one may try.
    pub(super) fn abandoned(&mut self, now: Instant, ticket: Ticket) {
        if matches!(self.state, State::HalfOpen) && self.counts(ticket) {
            self.state = State::Open { until: now };
        }
    }

    /// Whether an outcome tells of the server as it is now: while requests wait for the one that tries it, those
    /// that were sent before do not.
    fn counts(&self, ticket: Ticket) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::HalfOpen => ticket.opened == self.opened,
            State::Open { .. } => false,
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
            let ticket = breaker.admit(now).expect("it is closed");
            assert_eq!(breaker.failed(now, ticket), failure == FAILURES_MAX);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = start();
        let mut breaker = Breaker::default();
        let ticket = breaker.admit(now).expect("it is closed");
        for _ in 0..3 {
            for _ in 1..FAILURES_MAX {
                assert!(!breaker.failed(now, ticket));
            }
            breaker.succeeded(ticket);
            assert!(breaker.admit(now).is_some());
        }
        assert_eq!(opened(now).admit(now), None);
    }

    #[test]
    fn after_its_rest_one_request_tries() {
        let now = start();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + REST / 2), None);
        let trial = breaker.admit(now + REST).expect("one may try");
        assert_eq!(breaker.admit(now + REST), None, "and only one");
        assert!(breaker.failed(now + REST, trial), "one failure is enough then");
        assert_eq!(breaker.admit(now + REST * 3 / 2), None);
        let trial = breaker.admit(now + REST * 2).expect("one may try again");
        breaker.succeeded(trial);
        assert!(breaker.admit(now + REST * 2).is_some() && breaker.admit(now + REST * 2).is_some());
    }

    #[test]
    fn a_trial_that_was_given_up_leaves_it_to_the_next() {
        let now = start();
        let mut breaker = opened(now);
        let trial = breaker.admit(now + REST).expect("one may try");
        breaker.abandoned(now + REST, trial);
        let trial = breaker.admit(now + REST).expect("the next one may");
        assert!(breaker.failed(now + REST, trial));
        assert_eq!(breaker.admit(now + REST), None);
        let mut closed = Breaker::default();
        let ticket = closed.admit(now).expect("it is closed");
        closed.abandoned(now, ticket);
        assert!(closed.admit(now).is_some());
    }

    #[test]
    fn what_was_sent_before_it_opened_decides_nothing_any_more() {
        let now = start();
        let early = Breaker::default().admit(now).expect("it is closed");
        let mut breaker = opened(now);
        assert!(!breaker.failed(now + REST / 2, early), "its rest is not prolonged");
        breaker.succeeded(early);
        assert_eq!(breaker.admit(now + REST / 2), None, "nor cut short");
        let trial = breaker.admit(now + REST).expect("one may try");
        breaker.succeeded(early);
        assert!(!breaker.failed(now + REST, early));
        breaker.abandoned(now + REST, early);
        assert_eq!(breaker.admit(now + REST), None, "the trial's outcome is awaited");
        breaker.succeeded(trial);
        assert!(breaker.admit(now + REST).is_some());
        assert!(!breaker.failed(now + REST, early), "one failure among others");
    }
}
