//! The target beside a simulated server: sessions whose batches cost a line with noise, arrivals by chance, and
//! the real scheduler between the two. No clock is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::*;
use crate::config::ServeConfig;
use crate::scheduler::{Entry, Next, Scheduler};

/// A small generator of its own, so that a seed means the same steps for ever (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Seconds to the next of so many a second.
    fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.roll()).ln() / rate
    }
}

/// What became of the requests after the warm-up.
#[derive(Debug, Default)]
struct Outcome {
    answered: usize,
    late: usize,
    refused: usize,
    seconds: f64,
    /// Batches computed at once in the end.
    sessions: usize,
}

struct Model {
    fixed_s: f64,
    row_s: f64,
    sessions: usize,
    /// How many batches run at full speed at once; more share their time.
    processors: usize,
}

fn allowed() -> Kept {
    Kept { batch_rows_max: 64, batch_delay: Duration::ZERO, queue_rows_max: 8192 }
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
fn simulate(model: &Model, target: Duration, rate: f64, seed: u64, seconds: f64) -> Outcome {
    let origin = Instant::now();
    let at = |seconds: f64| origin + Duration::from_secs_f64(seconds);
    let mut dice = Dice(seed);
    let mut keeper = Target::new(target, model.sessions, allowed());
    let mut scheduler = Scheduler::new(ServeConfig::default().limits(true));
    scheduler.keep(keeper.limits());
    let mut outcome = Outcome::default();
    // Ends of batches that run: when, by nanoseconds, and which.
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut batches: Vec<(usize, f64, Vec<Duration>)> = Vec::new();
    let (mut now, mut next) = (0.0, dice.gap(rate));
    let mut wake = f64::INFINITY;
    while now < seconds {
        let ended =
            running.peek().map_or(f64::INFINITY, |Reverse((nanoseconds, _))| *nanoseconds as f64 / 1e9);
        now = next.min(ended).min(wake);
        if now == ended {
            let Reverse((_, which)) = running.pop().expect("it was looked at");
            let (rows, took, waits) = &batches[which];
            let (took_s, backlog) = (Duration::from_secs_f64(*took), scheduler.queued_rows() > 0);
            let ended = Ended { at: at(now), rows: *rows, took: took_s, backlog };
            keeper.observe(ended, waits.iter().map(|&waited| (1, waited)));
            scheduler.keep(keeper.limits());
            if now > seconds / 4.0 {
                let is_late = |waited: &&Duration| waited.as_secs_f64() + took > target.as_secs_f64();
                outcome.answered += waits.len();
                outcome.late += waits.iter().filter(is_late).count();
            }
        } else if now == next {
            let deadline = at(now + 60.0);
            let entry = Entry { shape: 0u8, priority: 100, rows: 1, deadline, work: () };
            let taken = scheduler.enqueue(at(now), entry).is_ok();
            outcome.refused += usize::from(!taken && now > seconds / 4.0);
            next = now + dice.gap(rate);
        }
        wake = f64::INFINITY;
        while running.len() < keeper.sessions() {
            match scheduler.next_batch(at(now)) {
                Next::Batch(batch) => {
                    let noise = 1.0 + 0.1 * dice.roll();
                    // As busy as it is at its start: simple, and it errs on both sides.
                    let shared = ((running.len() + 1) as f64 / model.processors as f64).max(1.0);
                    let took = (model.fixed_s + model.row_s * batch.rows as f64) * noise * shared;
                    running.push(Reverse((((now + took) * 1e9) as u64, batches.len())));
                    batches.push((
                        batch.rows,
                        took,
                        batch.members.iter().map(|member| member.waited).collect(),
                    ));
                }
                Next::WaitUntil(due) => {
                    wake = due.duration_since(origin).as_secs_f64().max(now + 1e-6);
                    break;
                }
                Next::Idle => break,
            }
        }
    }
    outcome.seconds = seconds * 0.75;
    outcome.sessions = keeper.sessions();
    outcome
}

/// Rows a second when every batch is full.
fn capacity(model: &Model, rows: f64) -> f64 {
    model.sessions.min(model.processors) as f64 * rows / (model.fixed_s + model.row_s * rows)
}

#[test]
fn the_target_is_kept_below_and_beyond_what_can_be_answered() {
    let target = Duration::from_millis(20);
    for (number, model) in [
        Model { fixed_s: 1e-3, row_s: 2e-4, sessions: 2, processors: 2 },
        Model { fixed_s: 2e-5, row_s: 1e-3, sessions: 1, processors: 1 },
        Model { fixed_s: 3e-3, row_s: 1e-5, sessions: 2, processors: 2 },
    ]
    .iter()
    .enumerate()
    {
        let fits = ((BATCH_SHARE * 0.02 - model.fixed_s) / model.row_s).clamp(1.0, 64.0).floor();
        for load in [0.2, 0.7, 1.5, 5.0] {
            let rate = load * capacity(model, fits);
            let outcome = simulate(model, target, rate, 7 + number as u64, 8.0);
            let late = outcome.late as f64 / outcome.answered.max(1) as f64;
            assert!(
                late <= LATE_MAX,
                "model {number}, load {load}: {late} of the answers are late, {outcome:?}"
            );
            let goodput = outcome.answered as f64 / outcome.seconds;
            let wanted = 0.7 * rate.min(capacity(model, fits));
            assert!(
                goodput >= wanted,
                "model {number}, load {load}: {goodput} of {wanted} a second, {outcome:?}"
            );
            let refused = outcome.refused as f64 / (rate * outcome.seconds);
            assert!(load > 1.0 || refused < 0.1, "model {number}, load {load}: {outcome:?}");
        }
    }
}

/// One that ended, with nothing behind it.
#[expect(clippy::disallowed_methods, reason = "an arbitrary instant; no test depends on its value")]
fn batch(rows: usize, took: Duration) -> Ended {
    Ended { at: Instant::now(), rows, took, backlog: false }
}

#[test]
fn limits_follow_the_cost_and_stay_within_what_is_allowed() {
    let mut keeper = Target::new(Duration::from_millis(10), 2, allowed());
    let first = keeper.limits();
    assert_eq!((first.batch_rows_max, first.queue_rows_max), (64, 128), "nothing is known yet");
    for rows in [1, 16, 4, 2].repeat(10) {
        keeper.observe(batch(rows, Duration::from_micros(100 * rows as u64)), std::iter::empty());
    }
    let cheap = keeper.limits();
    assert!((25..=35).contains(&cheap.batch_rows_max) && cheap.batch_delay.is_zero(), "{cheap:?}");
    for rows in [1, 8, 4, 2].repeat(40) {
        keeper.observe(batch(rows, Duration::from_millis(20 * rows as u64)), std::iter::empty());
    }
    let dear = keeper.limits();
    assert_eq!(dear.batch_rows_max, 1, "a row alone takes longer than the target: {dear:?}");
    assert!(dear.queue_rows_max >= 1, "one may always wait: {dear:?}");
}

#[test]
fn late_answers_tighten_the_limits_and_good_times_loosen_them() {
    let mut keeper = Target::new(Duration::from_millis(10), 1, allowed());
    let run = |keeper: &mut Target, waited_ms: u64| {
        let requests = std::iter::repeat_n((1, Duration::from_millis(waited_ms)), 10);
        keeper.observe(batch(10, Duration::from_millis(1)), requests);
    };
    (0..20).for_each(|_| run(&mut keeper, 1));
    let before = keeper.limits();
    (0..40).for_each(|_| run(&mut keeper, 50));
    let tight = keeper.limits();
    assert!(tight.queue_rows_max < before.queue_rows_max, "{tight:?} after {before:?}");
    (0..600).for_each(|_| run(&mut keeper, 1));
    assert_eq!(keeper.limits(), before);
}

#[test]
fn sessions_are_as_many_as_answer_more_in_time() {
    let target = Duration::from_millis(20);
    for (processors, sessions, wanted) in [(1, 4, 1..=1), (2, 2, 2..=2), (2, 4, 2..=2), (4, 4, 4..=4)] {
        let model = Model { fixed_s: 5e-4, row_s: 1e-4, sessions, processors };
        let rate = 2.0 * capacity(&model, 64.0);
        let outcome = simulate(&model, target, rate, 5, 10.0);
        let late = outcome.late as f64 / outcome.answered.max(1) as f64;
        assert!(late <= LATE_MAX, "{processors} processors, {sessions} sessions: {late} late, {outcome:?}");
        assert!(
            wanted.contains(&outcome.sessions),
            "{processors} processors, {sessions} sessions: {outcome:?}"
        );
        let goodput = outcome.answered as f64 / outcome.seconds;
        let fair = 0.6 * capacity(&model, 40.0);
        assert!(goodput >= fair, "{processors} processors, {sessions} sessions: {goodput} of {fair}");
    }
}
