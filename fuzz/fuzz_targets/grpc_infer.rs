//! The message of a gRPC inference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_api::open_inference::decode_grpc;

fuzz_target!(|data: &[u8]| {
    match decode_grpc(data) {
        Ok(request) => drop(request),
        Err(failure) => drop(format!("{failure:?}")),
    }
});
