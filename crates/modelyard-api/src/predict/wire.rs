//! The JSON of predictions, decoded in one pass: rows of values for a pipeline, or tensors for a network.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelyard_serve::{FieldInfo, Kind, Row, Value};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::Failure;

/// How a body wraps its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// `{"instances": [row, …]}`
    Instances,
    /// `{"input": row}`
    Input,
}

impl Envelope {
    fn key(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Input => "input",
        }
    }
}

/// What collects rows while they are read.
pub(super) trait Rows<'de> {
    /// Reads one row.
    fn row<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error>;
}

/// Reads a body's rows into a collector.
///
/// # Errors
/// What is wrong and where in the body.
pub(super) fn decode<'de, R: Rows<'de>>(
    body: &'de [u8],
    envelope: Envelope,
    rows: &mut R,
) -> Result<(), Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = BodySeed { envelope, rows }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| Failure::invalid(format!("the body is no prediction request: {error}")))
}

struct BodySeed<'a, R> {
    envelope: Envelope,
    rows: &'a mut R,
}

impl<'de, R: Rows<'de>> DeserializeSeed<'de> for BodySeed<'_, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, R: Rows<'de>> Visitor<'de> for BodySeed<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {:?}", self.envelope.key())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let wanted = self.envelope.key();
        let mut seen = false;
        while let Some(key) = map.next_key::<String>()? {
            if key != wanted {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                return Err(A::Error::duplicate_field(wanted));
            }
            match self.envelope {
                Envelope::Instances => map.next_value_seed(AllRows(self.rows))?,
                Envelope::Input => map.next_value_seed(OneRow(self.rows))?,
            }
        }
        match seen {
            true => Ok(()),
            false => Err(A::Error::missing_field(wanted)),
        }
    }
}

struct OneRow<'a, R>(&'a mut R);

impl<'de, R: Rows<'de>> DeserializeSeed<'de> for OneRow<'_, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.row(deserializer)
    }
}

struct AllRows<'a, R>(&'a mut R);

impl<'de, R: Rows<'de>> DeserializeSeed<'de> for AllRows<'_, R> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, R: Rows<'de>> Visitor<'de> for AllRows<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(OneRow(self.0))?.is_some() {}
        Ok(())
    }
}

/// Rows by name, for a pipeline with these inputs.
pub(super) struct NamedRows<'f> {
    fields: &'f [FieldInfo],
    /// The rows read so far.
    pub(super) rows: Vec<Row>,
}

impl<'f> NamedRows<'f> {
    pub(super) fn new(fields: &'f [FieldInfo]) -> Self {
        Self { fields, rows: Vec::new() }
    }
}

impl<'de> Rows<'de> for NamedRows<'_> {
    fn row<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let row = deserializer.deserialize_any(RowVisitor { fields: self.fields })?;
        self.rows.push(row);
        Ok(())
    }
}

struct RowVisitor<'f> {
    fields: &'f [FieldInfo],
}

impl RowVisitor<'_> {
    /// A row of one bare value.
    fn bare<E: Error>(&self, value: Value) -> Result<Row, E> {
        match self.fields {
            [only] => Ok(Row::from([(only.name.clone(), value)])),
            fields => Err(E::custom(format!("a row is an object with {}", names(fields)))),
        }
    }

    /// Whether this first key of an object means that the object is itself the one image or sound.
    fn is_image(&self, key: &str) -> bool {
        matches!(self.fields, [only] if matches!(only.kind, Kind::Image | Kind::Audio) && only.name != "b64")
            && key == "b64"
    }
}

fn names(fields: &[FieldInfo]) -> String {
    let names: Vec<String> = fields.iter().map(|field| format!("{:?}", field.name)).collect();
    names.join(", ")
}

impl<'de> Visitor<'de> for RowVisitor<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row with {}", names(self.fields))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut row = Row::new();
        while let Some(key) = map.next_key::<String>()? {
            if row.is_empty() && self.is_image(&key) {
                let text: String = map.next_value()?;
                row.insert(self.fields[0].name.clone(), bytes(&text)?);
                continue;
            }
            let AnyValue(value) = map.next_value()?;
            if row.insert(key.clone(), value).is_some() {
                return Err(A::Error::custom(format!("{key:?} stands twice in a row")));
            }
        }
        Ok(row)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Row, A::Error> {
        self.bare(AnyVisitor.visit_seq(items)?)
    }

    fn visit_unit<E: Error>(self) -> Result<Row, E> {
        self.bare(Value::Missing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Row, E> {
        self.bare(Value::Text(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Row, E> {
        self.bare(Value::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Row, E> {
        self.bare(Value::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Row, E> {
        self.bare(Value::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Row, E> {
        self.bare(Value::Text(text.to_owned()))
    }
}

fn bytes<E: Error>(text: &str) -> Result<Value, E> {
    STANDARD.decode(text).map(Value::Bytes).map_err(|error| E::custom(format!("b64 is no base64: {error}")))
}

/// One value of a row. The meaning of JSON's kinds is that of [`Value`]; nested arrays become one vector, and a flat
/// array with texts in it a list.
struct AnyValue(Value);

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text, an array of numbers or texts, or {\"b64\": …}")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Missing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Items::Numbers { values: Vec::new(), are_nested: false };
        while items.next_element_seed(Item(&mut read))?.is_some() {}
        Ok(match read {
            Items::Numbers { values, .. } => Value::Vector(values),
            Items::Mixed(values) => Value::List(values),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("b64") => {}
            _ => return Err(A::Error::custom("an object as a value is {\"b64\": …}")),
        }
        let text: String = map.next_value()?;
        match map.next_key::<IgnoredAny>()? {
            None => bytes(&text),
            Some(_) => Err(A::Error::custom("an object as a value has only \"b64\"")),
        }
    }
}

/// What an array was found to hold so far.
enum Items {
    /// Numbers, some of them perhaps in arrays of their own.
    Numbers { values: Vec<f64>, are_nested: bool },
    /// Texts, and perhaps numbers.
    Mixed(Vec<Value>),
}

impl Items {
    fn push_number(&mut self, number: f64) {
        match self {
            Self::Numbers { values, .. } => values.push(number),
            Self::Mixed(values) => values.push(of_number(number)),
        }
    }

    fn push_text<E: Error>(&mut self, text: String) -> Result<(), E> {
        if let Self::Numbers { values, are_nested: false } = self {
            *self = Self::Mixed(values.iter().copied().map(of_number).collect());
        }
        match self {
            Self::Mixed(values) => values.push(Value::Text(text)),
            Self::Numbers { .. } => return Err(E::custom("an array with texts has no arrays in it")),
        }
        Ok(())
    }
}

/// A number of an array, where NaN stands for null.
fn of_number(number: f64) -> Value {
    if number.is_nan() { Value::Missing } else { Value::Number(number) }
}

/// One item of an array.
struct Item<'a>(&'a mut Items);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers or texts")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_number(f64::NAN);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push_text(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push_number(value as f64);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push_number(value as f64);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push_number(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push_text(text.to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Items::Numbers { values, are_nested } = self.0 else {
            return Err(A::Error::custom("an array with texts has no arrays in it"));
        };
        *are_nested = true;
        while items.next_element_seed(Numbers(values))?.is_some() {}
        Ok(())
    }
}

/// Numbers in arrays of any depth, one after the other. The parser bounds the depth.
struct Numbers<'a>(&'a mut Vec<f64>);

impl<'de> DeserializeSeed<'de> for Numbers<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // A hole in a vector: the pipeline knows NaN as a missing number.
        self.0.push(f64::NAN);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f64);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f64);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Numbers(self.0))?.is_some() {}
        Ok(())
    }
}
