//! The walk over a foreign ONNX file that comes before any engine sees it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_runtime::{OnnxLimits, inspect_onnx};

fuzz_target!(|data: &[u8]| {
    match inspect_onnx(data, &OnnxLimits::default()) {
        Ok(summary) => drop(format!("{summary:?}")),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
