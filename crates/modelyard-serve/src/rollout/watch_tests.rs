//! The canary's judge: small cases by hand, and seeded traffic against good and bad versions.

use super::*;

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "an arbitrary origin; no test depends on its value")]
fn origin() -> Instant {
    Instant::now()
}

fn guard(requests_min: u64) -> Guard {
    Guard {
        requests_min,
        error_rate_max: Some(0.1),
        latency_ratio_max: Some(2.0),
        disagreement_max: Some(0.2),
        ..Guard::default()
    }
}

#[test]
fn nobody_is_judged_by_a_handful_of_requests() {
    let t0 = origin();
    let mut watch = Watch::new(guard(10));
    for _ in 0..9 {
        watch.ended(t0, Part::Canary, None);
        watch.compared(t0, false);
    }
    assert_eq!(watch.verdict(t0), None);
    watch.ended(t0, Part::Canary, None);
    let breach = watch.verdict(t0).expect("ten of ten failed");
    assert_eq!(breach, Breach::Errors { rate: 1.0, max: 0.1, requests: 10 });
    assert_eq!(breach.to_string(), "100.0 % of 10 requests failed, at most 10.0 % may");
}

#[test]
fn failures_of_the_default_version_are_not_the_canarys() {
    let t0 = origin();
    let mut watch = Watch::new(guard(5));
    for _ in 0..50 {
        watch.ended(t0, Part::Default, None);
        watch.ended(t0, Part::Canary, Some(MS));
        watch.compared(t0, true);
    }
    assert_eq!(watch.verdict(t0), None);
}

#[test]
fn what_was_seen_before_the_window_is_forgotten() {
    let t0 = origin();
    let mut watch = Watch::new(guard(5));
    for _ in 0..100 {
        watch.ended(t0, Part::Canary, None);
    }
    assert!(watch.verdict(t0 + 59_000 * MS).is_some());
    assert_eq!(watch.verdict(t0 + 60_000 * MS), None, "a minute later");
    for second in 0..600 {
        watch.ended(t0 + 1000 * MS * second, Part::Canary, Some(MS));
    }
    assert!(watch.slices.len() <= SLICES as usize, "{} slices are kept", watch.slices.len());
}

#[test]
fn a_slow_canary_is_found_by_its_95th_percentile() {
    let t0 = origin();
    let check = |slow: u32, slow_share: usize, want: bool| {
        let mut watch = Watch::new(guard(20));
        for at in 0..100 {
            watch.ended(t0, Part::Default, Some(10 * MS));
            let took = if at < slow_share { 10 * MS * slow } else { 10 * MS };
            watch.ended(t0, Part::Canary, Some(took));
        }
        let verdict = watch.verdict(t0);
        assert_eq!(matches!(verdict, Some(Breach::Latency { .. })), want, "{slow} {slow_share}: {verdict:?}");
    };
    check(3, 100, true);
    check(3, 6, true);
    check(3, 4, false);
    check(1, 100, false);
    check(2, 100, false);
}

#[test]
fn buckets_of_latency_are_an_eighth_wide_at_most() {
    for nanoseconds in [8u64, 9, 100, 12_345, 1_000_000, 987_654_321, u64::MAX / 2] {
        let middle = middle(bucket(Duration::from_nanos(nanoseconds)));
        let off = (middle / nanoseconds as f64 - 1.0).abs();
        assert!(off <= 0.125, "{nanoseconds} ns in a bucket around {middle}");
    }
    assert!(bucket(Duration::ZERO) < BUCKETS && bucket(Duration::MAX) < BUCKETS);
}

/// xorshift64*: small, seeded, and good enough to throw dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Ten minutes of traffic at 50 requests a second, of which a tenth goes to the canary; when it is withdrawn.
fn simulate(seed: u64, errors: f64, slowness: f64, disagreement: f64) -> Option<(u32, Breach)> {
    let mut dice = Dice(seed | 1);
    let (t0, mut watch) = (origin(), Watch::new(guard(50)));
    for step in 0..30_000u32 {
        let now = t0 + 20 * MS * step;
        let part = if dice.roll() < 0.1 { Part::Canary } else { Part::Default };
        let factor = if part == Part::Canary { slowness } else { 1.0 };
        let failed = dice.roll() < if part == Part::Canary { errors } else { 0.01 };
        let took = MS.mul_f64(factor * (5.0 + 5.0 * dice.roll()));
        watch.ended(now, part, (!failed).then_some(took));
        if part == Part::Canary {
            watch.compared(now, dice.roll() >= disagreement);
            if let Some(breach) = watch.verdict(now) {
                return Some((step, breach));
            }
        }
    }
    None
}

#[test]
fn in_simulation_a_good_canary_stays_and_a_bad_one_goes_soon() {
    for seed in 1..=4 {
        let good = simulate(seed, 0.01, 1.2, 0.05);
        assert_eq!(good, None, "seed {seed}");
        for (kind, outcome) in [
            ("errors", simulate(seed, 0.4, 1.0, 0.0)),
            ("latency", simulate(seed, 0.0, 4.0, 0.0)),
            ("disagreement", simulate(seed, 0.0, 1.0, 0.6)),
        ] {
            let (step, breach) = outcome.unwrap_or_else(|| panic!("seed {seed}: {kind} was not seen"));
            assert_eq!(breach.kind(), kind, "seed {seed}: {breach}");
            assert!(step < 1500, "seed {seed}: {kind} was seen after {step} requests only");
        }
    }
}
