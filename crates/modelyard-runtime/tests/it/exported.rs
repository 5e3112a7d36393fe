//! Networks as they are trained here: every kind of layer, with random weights, must answer alike on the
//! native engine, rten and ONNX Runtime.

use std::sync::Arc;

use modelyard_model::{Network, NetworkSpec};
use modelyard_runtime::{LoadOptions, ModelFiles, parity};
use modelyard_types::ErrorKind;
use serde_json::json;

use crate::support::{named, noise, runtimes};

/// The largest |a − b| / (1 + |a|) allowed: sums of a few hundred 32-bit products in another order.
pub(crate) const TOLERANCE: f64 = 2e-5;

/// A network of these layers, every weight and every running statistic random.
pub(crate) fn network(input: &[usize], layers: &serde_json::Value) -> Network {
    random_network(serde_json::from_value(json!({ "input": input, "layers": layers })).expect("a valid list"))
}

fn random_network(spec: NetworkSpec) -> Network {
    let network = Network::init(spec, 7).expect("the layers fit each other");
    let mut weights = network.weights_safetensors();
    let header_bytes = u64::from_le_bytes(weights[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&weights[8..8 + header_bytes]).expect("JSON");
    for (name, entry) in header.as_object().expect("a table") {
        let Some(offsets) = entry["data_offsets"].as_array() else { continue };
        let [from, to] = [0, 1].map(|i| 8 + header_bytes + offsets[i].as_u64().expect("a number") as usize);
        let values = noise((to - from) / 4, from as u64 + 1);
        let positive = name.contains("variance");
        for (word, value) in weights[from..to].chunks_exact_mut(4).zip(values) {
            let value = if positive { value.abs() + 0.1 } else { value * 0.5 };
            word.copy_from_slice(&value.to_le_bytes());
        }
    }
    Network::from_parts(network.network_json().as_bytes(), &weights).expect("the same shapes")
}

pub(crate) fn check(what: &str, input: &[usize], layers: &serde_json::Value) {
    check_network(what, &network(input, layers));
}

fn check_network(what: &str, network: &Network) {
    let (json, weights) = (network.network_json(), network.weights_safetensors());
    let onnx = network.to_onnx().expect("every layer exports");
    let files = ModelFiles { onnx: Some(&onnx), network: Some(json.as_bytes()), weights: Some(&weights) };
    let shape: Vec<usize> = std::iter::once(5).chain(network.spec().input.iter().copied()).collect();
    let rows = named("input", &shape, noise(shape.iter().product(), 21));
    let report = parity(runtimes(), &files, &[rows]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.reference, "native");
    assert!(report.differences.iter().any(|other| other.runtime == "rten"), "{what}: {report:?}");
    assert!(report.agrees(TOLERANCE), "{what}: {report:?}");
}

#[test]
fn dense_networks_agree_with_every_activation() {
    for name in ["relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax"] {
        let layers = json!([
            { "type": "dense", "units": 17, "activation": name },
            { "type": "dense", "units": 3, "use_bias": false },
        ]);
        check(name, &[9], &layers);
        check(
            name,
            &[9],
            &json!([{ "type": "dense", "units": 4 }, { "type": "activation", "activation": name }]),
        );
    }
}

#[test]
fn image_networks_agree() {
    for padding in ["valid", "same"] {
        let layers = json!([
            { "type": "conv2d", "filters": 5, "kernel_size": 3, "padding": padding, "activation": "relu" },
            { "type": "batch_norm" },
            { "type": "max_pool2d", "pool_size": 2, "padding": padding },
            { "type": "conv2d", "filters": 4, "kernel_size": [2, 3], "strides": [2, 1], "padding": padding },
            { "type": "avg_pool2d", "pool_size": 2, "strides": 1, "padding": padding },
            { "type": "flatten" },
            { "type": "dropout", "rate": 0.5 },
            { "type": "dense", "units": 3, "activation": "softmax" },
        ]);
        check(padding, &[11, 13, 3], &layers);
    }
    check("batch norm of a row", &[6], &json!([{ "type": "batch_norm" }, { "type": "dense", "units": 2 }]));
}

#[test]
fn graphs_agree() {
    let conv = |name: &str| json!({ "type": "conv2d", "filters": 3, "kernel_size": 3, "padding": "same", "name": name });
    let residual = json!([
        conv("a"),
        { "type": "add", "from": ["a", "input"], "name": "b" },
        { "type": "batch_norm", "name": "c" },
        { "type": "activation", "activation": "relu", "name": "d" },
        { "type": "multiply", "from": ["d", "b"], "name": "e" },
        { "type": "concatenate", "from": ["e", "input", "d"] },
    ]);
    let with = |last: serde_json::Value, count: usize| {
        let mut layers = residual.as_array().expect("a list").clone();
        layers.truncate(count);
        layers.push(last);
        serde_json::Value::Array(layers)
    };
    check("images joined by channel", &[4, 6, 3], &with(json!({ "type": "flatten" }), 6));
    check("images out", &[4, 6, 3], &with(json!({ "type": "activation", "activation": "tanh" }), 6));
    let widened = json!({ "type": "concatenate", "from": ["e", "input"], "axis": 2 });
    check("images joined by width", &[4, 6, 3], &with(widened, 5));
    let shapes = json!([
        { "type": "dense", "units": 24, "name": "x" },
        { "type": "reshape", "target_shape": [2, 3, 4] },
        { "type": "conv2d", "filters": 5, "kernel_size": 2 },
        { "type": "reshape", "target_shape": [-1, 5] },
        { "type": "flatten", "name": "y" },
        { "type": "repeat", "n": 3, "from": "input", "name": "again" },
        { "type": "reshape", "target_shape": [3, 8], "from": "x", "name": "z" },
        { "type": "concatenate", "from": ["again", "z"] },
        { "type": "flatten", "name": "v" },
        { "type": "concatenate", "from": ["y", "v"] },
    ]);
    check("shapes", &[7], &shapes);
    let sample = json!([{ "type": "gaussian_sample" }, { "type": "dense", "units": 3 }]);
    check("means of distributions", &[8], &sample);
}

#[test]
fn networks_of_several_input_parts_agree() {
    let spec = json!({
        "input": [51],
        "inputs": [
            { "name": "image", "shape": [5, 4, 2] },
            { "name": "numbers", "shape": [3] },
            { "name": "series", "shape": [4, 2] },
        ],
        "layers": [
            { "type": "conv2d", "filters": 3, "kernel_size": 2, "activation": "relu", "from": "image" },
            { "type": "max_pool2d" },
            { "type": "flatten", "name": "seen" },
            { "type": "dense", "units": 4, "activation": "tanh", "from": "numbers", "name": "measured" },
            { "type": "flatten", "from": "series", "name": "heard" },
            { "type": "concatenate", "from": ["seen", "measured", "heard", "numbers"] },
            { "type": "dense", "units": 3, "activation": "softmax" },
        ],
    });
    check_network("three parts", &random_network(serde_json::from_value(spec).expect("a network")));
}

#[test]
fn the_native_engine_keeps_the_contract() {
    let network = network(&[6], &json!([{ "type": "dense", "units": 2, "activation": "sigmoid" }]));
    let (json, weights) = (network.network_json(), network.weights_safetensors());
    let files = ModelFiles { onnx: None, network: Some(json.as_bytes()), weights: Some(&weights) };
    let native = runtimes().choose(&files).expect("the network's files are there");
    assert_eq!(native.name(), "native");
    let model = Arc::clone(&native.load(&files, &LoadOptions::default()).expect("it loads"));
    let rows = noise(6 * 8, 5);
    let all =
        model.session().expect("a session").run(&[named("input", &[8, 6], rows.clone())]).expect("it runs");
    assert_eq!(all[0].tensor.shape(), [8, 2]);
    std::thread::scope(|scope| {
        for row in 0..8 {
            let (model, rows, all) = (&model, &rows, &all);
            scope.spawn(move || {
                let x = named("input", &[1, 6], rows[row * 6..row * 6 + 6].to_vec());
                let one = model.session().expect("a session").run(&[x]).expect("it runs");
                let want = all[0].tensor.slice_rows(row, row + 1);
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
                assert!(
                    one[0]
                        .tensor
                        .as_f32()
                        .into_iter()
                        .flatten()
                        .zip(want.as_f32().into_iter().flatten())
                        .all(near)
                );
            });
        }
    });
    let mut session = model.session().expect("a session");
    for wrong in [
        named("x", &[1, 6], noise(6, 1)),
        named("input", &[1, 7], noise(7, 1)),
        named("input", &[1, 6], vec![0i64; 6]),
        named("input", &[0, 6], Vec::<f32>::new()),
    ] {
        assert_eq!(session.run(&[wrong]).expect_err("it does not fit").kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn damaged_network_files_are_errors() {
    let network = network(&[6], &json!([{ "type": "dense", "units": 2 }]));
    let (json, weights) = (network.network_json(), network.weights_safetensors());
    let native = runtimes().by_name("native").expect("it is always there");
    let load = |json: &[u8], weights: &[u8]| {
        let files = ModelFiles { onnx: None, network: Some(json), weights: Some(weights) };
        native.load(&files, &LoadOptions::default()).map(|_| ())
    };
    load(json.as_bytes(), &weights).expect("whole files load");
    for length in 0..weights.len() {
        assert!(load(json.as_bytes(), &weights[..length]).is_err(), "weights cut at {length}");
    }
    for length in 0..json.trim_end().len() {
        assert!(load(&json.as_bytes()[..length], &weights).is_err(), "network cut at {length}");
    }
    assert!(native.load(&ModelFiles::default(), &LoadOptions::default()).is_err());
}
