//! JSON lines, plain or gzipped, and on through the pipeline.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::read::jsonl;
use modelyard_fuzz::{settings, source, spec, use_rows};

fuzz_target!(|data: &[u8]| {
    let Some((form, columns, bytes)) = settings(data) else { return };
    let spec = spec(columns);
    use_rows(&spec, jsonl::from_bytes(bytes, &source(form), &spec));
});
