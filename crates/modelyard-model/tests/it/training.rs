//! Steps: the same again, over shards, and with input that cannot be.

use std::sync::Arc;

use modelyard_model::{
    Activation, Adam, AdamW, CrossEntropy, Engine, EngineConfig, Forward, LossSpec, MeanSquaredError,
    Network, OptimizerSpec, RmsProp, Sgd, Step, Targets,
};

use crate::{config, dense, images, network, random};

const ROWS: usize = 600;

fn classes(rows: usize) -> Vec<u32> {
    (0..rows as u32).map(|row| row.wrapping_mul(2_654_435_761) >> 30).collect()
}

/// Three steps over a mini-batch that is large enough for several shards, and a smaller last one.
fn train(threads: usize, dropout: f32) -> (Vec<f32>, Network) {
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let config =
        EngineConfig { optimizer: OptimizerSpec::Adam(Adam::default()), ..config(loss, threads, ROWS) };
    let mut engine =
        Engine::new(Network::init(images(dropout), 1).expect("it fits"), config).expect("it is right");
    let (inputs, classes) = (random(ROWS * 162, 2), classes(ROWS));
    let losses = [ROWS, ROWS, 599, 5].map(|rows| {
        let step = engine.step(&inputs[..rows * 162], Targets::Classes(&classes[..rows]), None);
        step.expect("the mini-batch is right").loss
    });
    (losses.to_vec(), engine.network())
}

#[test]
fn the_same_seed_and_threads_give_the_same_bits() {
    for threads in [1, 2, 3] {
        let (first, second) = (train(threads, 0.3), train(threads, 0.3));
        assert_eq!(first.0, second.0, "{threads} threads");
        assert_eq!(first.1.weights_safetensors(), second.1.weights_safetensors(), "{threads} threads");
    }
}

#[test]
fn shards_see_the_statistics_of_the_whole_mini_batch() {
    let (alone, _) = train(1, 0.3);
    for threads in [2, 3] {
        let (shared, _) = train(threads, 0.3);
        for (alone, shared) in alone.iter().zip(&shared) {
            assert!((alone - shared).abs() < 1e-4, "{threads} threads: {shared}, alone {alone}");
        }
    }
}

#[test]
fn every_optimizer_learns() {
    let inputs = random(200 * 4, 5);
    let classes: Vec<u32> = inputs.chunks(4).map(|row| u32::from(row[0] * row[1] > 0.0)).collect();
    for optimizer in [
        OptimizerSpec::Sgd(Sgd { learning_rate: 0.3, momentum: 0.9, nesterov: true, ..Sgd::default() }),
        OptimizerSpec::RmsProp(RmsProp { learning_rate: 0.01, ..RmsProp::default() }),
        OptimizerSpec::Adam(Adam { learning_rate: 0.02, ..Adam::default() }),
        OptimizerSpec::AdamW(AdamW { learning_rate: 0.02, ..AdamW::default() }),
    ] {
        let layers = vec![dense(16, Some(Activation::Relu)), dense(2, Some(Activation::Softmax))];
        let loss = LossSpec::CrossEntropy(CrossEntropy::default());
        let config = EngineConfig { optimizer: optimizer.clone(), ..config(loss, 1, 200) };
        let mut engine =
            Engine::new(Network::init(network(&[4], layers), 3).expect("it fits"), config).expect("right");
        let losses: Vec<f32> = (0..300)
            .map(|_| engine.step(&inputs, Targets::Classes(&classes), None).expect("right").loss)
            .collect();
        assert!(losses[0] > 0.6 && losses[299] < 0.15, "{optimizer:?}: {} to {}", losses[0], losses[299]);
    }
}

#[test]
fn large_dense_networks_run_as_one_shard_and_answer_the_same() {
    let spec = network(
        &[700],
        vec![dense(900, Some(Activation::Relu)), dense(600, Some(Activation::Relu)), dense(3, None)],
    );
    let start = Network::init(spec, 1).expect("it fits");
    let (inputs, targets) = (random(40 * 700, 2), random(40 * 3, 3));
    let train = |threads| {
        let config = config(LossSpec::MeanSquaredError(MeanSquaredError {}), threads, 40);
        let mut engine = Engine::new(start.clone(), config).expect("it is right");
        let loss = engine.step(&inputs, Targets::Values(&targets), None).expect("right").loss;
        let mut outputs = Vec::new();
        engine.forward(&inputs, 40, &mut outputs).expect("right");
        (loss, outputs)
    };
    let (alone, shared) = (train(1), train(2));
    assert_eq!(shared, train(2));
    assert!((alone.0 - shared.0).abs() < 1e-5);
    assert!(alone.1.iter().zip(&shared.1).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn inference_answers_any_number_of_rows_alike() {
    let (_, trained) = train(2, 0.0);
    let trained = Arc::new(trained);
    let inputs = random(1500 * 162, 4);
    let mut forward = Forward::new(&trained);
    let (mut all, mut one) = (Vec::new(), Vec::new());
    forward.run(&inputs, 1500, &mut all).expect("right");
    for row in [0, 700, 1499] {
        forward.run(&inputs[row * 162..(row + 1) * 162], 1, &mut one).expect("right");
        assert!((one.iter().sum::<f32>() - 1.0).abs() < 1e-5, "probabilities");
        assert!(one.iter().zip(&all[row * 4..]).all(|(a, b)| (a - b).abs() < 1e-5), "row {row}");
    }
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let mut engine = Engine::new((*trained).clone(), config(loss, 2, 8)).expect("right");
    engine.forward(&inputs, 1500, &mut one).expect("right");
    assert!(one.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-5));
    forward.run(&[], 0, &mut one).expect("no rows are right, too");
    assert!(one.is_empty() && forward.run(&inputs, 3, &mut one).is_err());
}

#[test]
fn a_loss_that_is_no_number_is_told_and_learns_nothing() {
    let start = Network::init(network(&[3], vec![dense(2, None)]), 1).expect("it fits");
    let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
    let mut engine = Engine::new(start.clone(), config(loss, 1, 4)).expect("right");
    for broken in [f32::NAN, f32::INFINITY] {
        let step =
            engine.step(&[1.0, broken, 0.0], Targets::Values(&[0.0, 0.0]), None).expect("it is no error");
        assert!(!step.is_finite());
    }
    assert_eq!(engine.network().weights_safetensors(), start.weights_safetensors());
}

#[test]
fn clipping_limits_the_step() {
    let start = Network::init(network(&[3], vec![dense(2, None)]), 1).expect("it fits");
    let step = |clip_norm, clip_value| -> (Step, f32) {
        let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
        let optimizer = OptimizerSpec::Sgd(Sgd { learning_rate: 1.0, ..Sgd::default() });
        let config = EngineConfig { clip_norm, clip_value, optimizer, ..config(loss, 1, 4) };
        let mut engine = Engine::new(start.clone(), config).expect("right");
        let step = engine.step(&[1.0, 2.0, 3.0], Targets::Values(&[100.0, -50.0]), None).expect("right");
        let (mut before, mut after) = (Vec::new(), Vec::new());
        Forward::new(&Arc::new(start.clone())).run(&[0.0; 3], 1, &mut before).expect("right");
        Forward::new(&Arc::new(engine.network())).run(&[0.0; 3], 1, &mut after).expect("right");
        (step, after[0] - before[0])
    };
    let (free, far) = step(None, None);
    let (clipped, near) = step(Some(1.0), None);
    assert_eq!(free.gradient_norm, clipped.gradient_norm, "told before it is clipped");
    let norm = clipped.gradient_norm.expect("told at every step");
    assert!((near - far / norm).abs() < 1e-3 && norm > 100.0, "{near}, {far} over {norm}");
    assert_eq!(step(None, Some(0.25)).1, 0.25);
}

#[test]
fn input_that_cannot_be_is_said() {
    let spec = network(&[3], vec![dense(2, None)]);
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let mut engine =
        Engine::new(Network::init(spec, 1).expect("it fits"), config(loss, 1, 2)).expect("right");
    let mut check = |inputs: &[f32], targets: Targets<'_>, weights: Option<&[f32]>, wanted: &str| {
        let message = engine.step(inputs, targets, weights).expect_err(wanted).to_string();
        assert!(message.contains(wanted), "{message}");
    };
    let row = [0.0; 3];
    check(&row, Targets::Classes(&[2]), None, "the class of row 0 is 2, it must be below 2");
    check(&row, Targets::Classes(&[0, 1]), None, "class targets: 2 values where 1 are needed");
    check(&row, Targets::Values(&[0.0]), None, "target values: 1 values where 2 are needed");
    check(&row, Targets::Values(&[0.0, f32::NAN]), None, "the target of row 0 is NaN");
    check(&row, Targets::Classes(&[0]), Some(&[-1.0]), "the weight of row 0 is -1");
    check(&row, Targets::Classes(&[0]), Some(&[]), "row weights: 0 values where 1 are needed");
    check(&[0.0; 9], Targets::Classes(&[0; 3]), None, "largest mini-batch");
    check(&[0.0; 4], Targets::Classes(&[0]), None, "inputs: 4 values where 3 are needed");
    check(&[], Targets::Classes(&[]), None, "inputs: 0 values where 3 are needed");
}

#[test]
fn settings_that_cannot_work_are_said() {
    let start = |last| Network::init(network(&[3], vec![dense(2, last)]), 1).expect("it fits");
    let cross_entropy = || LossSpec::CrossEntropy(CrossEntropy::default());
    let check = |network: Network, config: EngineConfig, wanted: &str, hint: &str| {
        let error = Engine::new(network, config).err().expect(wanted);
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
    };
    let good = config(cross_entropy(), 1, 2);
    check(start(None), EngineConfig { threads: 0, ..good.clone() }, "threads must be between 1 and", "");
    check(
        start(None),
        EngineConfig { mini_batch_max: 0, ..good.clone() },
        "batch_size must be at least 1",
        "",
    );
    check(
        start(None),
        EngineConfig { mini_batch_max: usize::MAX, ..good.clone() },
        "training with",
        "mini-batch",
    );
    check(
        start(None),
        EngineConfig { clip_norm: Some(0.0), ..good.clone() },
        "clip_norm must be above 0",
        "",
    );
    check(
        start(Some(Activation::Sigmoid)),
        good.clone(),
        "does not go with a network that ends in sigmoid",
        "softmax",
    );
    let one = Network::init(network(&[3], vec![dense(1, None)]), 1).expect("it fits");
    check(one, good, "needs one output for each class", "binary_cross_entropy");
    let smooth = LossSpec::CrossEntropy(CrossEntropy { label_smoothing: 1.0 });
    check(start(None), config(smooth, 1, 2), "label_smoothing", "");
}
