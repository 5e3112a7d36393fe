//! How many batches are computed at once, found by trying: sessions share processors, caches and memory, so that
//! one more may answer no more requests in time, and only make each of them wait longer. A pure state machine.
//!
//! What counts is the number of rows answered in time in a second while more work waits; without a backlog nothing
//! is learnt. It begins with all sessions and gives up those that do not pay; now and then it tries a neighbouring
//! number again, since what else the machine does may have changed.

use std::time::Instant;

/// Batches of each session that are measured together, and those before them that do not count because limits were
/// just changed.
const WINDOW: u32 = 24;
const SETTLING: u32 = 8;
/// A smaller number is kept where it answers this part of what the best one answers.
const GOOD_ENOUGH: f64 = 0.95;
/// What a new window weighs.
const NEW: f64 = 0.5;
/// Windows from one trial of a number that was tried before to the next.
const RETRY: u32 = 50;

/// Finds the number.
#[derive(Clone, Debug)]
pub(crate) struct Parallel {
    now: usize,
    /// Rows answered in time in a second with one session, with two, and so on to the most; none before a trial.
    goodput: Vec<Option<f64>>,
    settling: u32,
    window: Option<Window>,
    /// Windows since the last trial.
    calm: u32,
    /// Whether the next trial of a known number is of one more.
    up_next: bool,
    /// The number before the present one, where that is on trial.
    tried_from: Option<usize>,
}

/// What was answered under a backlog.
#[derive(Clone, Debug)]
struct Window {
    since: Instant,
    batches: u32,
    rows: usize,
}

impl Parallel {
    /// Begins with the most that are allowed.
    pub(crate) fn new(allowed: usize) -> Self {
        let allowed = allowed.max(1);
        Self {
            now: allowed,
            goodput: vec![None; allowed],
            settling: 0,
            window: None,
            calm: 0,
            up_next: false,
            tried_from: None,
        }
    }

    /// Batches that may be computed at once.
    pub(crate) fn now(&self) -> usize {
        self.now
    }

    /// Takes in a batch that ended at `at`: how many of its rows were answered in time, and whether more waited.
    pub(crate) fn observe(&mut self, at: Instant, rows_in_time: usize, backlog: bool) {
        if self.goodput.len() == 1 {
            return;
        }
        if !backlog {
            self.window = None;
            return;
        }
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        let Some(window) = &mut self.window else {
            self.window = Some(Window { since: at, batches: 0, rows: 0 });
            return;
        };
        window.batches += 1;
        window.rows += rows_in_time;
        let took = at.saturating_duration_since(window.since).as_secs_f64();
        if window.batches < WINDOW * self.now as u32 || took <= 0.0 {
            return;
        }
        let measured = window.rows as f64 / took;
        self.window = None;
        let known = &mut self.goodput[self.now - 1];
        *known = Some(known.map_or(measured, |before| before + NEW * (measured - before)));
        self.decide();
    }

    fn decide(&mut self) {
        self.calm += 1;
        let (best, now) = (self.best(), self.now);
        let tried_from = self.tried_from.take();
        if best != now {
            self.go(best);
        } else if let Some(next) = tried_from.and_then(|from| self.beyond(from)) {
            self.try_out(next);
        } else if now > 1 && self.goodput[now - 2].is_none() {
            self.try_out(now - 1);
        } else if self.calm >= RETRY {
            let up = self.up_next && now < self.goodput.len() || now == 1;
            self.up_next = !up;
            self.try_out(if up { now + 1 } else { now - 1 });
        }
    }

    /// The number after the present one, on the way from another: what paid once may pay twice.
    fn beyond(&self, from: usize) -> Option<usize> {
        let next = (2 * self.now).checked_sub(from)?;
        (1..=self.goodput.len()).contains(&next).then_some(next)
    }

    /// The smallest number that is nearly as good as any.
    fn best(&self) -> usize {
        let most = self.goodput.iter().flatten().fold(0.0, |most: f64, &goodput| most.max(goodput));
        let enough = |goodput: &Option<f64>| goodput.is_some_and(|goodput| goodput >= GOOD_ENOUGH * most);
        self.goodput.iter().position(enough).map_or(self.now, |at| at + 1)
    }

    fn try_out(&mut self, sessions: usize) {
        self.tried_from = Some(self.now);
        self.go(sessions);
    }

    fn go(&mut self, sessions: usize) {
        self.settling = SETTLING * self.now.max(sessions) as u32;
        self.calm = 0;
        self.now = sessions;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Batches of ten rows a millisecond each at `speed` times one session's pace, by the number of sessions; gives
    /// the numbers in the order they were kept, and how many batches each.
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
    fn play(parallel: &mut Parallel, batches: usize, speed: impl Fn(usize) -> f64) -> Vec<(usize, usize)> {
        let mut at = Instant::now();
        let mut kept: Vec<(usize, usize)> = Vec::new();
        for _ in 0..batches {
            let now = parallel.now();
            match kept.last_mut() {
                Some((sessions, count)) if *sessions == now => *count += 1,
                _ => kept.push((now, 1)),
            }
            at += Duration::from_secs_f64(1e-3 / speed(now));
            parallel.observe(at, 10, true);
        }
        kept
    }

    /// Batches that ran while so many sessions were kept.
    fn batches_with(kept: &[(usize, usize)], sessions: usize) -> usize {
        kept.iter().filter(|kept| kept.0 == sessions).map(|kept| kept.1).sum()
    }

    #[test]
    fn sessions_that_only_share_the_same_processor_are_given_up() {
        let mut parallel = Parallel::new(4);
        let kept = play(&mut parallel, 5_000, |_| 1.0);
        assert_eq!(kept.iter().take(4).map(|k| k.0).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert!(batches_with(&kept, 1) > 4_000, "{kept:?}");
    }

    #[test]
    fn sessions_that_pay_are_kept_and_those_beyond_are_not() {
        let mut parallel = Parallel::new(2);
        let kept = play(&mut parallel, 10_000, |sessions| sessions as f64);
        assert!(batches_with(&kept, 2) > 9_000, "{kept:?}");
        let mut parallel = Parallel::new(6);
        let kept = play(&mut parallel, 10_000, |sessions| sessions.min(3) as f64);
        assert!(batches_with(&kept, 3) > 8_000, "{kept:?}");
    }

    #[test]
    fn what_changes_is_noticed_in_both_directions() {
        let mut parallel = Parallel::new(3);
        play(&mut parallel, 2_000, |_| 1.0);
        assert_eq!(parallel.now(), 1);
        let kept = play(&mut parallel, 20_000, |sessions| sessions as f64);
        assert!(batches_with(&kept, 3) > 10_000, "{kept:?}");
        let kept = play(&mut parallel, 20_000, |sessions| 1.0 / sessions as f64);
        assert!(batches_with(&kept, 1) > 10_000, "{kept:?}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
    fn without_a_backlog_nothing_changes() {
        let mut parallel = Parallel::new(2);
        let start = Instant::now();
        (0..1_000).for_each(|at| parallel.observe(start + Duration::from_millis(at), 1, at % 20 > 0));
        assert_eq!(parallel.now(), 2);
    }
}
