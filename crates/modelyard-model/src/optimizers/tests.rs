//! Every optimizer against two steps computed by hand in double precision, and its contract.

use super::*;

/// Two steps with gradients 0.5 and −0.25 from weight 1.
fn check(spec: &OptimizerSpec, wanted: [f64; 2]) {
    spec.check().expect("settings are valid");
    let (mut weights, mut first, mut second) = (vec![1.0; 5], vec![0.0; 5], vec![0.0; 5]);
    if spec.memories() < 2 {
        second.clear();
    }
    if spec.memories() < 1 {
        first.clear();
    }
    for ((step, gradient), wanted) in (1..).zip([0.5, -0.25]).zip(wanted) {
        let learning_rate = spec.learning_rate();
        let numbers = StepNumbers { learning_rate, step, gradient_scale: 1.0, clip_value: f32::INFINITY };
        let gradients = vec![gradient; 5];
        spec.update(
            &numbers,
            Part { weights: &mut weights, gradients: &gradients, memories: [&mut first, &mut second] },
        );
        for &w in &weights {
            assert!((f64::from(w) - wanted).abs() < 1e-6, "{spec:?} step {step}: {w}, not {wanted}");
        }
    }
}

#[test]
fn sgd() {
    check(&OptimizerSpec::Sgd(Sgd { learning_rate: 0.1, ..Sgd::default() }), [0.95, 0.975]);
    let momentum = Sgd { learning_rate: 0.1, momentum: 0.9, ..Sgd::default() };
    check(&OptimizerSpec::Sgd(momentum.clone()), [0.95, 0.93]);
    check(&OptimizerSpec::Sgd(Sgd { nesterov: true, ..momentum }), [0.905, 0.912]);
    let decay = Sgd { learning_rate: 0.1, weight_decay: 0.5, ..Sgd::default() };
    check(&OptimizerSpec::Sgd(decay), [0.9, 0.88]);
}

#[test]
fn rmsprop() {
    let (v1, v2): (f64, f64) = (0.1 * 0.25, 0.09 * 0.25 + 0.1 * 0.0625);
    let first = 1.0 - 0.1 * 0.5 / (v1 + 1e-7).sqrt();
    let second = 0.1 * -0.25 / (v2 + 1e-7).sqrt();
    check(
        &OptimizerSpec::RmsProp(RmsProp { learning_rate: 0.1, ..RmsProp::default() }),
        [first, first - second],
    );
    let momentum = RmsProp { learning_rate: 0.1, momentum: 0.5, ..RmsProp::default() };
    check(&OptimizerSpec::RmsProp(momentum), [first, first - (0.5 * (1.0 - first) + second)]);
}

#[test]
fn adam() {
    let (m1, v1): (f64, f64) = (0.05, 0.00025);
    let (m2, v2) = (0.9 * m1 - 0.025, 0.999 * v1 + 0.001 * 0.0625);
    let rate = |t: i32| 0.1 * (1.0f64 - 0.999f64.powi(t)).sqrt() / (1.0 - 0.9f64.powi(t));
    let first = 1.0 - rate(1) * m1 / (v1.sqrt() + 1e-7);
    let second = rate(2) * m2 / (v2.sqrt() + 1e-7);
    check(&OptimizerSpec::Adam(Adam { learning_rate: 0.1, ..Adam::default() }), [first, first - second]);
    let decayed = first - 0.1 * 0.2;
    let adamw = AdamW { learning_rate: 0.1, weight_decay: 0.2, ..AdamW::default() };
    check(&OptimizerSpec::AdamW(adamw), [decayed, decayed * 0.98 - second]);
}

#[test]
fn a_split_update_is_the_same_update() {
    let spec = OptimizerSpec::Adam(Adam::default());
    let n = 3 * PART_MIN + 17;
    let gradients: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
    let step = StepNumbers { learning_rate: 0.01, step: 3, gradient_scale: 0.5, clip_value: 0.3 };
    let run = |parallel: bool| {
        let (mut weights, mut first, mut second) = (vec![1.0; n], vec![0.1; n], vec![0.2; n]);
        let part = Part { weights: &mut weights, gradients: &gradients, memories: [&mut first, &mut second] };
        if parallel {
            spec.update_parallel(&step, part)
        } else {
            spec.update(&step, part)
        }
        weights
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |spec: OptimizerSpec, wanted: &str| {
        let message = spec.check().expect_err(wanted).to_string();
        assert!(message.contains(wanted), "{message}");
    };
    check(OptimizerSpec::Sgd(Sgd { learning_rate: 0.0, ..Sgd::default() }), "learning_rate must be above 0");
    check(OptimizerSpec::Sgd(Sgd { learning_rate: f32::NAN, ..Sgd::default() }), "learning_rate");
    check(
        OptimizerSpec::Adam(Adam { beta_1: 1.0, ..Adam::default() }),
        "beta_1 must be at least 0 and below 1",
    );
    check(OptimizerSpec::AdamW(AdamW { weight_decay: -1.0, ..AdamW::default() }), "weight_decay");
    check(OptimizerSpec::RmsProp(RmsProp { rho: -0.1, ..RmsProp::default() }), "rho");
}

#[test]
fn the_project_file_names_them() {
    let check = |json: &str, wanted: OptimizerSpec| {
        assert_eq!(serde_json::from_str::<OptimizerSpec>(json).expect(json), wanted);
    };
    check(r#"{"type":"sgd"}"#, OptimizerSpec::Sgd(Sgd::default()));
    check(
        r#"{"type":"rmsprop","rho":0.5}"#,
        OptimizerSpec::RmsProp(RmsProp { rho: 0.5, ..RmsProp::default() }),
    );
    check(r#"{"type":"adam"}"#, OptimizerSpec::Adam(Adam::default()));
    check(r#"{"type":"adamw"}"#, OptimizerSpec::AdamW(AdamW::default()));
    let error = serde_json::from_str::<OptimizerSpec>(r#"{"type":"adam","rate":1}"#).expect_err("unknown");
    assert!(error.to_string().contains("unknown field `rate`"), "{error}");
}
