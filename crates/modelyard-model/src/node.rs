//! One entry of a network's list of layers: the layer, its name, and whose values it takes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::layers::LayerSpec;

/// A layer in its place. Written as one flat table: `{ type = "add", name = "sum", from = ["a", "b"] }`.
///
/// ```
/// use modelyard_model::{Activation, Dense, LayerSpec, Node};
///
/// let dense = LayerSpec::Dense(Dense::new(8, Some(Activation::Relu)));
/// let node = Node::from(dense).named("wide").after(["numbers"]);
/// let json = serde_json::to_value(&node)?;
/// assert_eq!((&json["name"], &json["from"]), (&"wide".into(), &"numbers".into()));
/// assert_eq!(serde_json::from_value::<Node>(json)?, node);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The name by which other layers take this one's values, and under which its weights are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The input parts or earlier layers whose values this layer takes; empty for the entry before it.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_list")]
    pub from: Vec<String>,
    /// Whether training moves the layer's weights.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub trainable: bool,
    /// The layer.
    #[serde(flatten)]
    pub layer: LayerSpec,
}

impl Node {
    /// Gives the layer a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Keeps the layer's weights as they are while training.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        self.trainable = false;
        self
    }

    /// Says whose values the layer takes.
    #[must_use]
    pub fn after<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.from = names.into_iter().map(str::to_owned).collect();
        self
    }
}

impl From<LayerSpec> for Node {
    fn from(layer: LayerSpec) -> Self {
        Self { name: None, from: Vec::new(), trainable: true, layer }
    }
}

fn one_or_list<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match names {
        [name] => name.serialize(serializer),
        names => names.serialize(serializer),
    }
}

/// By hand: serde's `flatten` would no longer refuse the keys that a layer does not know.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layer's table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let (mut name, mut from, mut trainable, mut settings) = (None, Vec::new(), true, Map::new());
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "name" => name = Some(entries.next_value()?),
                "trainable" => trainable = entries.next_value()?,
                "from" => from = names(entries.next_value()?).map_err(A::Error::custom)?,
                _ => {
                    let value = entries.next_value::<Value>()?;
                    settings.insert(key, value);
                }
            }
        }
        let layer = LayerSpec::deserialize(Value::Object(settings)).map_err(A::Error::custom)?;
        Ok(Node { name, from, trainable, layer })
    }
}

fn names(value: Value) -> Result<Vec<String>, String> {
    let names = match value {
        Value::String(name) => vec![name],
        list => serde_json::from_value(list).unwrap_or_default(),
    };
    if names.is_empty() { Err("`from` must be a name or a list of names".to_owned()) } else { Ok(names) }
}

/// The layers' own schema, each table with the keys that every entry takes.
impl JsonSchema for Node {
    fn schema_name() -> Cow<'static, str> {
        "Node".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = LayerSpec::json_schema(generator).to_value();
        let name = json!({
            "type": "string", "minLength": 1, "maxLength": 64,
            "description": "The name by which later layers take this one's values (`from`) and under which \
                            its weights are stored: ASCII letters, digits, `_` and `-`.",
        });
        let from = json!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            ],
            "description": "The input parts or earlier layers whose values this layer takes, by name. When \
                            absent, the layer takes what the entry before it gives.",
        });
        let trainable = json!({
            "type": "boolean", "default": true,
            "description": "Whether training moves the layer's weights. A frozen `batch_norm` also keeps its \
                            running statistics and answers by them.",
        });
        for branch in schema["oneOf"].as_array_mut().into_iter().flatten() {
            branch["properties"]["name"] = name.clone();
            branch["properties"]["from"] = from.clone();
            branch["properties"]["trainable"] = trainable.clone();
        }
        json_schema!({ "oneOf": schema["oneOf"].take() })
    }
}

/// One of several parts of a network's input. A row holds the parts' values one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputPart {
    /// The name by which layers take it.
    pub name: String,
    /// Its shape without the batch dimension: [features], [steps, features] or [height, width, channels].
    pub shape: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        serde_json::from_str::<Node>(json).expect_err(json).to_string()
    }

    #[test]
    fn what_is_no_layer_is_said() {
        assert!(error(r#"{"type":"dense","units":2,"nane":"a"}"#).contains("unknown field `nane`"));
        assert!(error(r#"{"type":"dense","units":2,"from":[]}"#).contains("a name or a list of names"));
        assert!(error(r#"{"type":"dense","units":2,"from":3}"#).contains("a name or a list of names"));
        assert!(error(r#"{"type":"denze"}"#).contains("unknown variant `denze`"));
        assert!(error("[]").contains("a layer's table"));
    }
}
