//! The part of a variational autoencoder that draws: the same layers with the same weights, and what has no such part.

use std::sync::Arc;

use modelyard_model::{
    Activation, BatchNorm, Concatenate, Forward, GaussianSample, LayerSpec, Network, NetworkSpec, Node,
    standard_normal,
};

use crate::{dense, network};

fn sample() -> LayerSpec {
    LayerSpec::GaussianSample(GaussianSample { beta: 1.0 })
}

fn answer(network: &Network, input: &[f32]) -> Vec<f32> {
    let mut outputs = Vec::new();
    Forward::new(&Arc::new(network.clone())).run(input, 1, &mut outputs).expect("one row");
    outputs
}

#[test]
fn it_goes_on_where_the_encoder_ends() {
    let encoder = [dense(4, Some(Activation::Tanh)), dense(6, None)];
    let decoder = [
        Node::from(dense(5, Some(Activation::Relu))).named("wide"),
        LayerSpec::BatchNorm(BatchNorm::default()).into(),
        Node::from(dense(4, Some(Activation::Tanh))).named("narrow"),
        Node::from(LayerSpec::Concatenate(Concatenate::default())).after(["narrow", "hidden"]),
        dense(3, None).into(),
    ];
    let mut layers: Vec<Node> = encoder.into_iter().map(Node::from).collect();
    layers.push(Node::from(sample()).named("hidden"));
    layers.extend(decoder);
    let whole = Network::init(NetworkSpec::new(vec![3], layers), 5).expect("it fits");
    let decoder = whole.decoder().expect("it has one");
    assert_eq!((decoder.spec().input.as_slice(), decoder.spec().layers.len()), (&[3][..], 5));
    let row = [0.3, -1.2, 0.7];
    let encoder = NetworkSpec::new(vec![3], whole.spec().layers[..2].to_vec());
    let mut encoder = Network::init(encoder, 1).expect("it fits");
    assert_eq!(encoder.take_weights(&whole).taken.len(), 2);
    let means = &answer(&encoder, &row)[..3];
    let (got, wanted) = (answer(&decoder, means), answer(&whole, &row));
    assert!(got.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} is not {wanted:?}");
}

#[test]
fn what_has_no_decoder_is_said() {
    let check = |spec: NetworkSpec, want: &str| {
        let error = Network::init(spec, 1).expect("it fits").decoder().expect_err("no decoder");
        let text = format!("{error} | {}", error.hint().unwrap_or_default());
        assert!(text.contains(want) && text.contains("one layer { type = \"gaussian_sample\" }"), "{text}");
    };
    check(network(&[4], vec![dense(4, None)]), "it has no layer gaussian_sample");
    let twice = vec![dense(8, None), sample(), dense(4, None), sample(), dense(4, None)];
    check(network(&[4], twice), "it has 2 layers gaussian_sample");
    let last = vec![dense(8, None), sample()];
    check(network(&[4], last), "nothing stands behind its layer gaussian_sample");
    let past = [
        Node::from(dense(4, None)).named("encoded"),
        Node::from(sample()).named("drawn"),
        Node::from(LayerSpec::Concatenate(Concatenate::default())).after(["encoded", "drawn"]),
    ];
    check(
        NetworkSpec::new(vec![4], past),
        "layer 0 (dense), which takes the network's input past gaussian_sample",
    );
}

#[test]
fn a_seed_gives_the_same_numbers() {
    let numbers = standard_normal(7, 4);
    assert_eq!((numbers.len(), &numbers), (4, &standard_normal(7, 4)));
    assert_ne!(numbers, standard_normal(8, 4));
}
