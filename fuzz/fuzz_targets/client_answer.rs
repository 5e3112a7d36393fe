//! What a server answers to the client: two bytes that say how many are JSON, or all by the highest number, and then
//! the body of an inference, of a model's metadata, of a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_client::{ClientError, InferenceAnswer, ModelMetadata};

fuzz_target!(|data: &[u8]| {
    let Some((length, body)) = data.split_first_chunk() else { return };
    let json_bytes = Some(u16::from_le_bytes(*length)).filter(|length| *length < u16::MAX);
    match InferenceAnswer::decode(body, json_bytes.map(usize::from)) {
        Ok(answer) => {
            for output in answer.outputs {
                let count: usize = output.tensor.shape().iter().product();
                assert_eq!(count, output.tensor.data().len(), "as many values as the shape says");
            }
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
    if let Err(error) = ModelMetadata::from_json(body) {
        drop((error.to_string(), error.hint()));
    }
    let refusal = ClientError::refusal(503, body);
    drop((refusal.to_string(), refusal.hint(), refusal.changed_nothing()));
});
