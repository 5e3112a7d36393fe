//! NPY arrays, plain or gzipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::read::npy;

fuzz_target!(|data: &[u8]| {
    match npy::from_bytes(data) {
        Ok(array) => drop(array),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
