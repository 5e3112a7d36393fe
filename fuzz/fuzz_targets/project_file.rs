//! `modelyard.toml`: whatever stands in it, the answer is a project or complaints that point into the text.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use modelyard_train::Project;

fuzz_target!(|data: &[u8]| {
    match Project::parse(data, "modelyard.toml", Path::new(".")) {
        Ok(project) => drop(format!("{:?}", project.training())),
        Err(error) => drop((error.to_string(), error.hint())),
    }
});
