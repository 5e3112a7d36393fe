//! WAV files, also those that lie about their length, heard as log-mel features.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::read::jsonl;
use modelyard_data::transform::LogMel;
use modelyard_data::{InputSpec, Kind, PipelineSpec, SourceSpec, TransformSpec, Value};

fuzz_target!(|data: &[u8]| {
    let mel = LogMel { sample_rate: 8_000, seconds: 0.1, n_fft: 64, hop: 32, n_mels: 8 };
    let input = InputSpec {
        transforms: Some(vec![TransformSpec::LogMel(mel)]),
        ..InputSpec::new("sound", Kind::Audio)
    };
    let spec = PipelineSpec { inputs: vec![input], outputs: Vec::new(), windows: None };
    let row = format!("{{\"sound\": {}}}\n", Value::Bytes(data.to_vec()).to_json());
    match jsonl::from_bytes(row.as_bytes(), &SourceSpec::new("rows"), &spec) {
        Ok(heard) => assert_eq!(heard.rows(), 1),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
