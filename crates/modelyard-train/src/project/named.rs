//! A thing of several kinds, written by its name alone (`optimizer = "adam"`) or as a table with its settings
//! (`optimizer = { type = "adam", learning_rate = 0.01 }`).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::validate::{branches, tag};

/// A name, or a table with settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum NamedOr<T> {
    /// The name; every setting at its default.
    Name(String),
    /// The settings.
    Settings(T),
}

impl<T: DeserializeOwned + Clone> NamedOr<T> {
    /// The settings, defaults filled in.
    ///
    /// # Errors
    /// Where there is no such name.
    pub(crate) fn resolve(&self) -> Result<T, serde_json::Error> {
        match self {
            Self::Name(name) => serde_json::from_value(json!({ "type": name })),
            Self::Settings(settings) => Ok(settings.clone()),
        }
    }
}

impl<T: JsonSchema> JsonSchema for NamedOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NamedOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<T>();
        let root = json!({ "$defs": Value::Object(generator.definitions().clone()) });
        let names: Vec<&str> = branches(&root, settings.as_value())
            .iter()
            .filter_map(|branch| Some(tag(&root, branch)?.1))
            .collect();
        json_schema!({ "anyOf": [{ "type": "string", "enum": names }, settings] })
    }
}
