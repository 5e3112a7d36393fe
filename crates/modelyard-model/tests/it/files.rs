//! `network.json` and `weights.safetensors`: there and back, and what cannot be read.

use modelyard_model::{Activation, ModelError, Network, NetworkSpec};
use modelyard_types::ErrorKind;
use proptest::prelude::*;

use crate::{dense, images, network};

fn small() -> Network {
    Network::init(network(&[3], vec![dense(2, Some(Activation::Softmax))]), 1).expect("it fits")
}

fn check_error(json: &str, weights: &[u8], kind: ErrorKind, wanted: &str) {
    let error = Network::from_parts(json.as_bytes(), weights).expect_err(wanted);
    assert_eq!(error.kind(), kind, "{error}");
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(format!("{error}: {source}").contains(wanted), "{error}: {source}");
}

#[test]
fn a_network_reads_back_as_it_was() {
    let written = Network::init(images(0.5), 4).expect("it fits");
    let weights = written.weights_safetensors();
    let read = Network::from_parts(written.network_json().as_bytes(), &weights).expect("our own files");
    assert_eq!(read.spec(), written.spec());
    assert_eq!(read.weights_safetensors(), weights);
    assert_eq!(read.parameter_count(), written.parameter_count());
    assert_ne!(weights, Network::init(images(0.5), 5).expect("it fits").weights_safetensors());
}

#[test]
fn a_sample_of_format_version_1_still_loads() {
    let json = r#"{"format_version": 1, "network": {"input": [3], "layers": [{"type": "dense", "units": 2,
        "activation": "softmax", "use_bias": true, "kernel_initializer": "glorot_uniform",
        "bias_initializer": "zeros"}]}}"#;
    let read = Network::from_parts(json.as_bytes(), &small().weights_safetensors()).expect("version 1");
    assert_eq!(read.spec(), small().spec());
}

#[test]
fn what_is_not_a_network_is_said() {
    let (network, weights) = (small(), small().weights_safetensors());
    let json = network.network_json();
    let corrupt = ErrorKind::DataCorrupt;
    check_error("{", &weights, corrupt, "EOF");
    check_error(&"[".repeat(100_000), &weights, corrupt, "invalid type: sequence");
    let deep = format!("{{\"format_version\": 2, \"network\": {}", "[".repeat(100_000));
    check_error(&deep, &weights, corrupt, "cannot be read");
    let newer = json.replace("\"format_version\": 2", "\"format_version\": 3");
    check_error(&newer, &weights, ErrorKind::Unsupported, "format version 3, this program reads up to 2");
    check_error(&json.replace("units", "unitz"), &weights, corrupt, "unknown field `unitz`");
    check_error(&json, &weights[..weights.len() - 1], corrupt, "cannot be read");
    check_error(&json, &[], corrupt, "cannot be read");
    let wider = json.replace("\"units\": 2", "\"units\": 3");
    check_error(&wider, &weights, corrupt, "'0.dense.kernel' has shape [3, 2], the network has [3, 3]");
    let without_bias = json.replace("\"use_bias\": true", "\"use_bias\": false");
    check_error(&without_bias, &weights, corrupt, "'0.dense.bias' is not part of the declared network");
    let bare = Network::from_parts(without_bias.as_bytes(), &[]).expect_err("no weights");
    assert!(matches!(bare, ModelError::Weights { .. }));
    let huge = json.replace("\"units\": 2", "\"units\": 4000000");
    check_error(&huge, &weights, corrupt, "has shape");
}

#[test]
fn a_missing_tensor_is_named() {
    let no_bias = NetworkSpec {
        layers: serde_json::from_str(r#"[{"type":"dense","units":2,"use_bias":false}]"#).expect("a layer"),
        ..small().spec().clone()
    };
    let weights = Network::init(no_bias, 1).expect("it fits").weights_safetensors();
    check_error(&small().network_json(), &weights, ErrorKind::DataCorrupt, "'0.dense.bias' is missing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_weights_never_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let (json, mut weights) = (small().network_json(), small().weights_safetensors());
        let at = at % weights.len();
        weights[at] = byte;
        let _ = Network::from_parts(json.as_bytes(), &weights);
        weights.truncate(cut);
        let _ = Network::from_parts(json.as_bytes(), &weights);
    }

    #[test]
    fn damaged_json_never_panics(at in 0usize..400, byte: u8) {
        let (mut json, weights) = (small().network_json().into_bytes(), small().weights_safetensors());
        let at = at % json.len();
        json[at] = byte;
        let _ = Network::from_parts(&json, &weights);
    }
}
