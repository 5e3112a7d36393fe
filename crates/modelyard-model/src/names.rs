//! Lets the project file say `loss = "mse"` where a table `{ type = "mse" }` would say no more.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads a value tagged by `type` from its table, or from its name alone when it needs no settings.
///
/// For `#[serde(deserialize_with = "modelyard_model::name_or_table")]` on a [`LossSpec`](crate::LossSpec), an
/// [`OptimizerSpec`](crate::OptimizerSpec) or a [`LayerSpec`](crate::LayerSpec).
///
/// # Errors
/// As the value's own `Deserialize`.
pub fn name_or_table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(NameOrTable(PhantomData))
}

struct NameOrTable<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NameOrTable<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table with a type")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        T::deserialize(MapDeserializer::new([("type", name)].into_iter()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Huber, LossSpec, MeanSquaredError};

    fn read(json: &str) -> Result<LossSpec, serde_json::Error> {
        super::name_or_table(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn a_name_is_enough() {
        assert_eq!(read(r#""mse""#).expect("a name"), LossSpec::MeanSquaredError(MeanSquaredError {}));
        let huber = LossSpec::Huber(Huber { delta: 2.0 });
        assert_eq!(read(r#"{"type":"huber","delta":2}"#).expect("a table"), huber);
        let error = read(r#""mean""#).expect_err("no such loss").to_string();
        assert!(error.contains("unknown variant `mean`, expected one of `mse`"), "{error}");
    }
}
