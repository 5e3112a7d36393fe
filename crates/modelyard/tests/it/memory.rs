//! What the server holds in memory, seen from outside the process.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use serde_json::json;

use crate::harness::{Running, http};

/// 40 MiB of weights.
const WIDTH: usize = 3_240;
/// What may stay with the process: caches, counters, freed pages that the operating system has not taken yet.
const LEFT_MIB: f64 = 12.0;
const PATIENCE: Duration = Duration::from_secs(30);

fn write_model(folder: &Path, name: &str, width: usize) {
    let dense = |units| LayerSpec::Dense(Dense::new(units, Some(Activation::Relu)));
    let layers = vec![dense(width), dense(width), dense(1)];
    let network = Network::init(NetworkSpec::new(vec![8], layers), 7).expect("layers that fit");
    fs::create_dir_all(folder).expect("can make folders");
    fs::write(folder.join(format!("{name}.onnx")), network.to_onnx().expect("ONNX")).expect("can write");
}

fn ask(address: SocketAddr, model: &str) {
    let row = json!({ "name": "input", "shape": [1, 8], "datatype": "FP32", "data": vec![0.5; 8] });
    let body = json!({ "inputs": [row] }).to_string();
    let (status, answer) = http(address, &format!("POST /v2/models/{model}/infer"), &body);
    assert_eq!(status, 200, "{answer}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the operating system takes pages back when it likes")]
fn what_is_unloaded_leaves_the_process() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let models = folder.path().join("models");
    write_model(&models, "tiny", 8);
    write_model(&models, "one", WIDTH);
    write_model(&models, "two", WIDTH);
    let args = ["serve", "--models", "models", "--repository-control", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(folder.path(), &args);
    let address = server.wait_for_address();
    let control = |what: &str, model: &str| {
        let (status, answer) = http(address, &format!("POST /v2/repository/models/{model}/{what}"), "{}");
        assert_eq!(status, 200, "{answer}");
    };
    let mut before = None;
    for _ in 0..4 {
        for model in ["one", "two"] {
            ask(address, model);
        }
        let loaded = server.resident_mib();
        for model in ["one", "two"] {
            control("unload", model);
        }
        let started = Instant::now();
        let wanted = before.map_or(loaded - 80.0 + LEFT_MIB, |before: f64| before + LEFT_MIB);
        while server.resident_mib() > wanted {
            let left = server.resident_mib();
            assert!(
                started.elapsed() < PATIENCE,
                "{loaded:.0} MiB before, {left:.0} MiB after, {wanted:.0} wanted"
            );
            ask(address, "tiny");
        }
        before.get_or_insert(server.resident_mib());
        for model in ["one", "two"] {
            control("load", model);
        }
    }
    server.interrupt().expect(0);
}
