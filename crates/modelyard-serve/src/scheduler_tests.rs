//! Small cases by hand, properties, and a seeded simulation of the scheduler against a plain ledger.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
fn origin() -> Instant {
    Instant::now()
}

fn limits(batch_rows_max: usize, delay_ms: u32, queue_rows_max: usize) -> Limits {
    let (batch_delay, preferred_rows) = (MS * delay_ms, Vec::new());
    Limits { batch_rows_max, batch_delay, preferred_rows, queue_rows_max }
}

fn entry(shape: u8, rows: usize, deadline: Instant, work: u64) -> Entry<u8, u64> {
    Entry { shape, priority: 1, rows, deadline, work }
}

/// The works of a batch, or how long to wait in milliseconds, or nothing.
fn told(next: Next<u64>, t0: Instant) -> String {
    match next {
        Next::Batch(batch) => format!("{:?}", batch.members.iter().map(|m| m.work).collect::<Vec<_>>()),
        Next::WaitUntil(at) => format!("wait {}", (at - t0).as_millis()),
        Next::Idle => "idle".to_owned(),
    }
}

#[test]
fn equal_shapes_ride_together_in_order_and_others_apart() {
    let t0 = origin();
    let mut scheduler = Scheduler::new(limits(4, 0, 100));
    for (shape, rows, work) in [(1, 1, 10), (2, 1, 20), (1, 2, 11), (1, 2, 12), (2, 9, 21), (2, 1, 22)] {
        scheduler.enqueue(t0, entry(shape, rows, t0 + MS, work)).expect("there is room");
    }
    assert_eq!(scheduler.queued_rows(), 16);
    let order: Vec<String> = (0..6).map(|_| told(scheduler.next_batch(t0), t0)).collect();
    assert_eq!(order, ["[10, 11]", "[20]", "[12]", "[21]", "[22]", "idle"]);
    assert_eq!(scheduler.queued_rows(), 0);
}

#[test]
fn a_group_waits_for_company_until_it_is_full_or_due() {
    let t0 = origin();
    let mut scheduler = Scheduler::new(limits(2, 5, 100));
    scheduler.enqueue(t0, entry(1, 1, t0 + 100 * MS, 1)).expect("there is room");
    assert_eq!(told(scheduler.next_batch(t0), t0), "wait 5");
    scheduler.enqueue(t0 + MS, entry(1, 1, t0 + 100 * MS, 2)).expect("there is room");
    assert_eq!(told(scheduler.next_batch(t0 + MS), t0), "[1, 2]");
    scheduler.enqueue(t0 + MS, entry(1, 1, t0 + 3 * MS, 3)).expect("there is room");
    assert_eq!(told(scheduler.next_batch(t0 + 2 * MS), t0), "wait 3", "it expires before it is due");
    assert_eq!(scheduler.take_expired(t0 + 3 * MS), [3]);
    assert_eq!(told(scheduler.next_batch(t0 + 3 * MS), t0), "idle");
}

#[test]
fn a_preferred_number_of_rows_goes_without_waiting() {
    let t0 = origin();
    let preferred = Limits { preferred_rows: vec![2, 4], ..limits(8, 5, 100) };
    let mut scheduler = Scheduler::new(preferred);
    let add = |scheduler: &mut Scheduler<u8, u64>, works: &[u64]| {
        for &work in works {
            scheduler.enqueue(t0, entry(1, 1, t0 + 100 * MS, work)).expect("there is room");
        }
    };
    add(&mut scheduler, &[1]);
    assert_eq!(told(scheduler.next_batch(t0), t0), "wait 5");
    add(&mut scheduler, &[2, 3]);
    assert_eq!(told(scheduler.next_batch(t0), t0), "[1, 2]", "the greatest preferred number that is there");
    assert_eq!(told(scheduler.next_batch(t0), t0), "wait 5");
    add(&mut scheduler, &[4, 5, 6, 7]);
    assert_eq!(told(scheduler.next_batch(t0), t0), "[3, 4, 5, 6]");
    add(&mut scheduler, &[8, 9]);
    assert_eq!(told(scheduler.next_batch(t0 + 5 * MS), t0), "[7, 8, 9]", "what is due takes all along");
}

#[test]
fn only_what_would_go_at_once_and_leaves_room_may_gather() {
    let t0 = origin();
    let mut scheduler = Scheduler::new(limits(4, 0, 100));
    assert!(scheduler.may_gather(3) && !scheduler.may_gather(4), "four rows are a full batch");
    scheduler.enqueue(t0, entry(1, 2, t0 + MS, 1)).expect("there is room");
    assert!(scheduler.may_gather(1) && !scheduler.may_gather(2));
    assert!(!Scheduler::<u8, u64>::new(limits(4, 5, 100)).may_gather(1), "the delay gathers");
    let preferred = Limits { preferred_rows: vec![2, 4], ..limits(8, 0, 100) };
    let scheduler = Scheduler::<u8, u64>::new(preferred);
    assert!(scheduler.may_gather(1) && !scheduler.may_gather(2), "two are as many as are waited for");
    assert!(!Scheduler::<u8, u64>::new(limits(1, 0, 100)).may_gather(1), "nothing is joined");
}

#[test]
fn the_first_priority_goes_first_and_joins_its_own_only() {
    let t0 = origin();
    let mut scheduler = Scheduler::new(limits(4, 0, 100));
    for (priority, work) in [(3, 30), (1, 10), (2, 20), (1, 11), (3, 31)] {
        let entry = Entry { priority, ..entry(1, 1, t0 + MS, work) };
        scheduler.enqueue(t0, entry).expect("there is room");
    }
    let order: Vec<String> = (0..4).map(|_| told(scheduler.next_batch(t0), t0)).collect();
    assert_eq!(order, ["[10, 11]", "[20]", "[30, 31]", "idle"]);
}

#[test]
fn a_full_queue_refuses_and_forgets_what_expired_or_was_cancelled() {
    let t0 = origin();
    let mut scheduler = Scheduler::new(limits(4, 0, 3));
    let first = scheduler.enqueue(t0, entry(1, 2, t0 + MS, 1)).expect("there is room");
    let full = scheduler.enqueue(t0, entry(1, 2, t0 + MS, 2));
    assert_eq!(full, Err((Refusal::QueueFull, 2)));
    assert_eq!(scheduler.enqueue(t0, entry(1, 1, t0, 3)), Err((Refusal::Expired, 3)));
    assert_eq!(scheduler.cancel(first), Some(1));
    assert_eq!(scheduler.cancel(first), None);
    scheduler.enqueue(t0, entry(1, 3, t0 + MS, 4)).expect("the cancelled one made room");
    assert!(scheduler.is_full(t0) && !scheduler.is_full(t0 + MS), "what expired makes room");
    scheduler.enqueue(t0 + MS, entry(1, 3, t0 + 5 * MS, 5)).expect("the expired one made room");
    assert_eq!(scheduler.take_expired(t0 + MS), [4]);
    assert_eq!(told(scheduler.next_batch(t0 + MS), t0), "[5]");
}

/// A small generator of its own, so that a seed means the same steps forever (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

#[derive(Clone, Copy)]
struct Known {
    ticket: Ticket,
    shape: u8,
    priority: u8,
    rows: usize,
    deadline: Instant,
}

/// Plays `steps` random events and checks each answer against a ledger of what is waiting.
fn simulate(seed: u64, steps: u32, limits: Limits) {
    let mut dice = Dice(seed | 1);
    let mut now = origin();
    let mut scheduler = Scheduler::new(limits.clone());
    let mut waiting: BTreeMap<u64, Known> = BTreeMap::new();
    let mut next_work = 0;
    for step in 0..steps {
        let context = format!("seed {seed}, step {step}, {limits:?}");
        match dice.roll(10) {
            0..=4 => {
                let deadline = now + MS * dice.roll(30) as u32;
                let (shape, rows) = (dice.roll(6) as u8, 1 + dice.roll(8) as usize);
                let priority = 1 + dice.roll(3) as u8;
                let held: usize = waiting.values().filter(|k| k.deadline > now).map(|k| k.rows).sum();
                let fits = held + rows <= limits.queue_rows_max;
                let entry = Entry { priority, ..entry(shape, rows, deadline, next_work) };
                match scheduler.enqueue(now, entry) {
                    Ok(ticket) => {
                        assert!(fits && deadline > now, "{context}: accepted too much");
                        waiting.insert(next_work, Known { ticket, shape, priority, rows, deadline });
                    }
                    Err((Refusal::Expired, _)) => assert!(deadline <= now, "{context}: not expired"),
                    Err((Refusal::QueueFull, _)) => assert!(!fits, "{context}: there was room"),
                }
                next_work += 1;
            }
            5 => {
                let Some((&work, known)) = waiting.iter().nth(dice.roll(1 + waiting.len() as u64) as usize)
                else {
                    continue;
                };
                let seen = scheduler.get_mut(known.ticket).copied();
                assert_eq!(scheduler.any(|&waits| waits == work), seen.is_some(), "{context}: any");
                let cancelled = scheduler.cancel(known.ticket);
                assert_eq!(seen, cancelled, "{context}: seen, but not to be had");
                // One that expired inside the machine, and was not collected yet, still comes out as expired.
                if let Some(got) = cancelled {
                    assert_eq!(got, work, "{context}: another one was cancelled");
                    waiting.remove(&work);
                } else {
                    assert!(known.deadline <= now, "{context}: a waiting one was lost");
                }
            }
            6 => now += Duration::from_micros(dice.roll(4000)),
            7 => take_expired(&mut scheduler, &mut waiting, now, &context),
            _ => check_next(&mut scheduler, &mut waiting, now, &context),
        }
    }
    now += MS * 1000;
    take_expired(&mut scheduler, &mut waiting, now, "at the end");
    assert!(waiting.is_empty(), "seed {seed}: {} requests were lost", waiting.len());
    assert_eq!((scheduler.queued_rows(), scheduler.next_batch(now)), (0, Next::Idle), "seed {seed}");
}

fn take_expired(
    scheduler: &mut Scheduler<u8, u64>,
    waiting: &mut BTreeMap<u64, Known>,
    now: Instant,
    context: &str,
) {
    for work in scheduler.take_expired(now) {
        let known = waiting.remove(&work).unwrap_or_else(|| panic!("{context}: {work} came out twice"));
        assert!(known.deadline <= now, "{context}: {work} had time left");
    }
    assert!(waiting.values().all(|k| k.deadline > now), "{context}: one that expired was kept");
}

fn check_next(
    scheduler: &mut Scheduler<u8, u64>,
    waiting: &mut BTreeMap<u64, Known>,
    now: Instant,
    context: &str,
) {
    match scheduler.next_batch(now) {
        Next::Batch(batch) => {
            let limits = scheduler.limits.clone();
            let taken: Vec<Known> = batch
                .members
                .iter()
                .map(|m| waiting.remove(&m.work).unwrap_or_else(|| panic!("{context}: {m:?} doubled")))
                .collect();
            let kind = |k: &Known| (k.shape, k.priority);
            assert!(
                !taken.is_empty() && taken.iter().all(|k| kind(k) == kind(&taken[0])),
                "{context}: shapes"
            );
            assert!(taken.windows(2).all(|w| w[0].ticket < w[1].ticket), "{context}: order");
            assert!(taken.iter().all(|k| k.deadline > now), "{context}: an expired one was run");
            assert_eq!(batch.rows, taken.iter().map(|k| k.rows).sum::<usize>(), "{context}: rows");
            assert!(batch.rows <= limits.batch_rows_max || taken.len() == 1, "{context}: too large");
            let swapped =
                batch.members.iter().zip(&taken).any(|(m, k)| m.ticket != k.ticket || m.rows != k.rows);
            assert!(!swapped, "{context}: swapped");
            let waits = || waiting.values().filter(|k| k.deadline > now);
            let passed = waits().any(|k| k.priority < taken[0].priority);
            assert!(!passed || !limits.batch_delay.is_zero(), "{context}: one of higher priority waits");
            let rest = waits().filter(|k| kind(k) == kind(&taken[0]));
            assert!(
                rest.map(|k| k.ticket).min().is_none_or(|t| t > taken[0].ticket),
                "{context}: not the oldest"
            );
        }
        Next::WaitUntil(at) => {
            assert!(at > now && scheduler.queued_rows() > 0, "{context}: a wait for nothing")
        }
        Next::Idle => {
            assert!(waiting.values().all(|k| k.deadline <= now), "{context}: idle, yet one is waiting");
            assert_eq!(scheduler.queued_rows(), 0, "{context}");
        }
    }
}

#[test]
fn four_hundred_thousand_random_steps_lose_double_and_swap_nothing() {
    for (seed, limits) in [
        (1, limits(16, 0, 200)),
        (2, limits(16, 2, 200)),
        (3, limits(1, 0, 40)),
        (4, Limits { preferred_rows: vec![3, 8], ..limits(16, 2, 200) }),
        (0xDEAD_BEEF, limits(64, 5, 1000)),
    ] {
        simulate(seed, 100_000, limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_seed_and_any_limits_hold(
        seed in any::<u64>(), batch in 1usize..40, delay in 0u32..8, queue in 1usize..300,
    ) {
        simulate(seed, 2_000, limits(batch, delay, queue));
    }
}
