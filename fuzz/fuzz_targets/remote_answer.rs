//! What another server answers to a step of a graph by gRPC: the outputs, and what the model takes and gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_api::open_inference::{decode_grpc_answer, decode_grpc_metadata};

fuzz_target!(|data: &[u8]| {
    if let Ok(outputs) = decode_grpc_answer(data) {
        for output in outputs {
            let count: usize = output.tensor.shape().iter().product();
            assert_eq!(count, output.tensor.data().len(), "as many values as the shape says");
        }
    }
    if let Ok(signature) = decode_grpc_metadata(data) {
        drop(format!("{signature:?}"));
    }
});
