//! The OpenAPI document of all routes, made from them and committed as `schemas/openapi.json`.
//!
//! Source: <https://spec.openapis.org/oas/v3.1.0>.

mod schemas;

use serde_json::{Map, Value, json};

use crate::router;
use crate::routes::{Content, Operation};

/// The document, as JSON that people can read.
pub fn openapi() -> String {
    let mut paths = Map::new();
    for operation in router::operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = describe(&operation);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard",
            "summary": "Served models: the Open Inference Protocol v2 and predictions by name.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas::all() },
    });
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value is always written");
    text.push('\n');
    text
}

fn describe(operation: &Operation) -> Value {
    let about = &operation.about;
    let mut told = json!({
        "summary": about.summary,
        "operationId": identifier(operation),
        "responses": responses(about.gives, about.refuses),
    });
    let mut parameters: Vec<Value> = names_in(operation.path).map(path_parameter).collect();
    if let Content::Tensors(_) = about.takes {
        parameters.push(json!({
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "How many bytes of the body are JSON, where raw tensors follow.",
            "schema": { "type": "integer", "minimum": 0 },
        }));
    }
    if !parameters.is_empty() {
        told["parameters"] = parameters.into();
    }
    if about.takes != Content::Nothing {
        let required = !matches!(about.takes, Content::JsonOrNothing(_));
        told["requestBody"] = json!({ "required": required, "content": content(about.takes) });
    }
    told
}

/// A name for the operation: its method and the words of its path.
fn identifier(operation: &Operation) -> String {
    let words = operation.path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "get_page".to_owned() } else { format!("{}_{}", operation.method, words.join("_")) }
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn path_parameter(name: &str) -> Value {
    let (what, pattern) = match name {
        "version" => ("A version's number, or an alias such as `live`.", "^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        "region" => ("A shared memory region's name.", "^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        _ => ("A model's name.", "^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    };
    json!({
        "name": name, "in": "path", "required": true, "description": what,
        "schema": { "type": "string", "pattern": pattern },
    })
}

fn content(content: Content) -> Value {
    let json = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    let binary = json!({ "schema": { "type": "string", "format": "binary" } });
    match content {
        Content::Nothing => json!({}),
        Content::Json(name) | Content::JsonOrNothing(name) | Content::State(name) => {
            json!({ "application/json": json(name) })
        }
        Content::Tensors(name) => {
            json!({ "application/json": json(name), "application/octet-stream": binary })
        }
        Content::JsonOrImage(name) => json!({ "application/json": json(name), "image/*": binary }),
        Content::Text(media) => json!({ media: { "schema": { "type": "string" } } }),
    }
}

fn responses(gives: Content, refuses: &[u16]) -> Value {
    let mut told = Map::new();
    let mut answer = json!({ "description": "The answer." });
    if gives != Content::Nothing {
        answer["content"] = content(gives);
    }
    if let Content::State(name) = gives {
        let either = [name, "Failure"].map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        let content = json!({ "application/json": { "schema": { "anyOf": either } } });
        told.insert("503".to_owned(), json!({ "description": "Not now.", "content": content }));
    }
    told.insert("200".to_owned(), answer);
    for status in refuses {
        let failure = json!({
            "description": meaning(*status),
            "content": content(Content::Json("Failure")),
        });
        told.insert(status.to_string(), failure);
    }
    told.into()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request can never work as it is.",
        403 => "The server does not let clients do this.",
        404 => "There is no such model or version.",
        405 => "This path is asked for by another method.",
        408 => "The body came too slowly.",
        409 => "Not while things are as they are.",
        413 => "A limit on the request's size was passed.",
        415 => "The body's coding is not known.",
        429 => "The queue is full; try again later.",
        501 => "Known, but not supported.",
        503 => "Not now: starting, unloaded or shutting down.",
        504 => "The deadline passed.",
        _ => "The server failed.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_told_once_and_every_schema_is_there() {
        let text = openapi();
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let told: usize = paths.values().map(|path| path.as_object().map_or(0, Map::len)).sum();
        assert_eq!(told, router::operations().len());
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(document["components"]["schemas"][name].is_object(), "{name} is not described");
        }
        assert!(paths.contains_key("/v1/models/{model}:predict"));
    }
}
