//! Whole networks against finite differences: what one step of plain gradient descent does to each weight is
//! compared with how the loss changes when that weight is moved.

use modelyard_model::{
    Activation, ActivationLayer, BinaryCrossEntropy, Conv2d, CrossEntropy, Engine, EngineConfig, Flatten,
    Focal, Huber, LayerSpec, LossSpec, MaxPool2d, MeanAbsoluteError, MeanSquaredError, NO_CLASS, Network,
    NetworkSpec, OptimizerSpec, Padding, Quantile, Reshape, Sgd, Step, Targets,
};
use safetensors::SafeTensors;

use crate::{config, dense, network, random};

/// All weights of a network by name.
fn weights(network: &Network) -> Vec<(String, Vec<f32>)> {
    let bytes = network.weights_safetensors();
    let tensors = SafeTensors::deserialize(&bytes).expect("our own bytes");
    let floats =
        |data: &[u8]| data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
    let mut all: Vec<_> =
        tensors.iter().map(|(name, tensor)| (name.to_owned(), floats(tensor.data()))).collect();
    all.sort_by(|a: &(String, Vec<f32>), b| a.0.cmp(&b.0));
    all
}

/// The same network with one weight moved.
fn moved(start: &Network, name: &str, at: usize, by: f32) -> Network {
    let bytes = start.weights_safetensors();
    let tensors = SafeTensors::deserialize(&bytes).expect("our own bytes");
    let offset = tensors.tensor(name).expect("it is there").data().as_ptr() as usize
        - bytes.as_ptr() as usize
        + 4 * at;
    let mut bytes = bytes.clone();
    let value = f32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four")) + by;
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    Network::from_parts(start.network_json().as_bytes(), &bytes).expect("only a value changed")
}

pub(crate) fn check(spec: NetworkSpec, loss: LossSpec, targets: Targets<'_>, rows: usize) {
    let start = Network::init(spec.clone(), 11).expect("the network can be");
    let inputs = random(rows * spec.input.iter().product::<usize>(), 3);
    let row_weights: Vec<f32> = (0..rows).map(|row| 0.5 + (row % 3) as f32).collect();
    let optimizer = OptimizerSpec::Sgd(Sgd { learning_rate: 1.0, ..Sgd::default() });
    let config = EngineConfig { optimizer, ..config(loss.clone(), 1, rows) };
    let loss_at = |network: &Network| {
        let mut engine = Engine::new(network.clone(), config.clone()).expect("the settings are right");
        let mut outputs = Vec::new();
        engine.forward(&inputs, rows, &mut outputs).expect("the lengths are right");
        engine.loss_of(&outputs, targets, Some(&row_weights)).expect("the targets are right")
    };
    let mut engine = Engine::new(start.clone(), config.clone()).expect("the settings are right");
    let step = engine.step(&inputs, targets, Some(&row_weights)).expect("the mini-batch is right");
    let again = loss_at(&start);
    assert!(
        (step.loss - again).abs() < 1e-4 * (1.0 + again),
        "training says {}, validation {again}",
        step.loss
    );
    compare(&start, &engine.network(), again, loss_at);
}

/// Compares what a step of learning rate 1 did to a network with how `loss_at` changes, which is `again` before it.
fn compare(start: &Network, after: &Network, again: f32, loss_at: impl Fn(&Network) -> f32) {
    for ((name, before), (_, after)) in weights(start).into_iter().zip(weights(after)) {
        for at in (0..before.len()).step_by((before.len() / 12).max(1)) {
            let slope = before[at] - after[at];
            let h = 1e-3;
            let right = (loss_at(&moved(start, &name, at, h)) - again) / h;
            let left = (again - loss_at(&moved(start, &name, at, -h))) / h;
            // Beside a kink of relu or pooling the slope is that of one side.
            let tolerance = 5e-3 + 2e-2 * slope.abs();
            let between = right.min(left) - tolerance..right.max(left) + tolerance;
            assert!(
                between.contains(&slope),
                "{name} {at}: moved by {slope}, measured {left}, {right}: {:?}",
                start.spec()
            );
        }
    }
}

/// A variational autoencoder of a row [4], whose answer has this shape.
fn autoencoder(steps: usize) -> NetworkSpec {
    let layers = serde_json::json!([
        { "type": "dense", "units": 6, "activation": "tanh" },
        { "type": "gaussian_sample", "beta": 0.4 },
        { "type": "dense", "units": 6 },
        { "type": "reshape", "target_shape": [steps, -1] },
    ]);
    serde_json::from_value(serde_json::json!({ "input": [4], "layers": layers })).expect("a network")
}

/// A step on five rows; one of a new engine draws the same numbers.
fn step_of(network: &Network, loss: &LossSpec, classes: &[u32], row_weights: &[f32]) -> (Step, Network) {
    let optimizer = OptimizerSpec::Sgd(Sgd { learning_rate: 1.0, ..Sgd::default() });
    let config = EngineConfig { optimizer, ..config(loss.clone(), 1, 5) };
    let mut engine = Engine::new(network.clone(), config).expect("the settings are right");
    let inputs = random(20, 3);
    let step = engine.step(&inputs, Targets::Classes(classes), Some(row_weights)).expect("right");
    (step, engine.network())
}

#[test]
fn a_penalty_weighs_what_its_rows_weigh() {
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let start = Network::init(autoencoder(2), 11).expect("the network can be");
    // Two classes for each row, of which some do not count.
    let classes = [0, 1, 2, NO_CLASS, 1, 1, 0, 2, NO_CLASS, 0];
    let weights = [1.0, 2.0, 0.0, 0.5, 1.5];
    let total = |network: &Network| {
        let (step, _) = step_of(network, &loss, &classes, &weights);
        step.loss + step.penalty
    };
    let (step, after) = step_of(&start, &loss, &classes, &weights);
    assert!(step.penalty > 0.0);
    compare(&start, &after, total(&start), total);
    let doubled = weights.map(|weight| 2.0 * weight);
    let (again, _) = step_of(&start, &loss, &classes, &doubled);
    assert!((again.penalty - step.penalty).abs() < 1e-6, "twice the weights are the same shares");
    let one = |steps: usize| {
        let start = Network::init(autoencoder(steps), 11).expect("the network can be");
        step_of(&start, &loss, &vec![0; 5 * steps], &[1.0; 5]).0.penalty
    };
    assert!((one(1) - one(3)).abs() < 1e-6, "how many classes a row has is no matter of the penalty");
    let (without, _) = step_of(&start, &loss, &classes, &[0.0; 5]);
    assert_eq!((without.loss, without.penalty), (0.0, 0.0));
}

#[test]
fn rows_that_weigh_nothing_add_no_penalty() {
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let start = Network::init(autoencoder(1), 11).expect("the network can be");
    let penalty = |weights: [f32; 5]| f64::from(step_of(&start, &loss, &[0; 5], &weights).0.penalty);
    let alone: f64 = (0..5).map(|row| penalty(std::array::from_fn(|at| f32::from(at == row)))).sum();
    assert!((penalty([1.0; 5]) - alone / 5.0).abs() < 1e-6);
}

fn values(len: usize) -> Vec<f32> {
    random(len, 8)
}

#[test]
fn regression_losses() {
    let spec = || network(&[5], vec![dense(7, Some(Activation::Tanh)), dense(3, None)]);
    let values = values(30);
    for loss in [
        LossSpec::MeanSquaredError(MeanSquaredError {}),
        LossSpec::MeanAbsoluteError(MeanAbsoluteError {}),
        LossSpec::Huber(Huber { delta: 0.7 }),
    ] {
        check(spec(), loss, Targets::Values(&values), 10);
    }
    // Without a fused loss a trailing activation is an operation like any other.
    let spec = network(&[5], vec![dense(3, Some(Activation::Softmax))]);
    check(spec, LossSpec::MeanSquaredError(MeanSquaredError {}), Targets::Values(&values), 10);
}

#[test]
fn quantiles_stand_beside_each_other() {
    let loss = |quantiles: &[f32]| LossSpec::Quantile(Quantile { quantiles: quantiles.to_vec() });
    let spec = network(&[5], vec![dense(7, Some(Activation::Tanh)), dense(6, None)]);
    check(spec.clone(), loss(&[0.1, 0.5, 0.9]), Targets::Values(&values(20)), 10);
    for (quantiles, wanted) in [
        (&[][..], "needs rising quantiles between 0 and 1"),
        (&[0.5, 0.1], "needs rising quantiles"),
        (&[0.5, 1.0], "needs rising quantiles"),
        (&[0.1, 0.2, 0.3, 0.4], "needs 4 outputs for each target, the network has 6 in all"),
    ] {
        check_refused(&spec, loss(quantiles), wanted);
    }
}

#[test]
fn focal_loss_of_one_output_and_of_several() {
    let classes = [0, 2, 1, 1, 0, 2, 2, 1];
    let yes_or_no = classes.map(|class| class % 2);
    for gamma in [0.0, 1.0, 2.0] {
        for last in [None, Some(Activation::Softmax)] {
            let spec = network(&[6], vec![dense(5, Some(Activation::Silu)), dense(3, last)]);
            check(spec, LossSpec::Focal(Focal { gamma, alpha: None }), Targets::Classes(&classes), 8);
        }
        for (last, alpha) in [(None, None), (Some(Activation::Sigmoid), Some(0.25))] {
            let spec = network(&[6], vec![dense(5, Some(Activation::Silu)), dense(1, last)]);
            check(spec, LossSpec::Focal(Focal { gamma, alpha }), Targets::Classes(&yes_or_no), 8);
        }
    }
    let spec = network(&[6], vec![dense(3, None)]);
    let focal = |gamma, alpha| LossSpec::Focal(Focal { gamma, alpha });
    check_refused(&spec, focal(-1.0, None), "needs a gamma of at least 0");
    check_refused(&spec, focal(2.0, Some(0.5)), "takes an alpha with a single output only");
    let mut engine = Engine::new(Network::init(spec, 1).expect("it fits"), config(focal(2.0, None), 1, 1))
        .expect("the settings are right");
    let error = engine.step(&[0.0; 6], Targets::Values(&[0.0; 3]), None).expect_err("classes are wanted");
    assert!(error.to_string().contains("compares classes, and the targets are values"), "{error}");
}

/// Checks that a loss does not go with a network.
fn check_refused(spec: &NetworkSpec, loss: LossSpec, wanted: &str) {
    let network = Network::init(spec.clone(), 1).expect("it fits");
    let error = Engine::new(network, config(loss, 1, 4)).err().expect(wanted).to_string();
    assert!(error.contains(wanted), "{error}");
}

/// A class for each of four steps of each row, some of them padding.
#[test]
fn losses_over_steps_leave_padding_out() {
    let reshape = LayerSpec::Reshape(Reshape { target_shape: vec![4, 3] });
    let spec = |last: &[LayerSpec]| {
        let mut layers = vec![dense(7, Some(Activation::Tanh)), dense(12, None), reshape.clone()];
        layers.extend_from_slice(last);
        network(&[5], layers)
    };
    let softmax = LayerSpec::Activation(ActivationLayer { activation: Activation::Softmax });
    let classes = [0, 1, 2, NO_CLASS, 1, 1, NO_CLASS, NO_CLASS, 0, 2, 2, 1];
    for loss in [LossSpec::CrossEntropy(CrossEntropy::default()), LossSpec::Focal(Focal::default())] {
        check(spec(&[]), loss.clone(), Targets::Classes(&classes), 3);
        check(spec(std::slice::from_ref(&softmax)), loss, Targets::Classes(&classes), 3);
    }
    let cross_entropy = || LossSpec::CrossEntropy(CrossEntropy::default());
    let loss_of = |outputs: &[f32], classes: &[u32], weights: Option<&[f32]>| {
        let network = Network::init(spec(&[]), 1).expect("it fits");
        let engine = Engine::new(network, config(cross_entropy(), 1, 2)).expect("the settings are right");
        engine.loss_of(outputs, Targets::Classes(classes), weights)
    };
    // The right class ahead by ln 2 of each of the two others: a loss of ln 2 at each step that counts.
    let step = [2f32.ln(), 0.0, 0.0];
    let outputs: Vec<f32> = step.iter().copied().cycle().take(12).collect();
    let loss = loss_of(&outputs, &[0, 0, NO_CLASS, NO_CLASS], None).expect("the lengths are right");
    assert!((loss - 2f32.ln()).abs() < 1e-6, "{loss}");
    assert_eq!(loss_of(&outputs, &[NO_CLASS; 4], None).expect("nothing counts"), 0.0);
    let error = loss_of(&outputs, &[0, 0, 0], None).expect_err("a class for each step").to_string();
    assert!(error.contains("class targets: 3 values where 4 are needed"), "{error}");
    let error = loss_of(&outputs, &[0, 0, 3, 0], None).expect_err("there is no class 3").to_string();
    assert!(error.contains("the class of row 0 is 3, it must be below 3"), "{error}");
}

#[test]
fn cross_entropies_from_logits_and_through_softmax() {
    let classes = [0, 2, 1, 1, 0, 2, 2, 1];
    let shares: Vec<f32> = values(24)
        .chunks(3)
        .flat_map(|row| {
            let sum: f32 = row.iter().map(|x| x.abs()).sum();
            row.iter().map(move |x| x.abs() / sum).collect::<Vec<_>>()
        })
        .collect();
    for label_smoothing in [0.0, 0.2] {
        for last in [None, Some(Activation::Softmax)] {
            let spec = network(&[6], vec![dense(5, Some(Activation::Silu)), dense(3, last)]);
            let loss = LossSpec::CrossEntropy(CrossEntropy { label_smoothing });
            check(spec.clone(), loss.clone(), Targets::Classes(&classes), 8);
            check(spec, loss, Targets::Values(&shares), 8);
        }
        for last in [None, Some(Activation::Sigmoid)] {
            let loss = LossSpec::BinaryCrossEntropy(BinaryCrossEntropy { label_smoothing });
            let yes_or_no: Vec<u32> = classes.iter().map(|class| class % 2).collect();
            let spec = network(&[6], vec![dense(5, Some(Activation::Elu)), dense(1, last)]);
            check(spec, loss.clone(), Targets::Classes(&yes_or_no), 8);
            let spec = network(&[6], vec![dense(5, Some(Activation::Elu)), dense(3, last)]);
            check(spec, loss, Targets::Values(&shares), 8);
        }
    }
}

#[test]
fn convolutions_with_the_pooling_inside() {
    let loss = || LossSpec::CrossEntropy(CrossEntropy::default());
    let classes = [0, 1, 2, 0, 2];
    for (activation, padding) in [
        (Some(Activation::Relu), Padding::Valid),
        (Some(Activation::Sigmoid), Padding::Same),
        (Some(Activation::Gelu), Padding::Valid),
        (None, Padding::Same),
    ] {
        let conv = |filters| LayerSpec::Conv2d(Conv2d { padding, ..Conv2d::new(filters, 3, activation) });
        let pool = || LayerSpec::MaxPool2d(MaxPool2d::default());
        let flatten = LayerSpec::Flatten(Flatten {});
        let layers = vec![conv(3), pool(), conv(4), pool(), flatten, dense(3, Some(Activation::Softmax))];
        check(network(&[12, 11, 1], layers), loss(), Targets::Classes(&classes), 5);
    }
}
