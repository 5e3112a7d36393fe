//! Networks that are no chain: residual connections, branches, several inputs; and what is said when names or
//! shapes do not fit.

use modelyard_model::{
    Activation, CrossEntropy, Engine, LossSpec, MeanSquaredError, ModelError, Network, NetworkSpec, Targets,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::slopes::check;
use crate::{config, random};

fn spec(input: &[usize], layers: Value) -> NetworkSpec {
    serde_json::from_value(json!({ "input": input, "layers": layers })).expect("a network")
}

/// An image, a series and numbers in one row.
fn three_parts() -> NetworkSpec {
    let parts = json!([
        { "name": "image", "shape": [5, 4, 2] },
        { "name": "numbers", "shape": [3] },
        { "name": "series", "shape": [4, 2] },
    ]);
    let layers = json!([
        { "type": "conv2d", "filters": 3, "kernel_size": 2, "activation": "relu", "from": "image" },
        { "type": "max_pool2d" },
        { "type": "flatten", "name": "seen" },
        { "type": "dense", "units": 4, "activation": "tanh", "from": "numbers", "name": "measured" },
        { "type": "flatten", "from": "series", "name": "heard" },
        { "type": "concatenate", "from": ["seen", "measured", "heard", "numbers"] },
        { "type": "batch_norm" },
        { "type": "dense", "units": 3, "activation": "softmax" },
    ]);
    serde_json::from_value(json!({ "input": [51], "inputs": parts, "layers": layers })).expect("a network")
}

/// Residual connections around convolutions, one of them from the input itself, and a gate.
fn residual() -> NetworkSpec {
    let conv = |name: &str, filters: usize| json!({ "type": "conv2d", "filters": filters, "kernel_size": 3, "padding": "same", "name": name });
    let layers = json!([
        conv("a", 2),
        { "type": "add", "from": ["a", "input"], "name": "b" },
        { "type": "batch_norm", "name": "c" },
        { "type": "activation", "activation": "tanh", "name": "d" },
        conv("e", 2),
        { "type": "activation", "activation": "sigmoid", "name": "gate" },
        { "type": "multiply", "from": ["gate", "d"], "name": "f" },
        { "type": "add", "from": ["f", "b", "d"] },
        { "type": "avg_pool2d" },
        { "type": "flatten" },
        { "type": "dense", "units": 3, "activation": "softmax" },
    ]);
    spec(&[4, 6, 2], layers)
}

/// One value taken by three layers, twice by one of them.
fn fan_out() -> NetworkSpec {
    let dense = |name: &str, from: &str| json!({ "type": "dense", "units": 4, "name": name, "from": from });
    let layers = json!([
        { "type": "dense", "units": 4, "activation": "tanh", "name": "x" },
        dense("a", "x"),
        dense("b", "x"),
        dense("c", "x"),
        { "type": "multiply", "from": ["a", "b", "x", "x"], "name": "d" },
        { "type": "concatenate", "from": ["c", "d", "x"] },
        { "type": "dense", "units": 2 },
    ]);
    spec(&[5], layers)
}

#[test]
fn slopes_of_graphs_are_right() {
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let squares = LossSpec::MeanSquaredError(MeanSquaredError {});
    check(fan_out(), squares.clone(), Targets::Values(&random(12, 4)), 6);
    let layers = json!([
        { "type": "dense", "units": 12, "activation": "tanh" },
        { "type": "reshape", "target_shape": [2, -1], "name": "steps" },
        { "type": "dense", "units": 6, "from": "input" },
        { "type": "repeat", "n": 2, "name": "again" },
        { "type": "concatenate", "from": ["steps", "again"] },
        { "type": "flatten" },
        { "type": "dense", "units": 2 },
    ]);
    check(spec(&[3], layers), squares, Targets::Values(&random(10, 4)), 5);
    // Without batch norm, which answers by other numbers while training.
    let without = |mut spec: NetworkSpec| {
        for node in &mut spec.layers {
            if node.layer.kind() == "batch_norm" {
                node.layer =
                    serde_json::from_value(json!({ "type": "activation", "activation": "silu" })).expect("");
            }
        }
        spec
    };
    check(without(three_parts()), loss.clone(), Targets::Classes(&[0, 1, 2, 2, 1]), 5);
    check(without(residual()), loss, Targets::Classes(&[0, 1, 2, 2]), 4);
}

/// Ten steps on this many threads.
fn trained(spec: &NetworkSpec, threads: usize) -> (Network, Vec<f32>) {
    let rows = 96;
    let loss = LossSpec::CrossEntropy(CrossEntropy::default());
    let network = Network::init(spec.clone(), 3).expect("it fits");
    let mut engine = Engine::new(network, config(loss, threads, rows)).expect("the settings are right");
    let inputs = random(rows * spec.input.iter().product::<usize>(), 2);
    let classes: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let losses = (0..10).map(|_| {
        engine.step(&inputs, Targets::Classes(&classes), None).expect("the mini-batch is right").loss
    });
    let losses = losses.collect();
    (engine.network(), losses)
}

#[test]
fn graphs_learn_and_training_repeats_bit_for_bit() {
    for spec in [residual(), three_parts()] {
        for threads in [1, 2] {
            let (network, losses) = trained(&spec, threads);
            let (again, _) = trained(&spec, threads);
            assert!(losses[9] < losses[0], "{losses:?}");
            assert_eq!(network.weights_safetensors(), again.weights_safetensors());
            let (_, alone) = trained(&spec, 1);
            assert!((losses[9] - alone[9]).abs() < 1e-4, "threads must not change what is learned");
        }
    }
}

#[test]
fn names_are_kept_and_name_the_weights() {
    let network = Network::init(three_parts(), 1).expect("it fits");
    let lines = network.spec().summary().expect("it fits");
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let wanted = ["0.conv2d", "1.max_pool2d", "seen", "measured", "heard", "5.concatenate", "6.batch_norm"];
    assert_eq!(names[..7], wanted);
    assert_eq!(lines[5].output_shape, [6 + 4 + 8 + 3]);
    let weights = network.weights_safetensors();
    assert!(String::from_utf8_lossy(&weights).contains("\"measured.kernel\""));
    let read = Network::from_parts(network.network_json().as_bytes(), &weights).expect("our own files");
    assert_eq!(read.spec(), network.spec());
    assert_eq!(read.spec().output_activation(), Some(Activation::Softmax));
}

fn check_error(spec: &NetworkSpec, wanted: &str, hint: &str) {
    let error: ModelError = spec.shapes().expect_err(wanted);
    assert!(error.to_string().contains(wanted), "{error}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
}

#[test]
fn names_that_do_not_fit_are_said() {
    let dense = |more: Value| {
        let mut layer = json!({ "type": "dense", "units": 3 });
        layer.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        layer
    };
    let three =
        |first: Value, second: Value| spec(&[3], json!([dense(first), dense(second), dense(json!({}))]));
    let misspelt = three(json!({ "name": "trunk" }), json!({ "from": "trnk" }));
    check_error(&misspelt, "layer 1 (dense): from names 'trnk'", "did you mean 'trunk'?");
    check_error(&three(json!({}), json!({ "from": "zz" })), "from names 'zz'", "known are input");
    let cycle = three(json!({ "from": "b" }), json!({ "name": "b" }));
    check_error(&cycle, "layer 0 (dense): from names 'b', which is layer 1", "no cycles");
    check_error(&three(json!({ "name": "b", "from": "b" }), json!({})), "which is layer 0", "no cycles");
    let twice = three(json!({ "name": "b" }), json!({ "name": "b" }));
    check_error(&twice, "layer 1 (dense): name 'b' is the name of layer 0 (dense) already", "differ");
    check_error(&three(json!({ "name": "input" }), json!({})), "is the name of the input already", "");
    check_error(&three(json!({ "name": "a.b" }), json!({})), "must be 1 to 64 ASCII letters", "");
    let unused = three(json!({}), json!({ "from": "input" }));
    check_error(&unused, "layer 0 (dense): output is used by no other layer", "leave it out");
    let two = three(json!({ "name": "b" }), json!({ "from": ["b", "input"] }));
    check_error(&two, "layer 1 (dense): from gives 2 values, the layer takes 1", "concatenate");
    let alone = spec(&[3], json!([{ "type": "add" }]));
    check_error(&alone, "layer 0 (add): from gives 1 value, the layer takes at least 2", "name all");
    let misfit = spec(
        &[3],
        json!([{ "type": "dense", "units": 2, "name": "b" },
        { "type": "add", "from": ["b", "input"] }]),
    );
    check_error(
        &misfit,
        "layer 1 (add) takes inputs of one shape, but layer 0 (dense) gives [2], the input gives [3]",
        "same units",
    );
}

#[test]
fn input_parts_that_do_not_fit_are_said() {
    let with = |input: usize, parts: Value, layers: Value| -> NetworkSpec {
        serde_json::from_value(json!({ "input": [input], "inputs": parts, "layers": layers }))
            .expect("a network")
    };
    let part = |name: &str, n: usize| json!({ "name": name, "shape": [n] });
    let add = json!([{ "type": "add", "from": ["a", "b"] }]);
    check_error(
        &with(5, json!([part("a", 2), part("b", 2)]), add.clone()),
        "its input is [5], and the parts hold [4]",
        "",
    );
    check_error(
        &with(4, json!([part("a", 2), part("a", 2)]), add.clone()),
        "two parts of its input are called 'a'",
        "",
    );
    check_error(&with(2, json!([part("a", 2), part("b", 0)]), add.clone()), "its b [0] holds a zero", "");
    let three = json!([part("a", 2), part("b", 2), part("c", 2)]);
    check_error(&with(6, three, add), "the input part 'c' is used by no layer", "");
    let two = json!([part("a", 2), part("b", 2)]);
    let dense = json!([{ "type": "dense", "units": 2 }]);
    check_error(&with(4, two, dense), "layer 0 (dense): from is missing", "name one of a, b");
}

/// All weights as they are stored, by name.
fn stored(network: &Network) -> Vec<(String, Vec<u8>)> {
    let bytes = network.weights_safetensors();
    let tensors = SafeTensors::deserialize(&bytes).expect("our own bytes");
    let mut all: Vec<_> =
        tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn frozen_layers_stay_as_they_are() {
    for thawed in [vec!["a"], vec!["7.dense", "c"], vec![]] {
        let mut spec = residual();
        let names: Vec<String> = spec.summary().expect("it fits").into_iter().map(|line| line.name).collect();
        for (node, name) in spec.layers.iter_mut().zip(&names) {
            node.trainable = thawed.contains(&name.as_str());
        }
        let before = stored(&Network::init(spec.clone(), 3).expect("it fits"));
        let after = stored(&trained(&spec, 2).0);
        for ((name, before), (_, after)) in before.iter().zip(&after) {
            let layer = name.rsplit_once('.').expect("layer and array").0;
            assert_eq!(before != after, thawed.contains(&layer), "{name} with {thawed:?}");
        }
        let read: NetworkSpec =
            serde_json::from_str(&serde_json::to_string(&spec).expect("")).expect("written");
        assert_eq!(read, spec);
    }
}

#[test]
fn weights_are_taken_by_name_and_shape() {
    let dense = |name: &str, units: usize| json!({ "type": "dense", "units": units, "name": name });
    let network = |layers: Value, seed| Network::init(spec(&[3], layers), seed).expect("it fits");
    let old = network(json!([dense("trunk", 4), dense("head", 2)]), 1);
    let mut new = network(json!([dense("trunk", 4), dense("more", 4), dense("head", 5)]), 2);
    let result = new.take_weights(&old);
    assert_eq!(result.taken, ["trunk"]);
    assert_eq!(result.left, ["more", "head"]);
    assert_eq!(new.weight_shapes()[..2], ["trunk.kernel [3, 4]", "trunk.bias [4]"]);
    assert!(new.frozen_layers().is_empty());
    let kernel = |network: &Network| stored(network).into_iter().find(|(name, _)| name == "trunk.kernel");
    assert_eq!(kernel(&new), kernel(&old));
}

#[test]
fn a_variational_autoencoder_learns_and_answers_with_the_mean() {
    let layers = json!([
        { "type": "dense", "units": 8, "activation": "tanh" },
        { "type": "dense", "units": 4 },
        { "type": "gaussian_sample", "beta": 0.01 },
        { "type": "dense", "units": 6 },
    ]);
    let spec = spec(&[6], layers);
    let inputs = random(64 * 6, 5);
    let run = |threads| {
        let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
        let network = Network::init(spec.clone(), 3).expect("it fits");
        let mut engine = Engine::new(network, config(loss, threads, 64)).expect("the settings are right");
        let losses: Vec<f32> = (0..200)
            .map(|_| engine.step(&inputs, Targets::Values(&inputs), None).expect("right").loss)
            .collect();
        let (mut once, mut again) = (Vec::new(), Vec::new());
        engine.forward(&inputs, 64, &mut once).expect("the lengths are right");
        engine.forward(&inputs, 64, &mut again).expect("the lengths are right");
        assert_eq!(once, again, "inference draws nothing");
        losses
    };
    let losses = run(1);
    assert!(losses[199] < 0.9 * losses[0], "{} {}", losses[0], losses[199]);
    assert!((run(2)[0] - losses[0]).abs() < 1e-5, "noise must not depend on how rows are sharded");
}
