//! The body of an Open Inference Protocol request with raw tensors behind the JSON; two first bytes say how
//! much of it is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_api::open_inference::decode_binary;

fuzz_target!(|data: &[u8]| {
    let Some((json_bytes, body)) = data.split_first_chunk() else { return };
    match decode_binary(body, usize::from(u16::from_le_bytes(*json_bytes))) {
        Ok(request) => drop(request),
        Err(failure) => drop(format!("{failure:?}")),
    }
});
