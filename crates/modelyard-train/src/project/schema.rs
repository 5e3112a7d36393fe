//! The JSON Schema of the project file, generated from the types it is read into. Editors complete by it, and
//! [`super::validate`] checks by it.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::ProjectFile;
use super::validate::{ObjectSchema, follow};
use crate::evaluate::metric::METRICS;

/// The schema as JSON text, as it stands in `schemas/project.schema.json`.
pub fn project_schema_json() -> String {
    serde_json::to_string_pretty(schema()).expect("a JSON value can be written") + "\n"
}

/// The schema; generated once.
pub(super) fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = generator.into_root_schema_for::<ProjectFile>().to_value();
        schema["title"] = json!("modelyard.toml");
        let metrics: Vec<&str> = METRICS.iter().map(|metric| metric.name()).collect();
        let watched: Vec<&str> = std::iter::once("loss").chain(metrics.iter().copied()).collect();
        name_choices(&mut schema, "GateSpec", &metrics);
        name_choices(&mut schema, "EarlyStopping", &watched);
        name_choices(&mut schema, "Plateau", &watched);
        merge_tagged(&mut schema);
        schema
    })
}

/// Lists the names that a definition's `metric` may take: the list of metrics is not an enum in Rust.
fn name_choices(schema: &mut Value, definition: &str, names: &[&str]) {
    let property = &mut schema["$defs"][definition]["properties"]["metric"];
    property["enum"] = json!(names);
}

/// Writes each branch of a tagged enum as one closed table. The generator puts the tag beside a reference to a
/// table that forbids it, which no validator would accept.
fn merge_tagged(schema: &mut Value) {
    let root = schema.clone();
    let Some(definitions) = schema["$defs"].as_object_mut() else {
        return;
    };
    for definition in definitions.values_mut() {
        let Some(branches) = definition.get_mut("oneOf").and_then(Value::as_array_mut) else {
            continue;
        };
        for branch in branches {
            if branch.get("$ref").is_some() && branch.get("properties").is_some() {
                *branch = merged(&root, branch);
            }
        }
    }
}

fn merged(root: &Value, branch: &Value) -> Value {
    let object = ObjectSchema::of(root, branch);
    let properties: Map<String, Value> =
        object.properties.iter().map(|(name, property)| ((*name).to_owned(), (*property).clone())).collect();
    let mut table = json!({
        "type": "object",
        "properties": properties,
        "required": object.required,
        "additionalProperties": false,
    });
    let description = branch.get("description").or_else(|| follow(root, branch).get("description"));
    if let Some(description) = description {
        table["description"] = description.clone();
    }
    table
}
