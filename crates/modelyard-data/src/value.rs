//! A raw row, as a request or a JSON line gives it: names and values of no fixed type yet.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// One raw row: values by the name of their input.
pub type Row = BTreeMap<String, Value>;

/// One raw value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing known.
    Missing,
    /// A number.
    Number(f64),
    /// A point in time, in seconds since 1970-01-01 00:00 UTC, from a format that says that it is one.
    Moment(f64),
    /// Text: a category, a datetime, or an image in base64.
    Text(String),
    /// The bytes of an image file.
    Bytes(Vec<u8>),
    /// Several numbers: a vector, or the pixels of an image row by row.
    Vector(Vec<f64>),
    /// Several texts, or texts and numbers mixed: a category or datetime at each step of a window.
    List(Vec<Value>),
}

impl Value {
    /// What JSON says: null is missing, true and false are the texts `true` and `false`, arrays of numbers,
    /// nested or not, become one vector, and flat arrays with texts in them a list. Objects, and arrays of
    /// anything else, are none of these.
    pub fn from_json(json: &Json) -> Option<Self> {
        Some(match json {
            Json::Null => Self::Missing,
            Json::Bool(flag) => Self::Text(flag.to_string()),
            Json::Number(number) => Self::Number(number.as_f64()?),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                match flatten(items, &mut values) {
                    Some(()) => Self::Vector(values),
                    None => Self::List(items.iter().map(plain).collect::<Option<_>>()?),
                }
            }
            Json::Object(_) => return None,
        })
    }

    /// The value as JSON; bytes become base64 text, a number that JSON cannot write becomes null.
    pub fn to_json(&self) -> Json {
        use base64::Engine as _;
        match self {
            Self::Missing => Json::Null,
            Self::Number(number) | Self::Moment(number) => Json::from(*number),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Bytes(bytes) => Json::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Self::Vector(values) => Json::from(values.as_slice()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
        }
    }

    /// What the value is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Missing => "nothing".into(),
            Self::Number(number) => format!("the number {number}"),
            Self::Moment(seconds) => format!("the time {seconds} (seconds since 1970)"),
            Self::Text(text) => format!("the text {:?}", crate::error::excerpt(text)),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Vector(values) => format!("a list of {} numbers", values.len()),
            Self::List(items) => format!("a list of {} values", items.len()),
        }
    }
}

/// What is no array.
fn plain(json: &Json) -> Option<Value> {
    if json.is_array() { None } else { Value::from_json(json) }
}

/// Recursion is as deep as the JSON parser allowed the nesting to be.
fn flatten(items: &[Json], values: &mut Vec<f64>) -> Option<()> {
    for item in items {
        match item {
            Json::Array(inner) => flatten(inner, values)?,
            Json::Null => values.push(f64::NAN),
            other => values.push(other.as_f64()?),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Option<Value>) {
        let json: Json = serde_json::from_str(json).expect("the test writes JSON");
        assert_eq!(Value::from_json(&json), expected);
    }

    #[test]
    fn json_values_keep_their_meaning() {
        check("null", Some(Value::Missing));
        check("true", Some(Value::Text("true".into())));
        check("-1.5", Some(Value::Number(-1.5)));
        check("\"a\"", Some(Value::Text("a".into())));
        check("[[1, 2], [3, 4]]", Some(Value::Vector(vec![1.0, 2.0, 3.0, 4.0])));
        check("[1, \"a\"]", Some(Value::List(vec![Value::Number(1.0), Value::Text("a".into())])));
        check("[[1], \"a\"]", None);
        check("{}", None);
    }

    #[test]
    fn bytes_are_written_as_base64() {
        assert_eq!(Value::Bytes(vec![1, 2, 3]).to_json(), Json::from("AQID"));
    }
}
