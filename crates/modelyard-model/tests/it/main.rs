//! The crate through its public doors.

mod decoder;
mod endings;
mod files;
mod generate;
mod going_on;
mod graph;
mod padding;
mod slopes;
mod spec;
mod tokens;
mod training;

use modelyard_model::{
    Activation, ActivationLayer, BatchNorm, Conv2d, Dense, Dropout, EngineConfig, Flatten, LayerSpec,
    LossSpec, MaxPool2d, NetworkSpec, OptimizerSpec, Rng, Sgd,
};

fn dense(units: usize, activation: Option<Activation>) -> LayerSpec {
    LayerSpec::Dense(Dense::new(units, activation))
}

fn network(input: &[usize], layers: Vec<LayerSpec>) -> NetworkSpec {
    NetworkSpec::new(input.to_vec(), layers)
}

/// A network with every way in which layers run together: fused pooling and activations, batch norm, dropout.
fn images(dropout: f32) -> NetworkSpec {
    let layers = vec![
        LayerSpec::Conv2d(Conv2d::new(6, 3, Some(Activation::Relu))),
        LayerSpec::MaxPool2d(MaxPool2d::default()),
        LayerSpec::BatchNorm(BatchNorm::default()),
        LayerSpec::Conv2d(Conv2d::new(5, 2, None)),
        LayerSpec::Activation(ActivationLayer { activation: Activation::Tanh }),
        LayerSpec::BatchNorm(BatchNorm::default()),
        LayerSpec::Flatten(Flatten {}),
        LayerSpec::Dropout(Dropout { rate: dropout }),
        dense(4, Some(Activation::Softmax)),
    ];
    network(&[9, 9, 2], layers)
}

fn config(loss: LossSpec, threads: usize, rows: usize) -> EngineConfig {
    EngineConfig {
        loss,
        optimizer: OptimizerSpec::Sgd(Sgd { learning_rate: 0.05, ..Sgd::default() }),
        clip_norm: None,
        clip_value: None,
        average_decay: None,
        mini_batch_max: rows,
        threads,
        seed: 7,
    }
}

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| rng.normal()).collect()
}
