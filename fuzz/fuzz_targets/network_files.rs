//! `network.json` and `weights.safetensors`: the first two bytes tell where the one ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_model::Network;

/// Larger networks are right, but take the fuzzer too long.
const PARAMETERS_MAX: usize = 100_000;

fuzz_target!(|data: &[u8]| {
    let [low, high, rest @ ..] = data else { return };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (document, weights) = rest.split_at(length);
    match Network::from_parts(document, weights) {
        Ok(network) if network.parameter_count() <= PARAMETERS_MAX => {
            let again = Network::from_parts(network.network_json().as_bytes(), &network.weights_safetensors());
            assert!(again.is_ok(), "our own files read back");
            let _ = network.to_onnx();
        }
        Ok(_) => {}
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
