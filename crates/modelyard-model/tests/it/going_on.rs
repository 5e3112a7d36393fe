//! What joins steps to each other: gathering, averaging, saving and going on.

use std::collections::HashMap;

use modelyard_model::{
    Activation, Adam, BatchNorm, CrossEntropy, Engine, EngineConfig, LayerSpec, LossSpec, MeanSquaredError,
    ModelError, Network, OptimizerSpec, RmsProp, Sgd, Targets, TimeDistributed,
};
use modelyard_types::ErrorKind;
use safetensors::SafeTensors;

use crate::{config, dense, images, network, random};

const ROWS: usize = 60;

fn classes(rows: usize) -> Vec<u32> {
    (0..rows as u32).map(|row| row.wrapping_mul(2_654_435_761) >> 30).collect()
}

fn loss() -> LossSpec {
    LossSpec::CrossEntropy(CrossEntropy::default())
}

fn small() -> Network {
    let layers = vec![dense(9, Some(Activation::Tanh)), dense(4, Some(Activation::Softmax))];
    Network::init(network(&[5], layers), 1).expect("it fits")
}

/// As many weights as [`small`], another activation.
fn other_of_the_same_sizes() -> Network {
    let layers = vec![dense(9, Some(Activation::Relu)), dense(4, Some(Activation::Softmax))];
    Network::init(network(&[5], layers), 1).expect("it fits")
}

fn weights(network: &Network) -> Vec<f32> {
    let file = network.weights_safetensors();
    let header = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    file[8 + header..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect()
}

#[test]
fn gathered_mini_batches_make_the_step_of_the_large_one() {
    let (inputs, classes) = (random(ROWS * 5, 2), classes(ROWS));
    let row_weights: Vec<f32> = (0..ROWS).map(|row| 0.5 + (row % 7) as f32).collect();
    let optimizer = OptimizerSpec::Sgd(Sgd { learning_rate: 0.3, momentum: 0.9, ..Sgd::default() });
    for threads in [1, 2] {
        let config = EngineConfig {
            optimizer: optimizer.clone(),
            clip_norm: Some(0.1),
            ..config(loss(), threads, ROWS)
        };
        let mut large = Engine::new(small(), config.clone()).expect("right");
        let mut gathering = Engine::new(small(), config).expect("right");
        for _ in 0..3 {
            large.step(&inputs, Targets::Classes(&classes), Some(&row_weights)).expect("right");
            for (first, end) in [(0, 10), (10, 45), (45, ROWS)] {
                let part = (&inputs[first * 5..end * 5], Targets::Classes(&classes[first..end]));
                let weights = Some(&row_weights[first..end]);
                let learn = if end == ROWS { Engine::step } else { Engine::gather };
                learn(&mut gathering, part.0, part.1, weights).expect("right");
            }
        }
        let (large, gathering) = (weights(&large.network()), weights(&gathering.network()));
        assert_ne!(large, weights(&small()));
        assert!(large.iter().zip(&gathering).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn the_average_follows_the_weights_and_is_what_is_kept() {
    let (inputs, classes) = (random(ROWS * 162, 2), classes(ROWS));
    let run = |average_decay| {
        let start = Network::init(images(0.0), 1).expect("it fits");
        let config = EngineConfig { average_decay, ..config(loss(), 1, ROWS) };
        let mut engine = Engine::new(start, config).expect("right");
        let mut networks = vec![weights(&engine.network())];
        for _ in 0..5 {
            engine.step(&inputs, Targets::Classes(&classes), None).expect("right");
            networks.push(weights(&engine.network()));
        }
        networks
    };
    let (plain, averaged) = (run(None), run(Some(0.3)));
    let mut wanted = plain[0].clone();
    for (step, (plain, averaged)) in plain.iter().zip(&averaged).enumerate().skip(1) {
        let keep = (step as f32 + 1.0) / (step as f32 + 10.0);
        let keep = keep.min(0.3);
        for ((wanted, plain), got) in wanted.iter_mut().zip(plain).zip(averaged) {
            *wanted = keep * *wanted + (1.0 - keep) * plain;
            assert!((*wanted - got).abs() < 1e-5, "step {step}: {got}, not {wanted}");
        }
    }
    let config = EngineConfig { average_decay: Some(1.0), ..config(loss(), 1, 2) };
    let error = Engine::new(small(), config).err().expect("decay").to_string();
    assert!(error.contains("average must have a decay of at least 0 and below 1, it is 1"), "{error}");
}

#[test]
fn a_restored_engine_goes_on_bit_for_bit() {
    let (inputs, classes) = (random(ROWS * 162, 2), classes(ROWS));
    let optimizers = [
        OptimizerSpec::Adam(Adam::default()),
        OptimizerSpec::RmsProp(RmsProp::default()),
        OptimizerSpec::Sgd(Sgd::default()),
    ];
    for (optimizer, average_decay) in optimizers.into_iter().zip([Some(0.9), None, None]) {
        let config = EngineConfig { optimizer, average_decay, ..config(loss(), 2, ROWS) };
        let engine = || {
            let start = Network::init(images(0.3), 1).expect("it fits");
            Engine::new(start, config.clone()).expect("right")
        };
        let step = |engine: &mut Engine| {
            engine.step(&inputs, Targets::Classes(&classes), None).expect("right");
        };
        let (mut through, mut second) = (engine(), engine());
        (0..3).for_each(|_| step(&mut through));
        through.set_learning_rate(0.01);
        let saved = through.save().expect("between two steps");
        (0..3).for_each(|_| step(&mut through));
        second.restore(&saved).expect("the same engine");
        assert!(second.save().expect("between two steps") == saved);
        assert_eq!(second.learning_rate(), 0.01);
        (0..3).for_each(|_| step(&mut second));
        assert!(second.save().expect("between two steps") == through.save().expect("between two steps"));
        assert!(second.network().weights_safetensors() == through.network().weights_safetensors());
    }
}

#[test]
fn a_state_that_is_not_this_engines_is_refused() {
    let engine = |optimizer, average_decay| {
        let config = EngineConfig { optimizer, average_decay, ..config(loss(), 1, 4) };
        Engine::new(small(), config).expect("right")
    };
    let sgd = || OptimizerSpec::Sgd(Sgd::default());
    let mut mine = engine(sgd(), None);
    let before = mine.save().expect("between two steps");
    let mut check = |saved: &[u8], wanted: &str| {
        let error = mine.restore(saved).expect_err(wanted);
        assert!(matches!(error, ModelError::EngineState { .. }) && error.kind() == ErrorKind::DataCorrupt);
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(mine.save().expect("between two steps") == before, "nothing was taken over");
    };
    let adam = engine(OptimizerSpec::Adam(Adam::default()), None).save().expect("between two steps");
    check(&adam, "that of the optimizer adam, this engine has sgd");
    let other = Engine::new(other_of_the_same_sizes(), config(loss(), 1, 4)).expect("right");
    check(&other.save().expect("between two steps"), "a network with other layers or settings");
    check(&before[..before.len() - 3], "saved state cannot be used");
    check(b"not a state", "saved state cannot be used");
    let version = before.windows(14).position(|text| text == br"format_version").expect("it says so");
    let mut newer = before.clone();
    let digit = newer[version..].iter().position(|byte| *byte == b'2').expect("version 2");
    newer[version + digit] = b'7';
    check(&newer, "format version 7");
    let mut averaging = engine(sgd(), Some(0.5));
    assert!(averaging.restore(&before).is_err(), "it holds no average");
}

/// A network of one weight.
fn steep(clip_norm: Option<f32>) -> Engine {
    let start = Network::init(network(&[1], vec![dense(1, None)]), 1).expect("it fits");
    let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
    Engine::new(start, EngineConfig { clip_norm, ..config(loss, 1, 4) }).expect("right")
}

#[test]
fn gradients_that_are_no_numbers_move_nothing() {
    for clip_norm in [None, Some(1.0)] {
        let mut engine = steep(clip_norm);
        let before = engine.save().expect("between two steps");
        // An error so large that its square is a number, and that times the input is none.
        let mut answer = Vec::new();
        engine.forward(&[1e20], 1, &mut answer).expect("one row");
        let step = engine.step(&[1e20], Targets::Values(&[answer[0] + 1e19]), None).expect("right");
        assert!(step.loss.is_finite() && !step.gradient_norm.expect("a step").is_finite(), "{step:?}");
        assert!(!step.is_finite());
        assert!(engine.save().expect("between two steps") == before);
        let step = engine.step(&[1.0], Targets::Values(&[0.5]), None).expect("right");
        assert!(step.is_finite() && step.gradient_norm.is_some_and(f32::is_finite));
    }
}

#[test]
fn what_was_gathered_before_a_loss_that_is_no_number_is_forgotten() {
    let target = Targets::Values(&[0.5]);
    for spoiled in [Engine::gather, Engine::step] {
        let (mut engine, mut wanted) = (steep(None), steep(None));
        engine.gather(&[3.0], target, None).expect("right");
        assert!(engine.save().is_err_and(|error| error.to_string().contains("wait for their step")));
        assert!(!spoiled(&mut engine, &[1e30], target, None).expect("right").is_finite());
        engine.step(&[1.0], target, None).expect("right");
        wanted.step(&[1.0], target, None).expect("right");
        assert_eq!(weights(&engine.network()), weights(&wanted.network()));
        engine.save().expect("nothing waits");
    }
}

#[test]
fn a_restored_engine_has_gathered_nothing() {
    let target = Targets::Values(&[0.5]);
    let (mut engine, mut wanted) = (steep(None), steep(None));
    let saved = engine.save().expect("between two steps");
    engine.gather(&[3.0], target, None).expect("right");
    engine.restore(&saved).expect("its own");
    engine.step(&[1.0], target, None).expect("right");
    wanted.step(&[1.0], target, None).expect("right");
    assert_eq!(weights(&engine.network()), weights(&wanted.network()));
}

#[test]
fn a_state_of_the_first_format_is_still_read() {
    let (mut engine, mut second) = (steep(None), steep(None));
    engine.step(&[1.0], Targets::Values(&[0.5]), None).expect("right");
    let saved = engine.save().expect("between two steps");
    second.restore(&first_format(&saved)).expect("an older program's file");
    assert_eq!(weights(&second.network()), weights(&engine.network()));
}

/// The same state as the first format wrote it: without the network and the optimizer.
fn first_format(saved: &[u8]) -> Vec<u8> {
    let (_, metadata) = SafeTensors::read_metadata(saved).expect("our own bytes");
    let texts = metadata.metadata().as_ref().expect("counters");
    let mut numbers: serde_json::Value = serde_json::from_str(&texts["engine"]).expect("JSON");
    let table = numbers.as_object_mut().expect("a table");
    table.retain(|key, _| key != "network" && key != "optimizer");
    table["format_version"] = 1.into();
    let texts = HashMap::from([("engine".to_owned(), numbers.to_string())]);
    let tensors = SafeTensors::deserialize(saved).expect("our own bytes");
    safetensors::serialize(tensors.tensors(), Some(texts)).expect("the same tensors")
}

#[test]
fn a_frozen_norm_over_each_step_keeps_its_statistics() {
    let norm = LayerSpec::BatchNorm(BatchNorm::default());
    let each = LayerSpec::TimeDistributed(TimeDistributed::new(norm.clone()));
    for norm in [norm, each] {
        let mut spec = network(&[4, 3], vec![norm, dense(2, None)]);
        spec.layers[0].trainable = false;
        let start = Network::init(spec, 1).expect("it fits");
        let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
        let mut engine = Engine::new(start.clone(), config(loss, 1, 4)).expect("right");
        let statistics = |network: &Network| weights(network)[..12].to_vec();
        engine.step(&random(48, 2), Targets::Values(&random(32, 3)), None).expect("right");
        assert_ne!(weights(&engine.network()), weights(&start));
        assert_eq!(statistics(&engine.network()), statistics(&start));
    }
}
