//! PNG and JPEG images, also those that lie about their size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_data::read::image_folder;

fuzz_target!(|data: &[u8]| {
    match image_folder::from_bytes(data) {
        Ok(picture) => drop(picture),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
