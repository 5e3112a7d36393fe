//! A Triton model configuration, `config.pbtxt`: settings, or a refusal that names a line of the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_serve::{ServeError, read_triton_config};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read_triton_config(text) {
        Ok(settings) => drop(settings),
        Err(error) => {
            drop((error.to_string(), error.hint()));
            if let ServeError::ModelConfig { line, .. } = error {
                assert!((1..=text.lines().count().max(1) + 1).contains(&line), "line {line}");
            }
        }
    }
});
