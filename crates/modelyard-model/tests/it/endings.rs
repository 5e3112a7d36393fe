//! How networks end: the loss while training is that of the answers, whatever stands behind the last activation.

#![allow(clippy::panic, reason = "a helper of a test fails the test")]

use modelyard_model::{BinaryCrossEntropy, CrossEntropy, Engine, LossSpec, Network, NetworkSpec, Targets};
use serde_json::{Value, json};

use crate::{config, random};

const ROWS: usize = 6;

fn spec(input: &[usize], layers: &Value) -> NetworkSpec {
    serde_json::from_value(json!({ "input": input, "layers": layers })).expect("a network")
}

fn engine(spec: NetworkSpec, loss: LossSpec) -> Result<Engine, modelyard_model::ModelError> {
    Engine::new(Network::init(spec, 3)?, config(loss, 1, ROWS))
}

/// The loss of a step must be that of the answers before it.
fn check(input: &[usize], layers: Value, loss: LossSpec) {
    let spec = spec(input, &layers);
    let output = spec.output_shape().expect("it fits");
    let mut engine = engine(spec, loss.clone()).unwrap_or_else(|error| panic!("{layers}: {error}"));
    let inputs = random(ROWS * input.iter().product::<usize>(), 2);
    let len = ROWS * output.iter().product::<usize>();
    let values: Vec<f32> = (0..len).map(|at| f32::from(at % 3 == 0)).collect();
    let classes: Vec<u32> = (0..(len / output[output.len() - 1]) as u32).map(|at| at % 2).collect();
    let targets = match loss {
        LossSpec::CrossEntropy(_) => Targets::Classes(&classes),
        _ => Targets::Values(&values),
    };
    let mut outputs = Vec::new();
    engine.forward(&inputs, ROWS, &mut outputs).expect("the lengths are right");
    let wanted = engine.loss_of(&outputs, targets, None).expect("the lengths are right");
    let got = engine.step(&inputs, targets, None).expect("the lengths are right").loss;
    assert!(
        (got - wanted).abs() < 1e-5 * (1.0 + wanted),
        "{layers}: {got} while training, {wanted} of its answers"
    );
}

fn classes() -> LossSpec {
    LossSpec::CrossEntropy(CrossEntropy::default())
}

fn yes_or_no() -> LossSpec {
    LossSpec::BinaryCrossEntropy(BinaryCrossEntropy::default())
}

fn dense(units: usize, activation: &str) -> Value {
    json!({ "type": "dense", "units": units, "activation": activation })
}

fn each(layer: Value) -> Value {
    json!({ "type": "time_distributed", "layer": layer })
}

#[test]
fn the_loss_is_that_of_the_answers() {
    let softmax = json!({ "type": "activation", "activation": "softmax" });
    check(&[4, 5], json!([dense(3, "softmax")]), classes());
    check(&[4, 5], json!([each(dense(3, "softmax"))]), classes());
    let images = json!([dense(6, "tanh"), { "type": "reshape", "target_shape": [4, 2, 3] }, each(each(dense(3, "softmax")))]);
    check(&[4, 5], images, classes());
    check(&[4, 5], json!([dense(3, "tanh"), each(softmax.clone())]), classes());
    check(&[4, 5], json!([{ "type": "lstm", "units": 3, "return_sequences": true }, softmax]), classes());
    check(&[5], json!([dense(4, "softmax"), { "type": "reshape", "target_shape": [1, 4] }]), classes());
    check(&[5], json!([dense(4, "softmax"), { "type": "flatten" }]), classes());
    check(&[5], json!([dense(6, "sigmoid"), { "type": "reshape", "target_shape": [2, 3] }]), yes_or_no());
    check(&[4, 5], json!([dense(2, "sigmoid"), { "type": "flatten" }]), yes_or_no());
    let gate = json!([
        { "type": "dense", "units": 2, "name": "value" },
        { "type": "dense", "units": 2, "activation": "sigmoid", "from": "input", "name": "gate" },
        { "type": "multiply", "from": ["gate", "value"] },
    ]);
    check(&[5], gate, yes_or_no());
}

#[test]
fn a_softmax_over_each_step_learns_what_it_can() {
    let spec = spec(&[2, 3], &json!([each(dense(3, "softmax"))]));
    let mut engine = engine(spec, classes()).expect("it fits");
    engine.set_learning_rate(1.0);
    let inputs: Vec<f32> = (0..ROWS * 2).flat_map(|at| (0..3).map(move |k| f32::from(k == at % 3))).collect();
    let classes: Vec<u32> = (0..ROWS as u32 * 2).map(|at| at % 3).collect();
    let losses: Vec<f32> = (0..300)
        .map(|_| engine.step(&inputs, Targets::Classes(&classes), None).expect("the lengths are right").loss)
        .collect();
    assert!(losses[299] < 0.1, "{}: two softmaxes cannot get below 0.55", losses[299]);
}

fn check_error(input: &[usize], layers: Value, loss: LossSpec, wanted: &str, hint: &str) {
    let spec = spec(input, &layers);
    assert_eq!(spec.output_activation(), None);
    let Err(error) = engine(spec, loss) else { panic!("{wanted}") };
    assert!(error.to_string().contains(wanted), "{error}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
}

#[test]
fn probabilities_that_were_made_into_something_else_are_no_logits() {
    let reshaped = |shape: Value| json!([dense(6, "softmax"), { "type": "reshape", "target_shape": shape }]);
    let wanted = "the loss cross_entropy would take for logits what layer 1 makes of the softmax of layer 0";
    check_error(&[5], reshaped(json!([2, 3])), classes(), wanted, "put the softmax behind layer 1");
    check_error(
        &[4, 5],
        json!([dense(3, "softmax"), { "type": "flatten" }]),
        classes(),
        wanted,
        "behind layer 1",
    );
    let pooled = json!([dense(1, "sigmoid"), { "type": "global_max_pool1d" }]);
    check_error(&[4, 5], pooled, yes_or_no(), "what layer 1 makes of the sigmoid of layer 0", "leave it out");
    let joined = |join: &str, second: &str| {
        json!([
            { "type": "dense", "units": 2, "activation": "sigmoid", "name": "a" },
            { "type": "dense", "units": 2, "activation": second, "from": "input", "name": "b" },
            { "type": join, "from": ["a", "b"] },
        ])
    };
    for (join, second) in [("concatenate", "tanh"), ("add", "sigmoid"), ("multiply", "sigmoid")] {
        check_error(
            &[5],
            joined(join, second),
            yes_or_no(),
            "what layer 2 makes of the sigmoid of layer 0",
            "",
        );
    }
    check(&[5], joined("add", "tanh"), yes_or_no());
}
