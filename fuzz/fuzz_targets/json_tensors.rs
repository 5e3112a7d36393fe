//! The body of an Open Inference Protocol request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_api::open_inference::decode_json;

fuzz_target!(|data: &[u8]| {
    match decode_json(data) {
        Ok(request) => drop(request),
        Err(failure) => drop(format!("{failure:?}")),
    }
});
