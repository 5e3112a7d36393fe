//! What joins steps to each other: gathering, averaging, saving and going on.

use modelyard_model::{
    Activation, Adam, CrossEntropy, Engine, EngineConfig, LossSpec, ModelError, Network, OptimizerSpec,
    RmsProp, Sgd, Targets,
};
use modelyard_types::ErrorKind;

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
        let saved = through.save();
        (0..3).for_each(|_| step(&mut through));
        second.restore(&saved).expect("the same engine");
        assert!(second.save() == saved);
        assert_eq!(second.learning_rate(), 0.01);
        (0..3).for_each(|_| step(&mut second));
        assert!(second.save() == through.save());
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
    let before = mine.save();
    let mut check = |saved: &[u8], wanted: &str| {
        let error = mine.restore(saved).expect_err(wanted);
        assert!(matches!(error, ModelError::EngineState { .. }) && error.kind() == ErrorKind::DataCorrupt);
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(mine.save() == before, "nothing was taken over");
    };
    check(&engine(OptimizerSpec::Adam(Adam::default()), None).save(), "memory.0 has 116 values");
    check(&before[..before.len() - 3], "saved state cannot be used");
    check(b"not a state", "saved state cannot be used");
    let version = before.windows(14).position(|text| text == br"format_version").expect("it says so");
    let mut newer = before.clone();
    let digit = newer[version..].iter().position(|byte| *byte == b'1').expect("version 1");
    newer[version + digit] = b'7';
    check(&newer, "format version 7");
    let mut averaging = engine(sgd(), Some(0.5));
    assert!(averaging.restore(&before).is_err(), "it holds no average");
}
