//! What is written to disk, and what is generated from the code: samples of every past format still load,
//! and every key that a project file may hold is explained.

use std::collections::BTreeMap;

use modelyard_data::{Pipeline, PipelineSpec, Profile, SourceSpec, Value};
use serde_json::Value as Json;

use super::{apply, assert_near};

#[test]
fn the_first_pipeline_format_still_loads() {
    let pipeline =
        Pipeline::from_json(include_bytes!("../samples/pipeline-1.json")).unwrap_or_else(|e| panic!("{e}"));
    let row = [
        ("age", Value::Number(20.0)),
        ("city", Value::Text("Rome".into())),
        ("when", Value::Text("2024-01-01".into())),
        ("p", Value::Vector(vec![1.0, 2.0])),
    ];
    let row: BTreeMap<String, Value> =
        row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let data = pipeline.dataset_from_rows(&[row]).expect("a row");
    assert_near(&apply(&pipeline, &data, &[0]), EXPECTED);
}

#[test]
fn the_first_profile_format_still_loads() {
    let profile =
        Profile::from_json(include_bytes!("../samples/profile-1.json")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((profile.rows, profile.fields.len()), (3, 5));
}

fn check_explained(schema: &Json, at: &str) {
    match schema {
        Json::Object(map) => {
            if let Some(Json::Object(properties)) = map.get("properties") {
                for (key, property) in properties {
                    let explained = key == "type" || property.get("description").is_some();
                    assert!(explained, "{at}: {key} has no explanation");
                }
            }
            map.iter().for_each(|(key, value)| check_explained(value, &format!("{at}/{key}")));
        }
        Json::Array(items) => items.iter().for_each(|item| check_explained(item, at)),
        _ => {}
    }
}

#[test]
fn every_key_is_explained() {
    check_explained(schemars::schema_for!(SourceSpec).as_value(), "data");
    check_explained(schemars::schema_for!(PipelineSpec).as_value(), "pipeline");
}

/// What the program that wrote the sample computed for this row.
const EXPECTED: &[f32] = &[-1.254839, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, -1.2247449, -1.2247449];
