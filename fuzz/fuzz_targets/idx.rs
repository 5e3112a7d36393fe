//! IDX arrays, plain or gzipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::read::idx;

fuzz_target!(|data: &[u8]| {
    match idx::from_bytes(data) {
        Ok(array) => drop(array),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
