//! A model configuration as JSON, as it comes with the order to load a model: settings, or a refusal with a hint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_serve::read_config_override;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read_config_override("m", text) {
        Ok(settings) => drop(settings),
        Err(error) => {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
    }
});
