//! `signature.json`, `scores.json`, `lineage.json` and a model's route: what can be read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelyard_registry::document::{Lineage, Route, Scores, SignatureDocument};

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = SignatureDocument::from_json(data) {
        assert_eq!(SignatureDocument::from_json(document.to_json().as_bytes()).ok(), Some(document));
    }
    if let Ok(scores) = Scores::from_json(data) {
        let text = scores.to_json().expect("JSON holds finite numbers only");
        assert_eq!(Scores::from_json(text.as_bytes()).ok(), Some(scores));
    }
    if let Ok(lineage) = Lineage::from_json(data) {
        assert_eq!(Lineage::from_json(lineage.to_json().as_bytes()).ok(), Some(lineage));
    }
    if let Ok(route) = Route::from_json(data) {
        assert_eq!(Route::from_json(route.to_json().as_bytes()).ok(), Some(route));
    }
});
