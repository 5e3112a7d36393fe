//! Every schedule against numbers computed by hand, and the warm-up before them.

use super::*;

fn rates(spec: ScheduleSpec, warmup: u64) -> Rates {
    Rates { spec, base: 0.5, warmup, all: 100 + warmup, per_epoch: 10 }
}

/// Compares the rates after so many steps with what they should be.
fn check(spec: ScheduleSpec, want: &[(u64, f64)]) {
    let (memory, plain, late) = (Memory::default(), rates(spec.clone(), 0), rates(spec, 8));
    for &(done, want) in want {
        for got in [plain.at(done, &memory), late.at(done + 8, &memory)] {
            assert!((f64::from(got) - want).abs() < 1e-6, "{:?} after {done}: {got}, not {want}", plain.spec);
        }
    }
}

#[test]
fn each_schedule_has_its_curve() {
    check(ScheduleSpec::Constant(Constant {}), &[(0, 0.5), (99, 0.5)]);
    check(ScheduleSpec::Cosine(Cosine::default()), &[(0, 0.5), (50, 0.25), (100, 0.0), (500, 0.0)]);
    check(ScheduleSpec::Cosine(Cosine { floor: 0.2 }), &[(0, 0.5), (50, 0.3), (100, 0.1)]);
    let step = StepDecay { every: 2, factor: 0.1 };
    check(ScheduleSpec::Step(step), &[(0, 0.5), (19, 0.5), (20, 0.05), (39, 0.05), (40, 0.005)]);
    let exponential = Exponential { factor: 0.25 };
    check(ScheduleSpec::Exponential(exponential), &[(0, 0.5), (5, 0.25), (10, 0.125), (20, 0.03125)]);
    let cycle = OneCycle::default();
    check(ScheduleSpec::OneCycle(cycle), &[(0, 0.02), (15, 0.26), (30, 0.5), (100, 2e-6)]);
    for rise in [0.0, 1.0] {
        let cycle = OneCycle { rise, ..OneCycle::default() };
        assert!(rates(ScheduleSpec::OneCycle(cycle), 0).at(99, &Memory::default()).is_finite());
    }
}

#[test]
fn the_warm_up_rises_along_a_line_to_the_first_rate() {
    let rates = rates(ScheduleSpec::Constant(Constant {}), 4);
    let got: Vec<f32> = (0..6).map(|done| rates.at(done, &Memory::default())).collect();
    assert_eq!(got, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]);
}

#[test]
fn a_plateau_waits_falls_and_cools_down() {
    let plateau =
        Plateau { factor: 0.5, patience: 2, min_delta: 0.01, cooldown: 1, floor: 0.2, ..Plateau::default() };
    let mut memory = Memory::default();
    let mut after = |score| {
        plateau.epoch_over(&mut memory, Watched { score, higher_is_better: false });
        memory.factor
    };
    let scores = [1.0, 0.9, 0.895, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.9, 0.9];
    let factors = scores.map(&mut after);
    assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2]);
}

#[test]
fn a_plateau_of_a_metric_watches_it_grow() {
    let plateau = Plateau { patience: 1, ..Plateau::default() };
    let mut memory = Memory::default();
    let mut after = |score| {
        plateau.epoch_over(&mut memory, Watched { score, higher_is_better: true });
        memory.factor
    };
    assert_eq!([0.5, 0.6, 0.55].map(&mut after), [1.0, 1.0, 0.1]);
    let text = serde_json::to_string(&memory).expect("plain numbers");
    assert_eq!(serde_json::from_str::<Memory>(&text).expect("our own text"), memory);
}
