//! `pipeline.json`: a fitted pipeline from a file that somebody else may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::Pipeline;

fuzz_target!(|data: &[u8]| {
    match Pipeline::from_json(data) {
        Ok(pipeline) => {
            let _ = pipeline.input_fields();
            let again = Pipeline::from_json(pipeline.to_json().as_bytes());
            assert!(again.is_ok(), "our own text reads back");
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
