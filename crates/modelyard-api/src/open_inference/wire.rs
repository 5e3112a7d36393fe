//! The protocol's JSON: requests decoded in one pass straight into tensors, responses written without a
//! tree in between.

use std::borrow::Cow;
use std::fmt;

use modelyard_types::{DataType, NamedTensor, Tensor, TensorData};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::elements::{Fill, Nesting, empty};
use crate::error::Failure;
use crate::write;

/// Most inputs, and most outputs, that one request may name.
const TENSORS_MAX: usize = 256;
/// Most dimensions of one tensor.
const DIMENSIONS_MAX: usize = 16;

/// An inference request as it stood in the JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedRequest {
    /// The caller's own name for the request, given back with the answer.
    pub id: Option<String>,
    /// The inputs, in the request's order.
    pub inputs: Vec<NamedTensor>,
    /// The outputs asked for; empty means all.
    pub outputs: Vec<String>,
}

/// Decodes the body of `…/infer`. Safe on any bytes: it never panics and needs memory in proportion to
/// their number only.
///
/// # Errors
/// What is wrong and where in the body, as an invalid argument.
pub fn decode_json(body: &[u8]) -> Result<DecodedRequest, Failure> {
    let malformed =
        |error: serde_json::Error| Failure::invalid(format!("the body is no inference request: {error}"));
    let first = read(body, &[]).map_err(malformed)?;
    // Members of a JSON object have no order. Data that came before its type and shape was skipped, and is
    // read in a second pass, now that they are known; clients write them first.
    let request = if first.inputs.iter().any(|input| input.skipped) {
        let heads: Vec<Head> = first.inputs.into_iter().map(|input| input.head).collect();
        read(body, &heads).map_err(malformed)?
    } else {
        first
    };
    let inputs = request.inputs.into_iter().map(Input::finish).collect::<Result<_, _>>()?;
    Ok(DecodedRequest { id: request.id, inputs, outputs: request.outputs })
}

fn read(body: &[u8], heads: &[Head]) -> Result<Request, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let request = RequestSeed { heads, values_max: body.len() / 2 + 1 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(request)
}

#[derive(Default)]
struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
}

/// What must be known of a tensor before its data can be read.
#[derive(Clone, Default)]
struct Head {
    name: Option<String>,
    shape: Option<Vec<usize>>,
    data_type: Option<DataType>,
}

#[derive(Default)]
struct Input {
    head: Head,
    data: Option<TensorData>,
    skipped: bool,
}

impl Input {
    fn finish(self) -> Result<NamedTensor, Failure> {
        let name = self.head.name.ok_or_else(|| Failure::invalid("an input has no name"))?;
        let lacks = |what: &str| Failure::invalid(format!("input {name:?} has no {what}"));
        let shape = self.head.shape.ok_or_else(|| lacks("shape"))?;
        self.head.data_type.ok_or_else(|| lacks("datatype"))?;
        let data = self.data.ok_or_else(|| lacks("data"))?;
        let tensor =
            Tensor::new(shape, data).map_err(|error| Failure::invalid(format!("input {name:?}: {error}")))?;
        Ok(NamedTensor { name, tensor })
    }
}

struct RequestSeed<'h> {
    heads: &'h [Head],
    /// No array in the body can have more values than this.
    values_max: usize,
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let mut request = Request::default();
        let mut seen = false;
        while let Some(key) = map.next_key::<Key<'_>>()? {
            match key.0.as_ref() {
                "id" => request.id = map.next_value()?,
                "inputs" if seen => return Err(A::Error::duplicate_field("inputs")),
                "inputs" => {
                    seen = true;
                    let seed = InputsSeed { heads: self.heads, values_max: self.values_max };
                    request.inputs = map.next_value_seed(seed)?;
                }
                "outputs" => request.outputs = map.next_value_seed(OutputsSeed)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match seen {
            true => Ok(request),
            false => Err(A::Error::missing_field("inputs")),
        }
    }
}

/// A key, borrowed from the body where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct InputsSeed<'h> {
    heads: &'h [Head],
    values_max: usize,
}

impl<'de> DeserializeSeed<'de> for InputsSeed<'_> {
    type Value = Vec<Input>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Input>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_> {
    type Value = Vec<Input>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Input>, A::Error> {
        let mut inputs = Vec::new();
        loop {
            let known = self.heads.get(inputs.len()).cloned();
            match items.next_element_seed(InputSeed { known, values_max: self.values_max })? {
                Some(_) if inputs.len() == TENSORS_MAX => {
                    return Err(A::Error::custom(format!("more than {TENSORS_MAX} inputs")));
                }
                Some(input) => inputs.push(input),
                None => return Ok(inputs),
            }
        }
    }
}

struct InputSeed {
    /// From the first pass.
    known: Option<Head>,
    values_max: usize,
}

impl<'de> DeserializeSeed<'de> for InputSeed {
    type Value = Input;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Input, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InputSeed {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input with name, shape, datatype and data")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
        let second_pass = self.known.is_some();
        let mut input = Input { head: self.known.unwrap_or_default(), ..Input::default() };
        while let Some(key) = map.next_key::<Key<'_>>()? {
            match key.0.as_ref() {
                "name" => input.head.name = Some(map.next_value()?),
                "shape" => {
                    let shape: Vec<usize> = map.next_value()?;
                    if shape.len() > DIMENSIONS_MAX {
                        return Err(A::Error::custom(format!(
                            "a shape of more than {DIMENSIONS_MAX} dimensions"
                        )));
                    }
                    input.head.shape = Some(shape);
                }
                "datatype" => {
                    let name = map.next_value::<Key<'_>>()?;
                    input.head.data_type = Some(name.0.parse().map_err(A::Error::custom)?);
                }
                "data" => match (&input.head.shape, input.head.data_type) {
                    (Some(shape), Some(data_type)) => {
                        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
                        let capacity = count.unwrap_or(0).min(self.values_max);
                        let mut data = empty(data_type, capacity);
                        let mut nesting = Nesting::new(shape.iter().map(|&size| Some(size)).collect(), true);
                        let fill = Fill { data: &mut data, nesting: &mut nesting, depth: 0 };
                        map.next_value_seed(fill)?;
                        input.data = Some(data);
                    }
                    _ => {
                        map.next_value::<IgnoredAny>()?;
                        input.skipped = !second_pass;
                    }
                },
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Without a type or a shape a second pass would find nothing new.
        input.skipped &= input.head.shape.is_some() && input.head.data_type.is_some();
        Ok(input)
    }
}

struct OutputsSeed;

impl<'de> DeserializeSeed<'de> for OutputsSeed {
    type Value = Vec<String>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<String>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OutputsSeed {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of outputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        #[derive(Deserialize)]
        struct Output {
            name: String,
        }
        let mut names = Vec::new();
        while let Some(output) = items.next_element::<Output>()? {
            if names.len() == TENSORS_MAX {
                return Err(A::Error::custom(format!("more than {TENSORS_MAX} outputs")));
            }
            names.push(output.name);
        }
        Ok(names)
    }
}

/// Encodes the answer of `…/infer`, values flat and in row-major order.
///
/// # Errors
/// Where an output holds what JSON cannot carry.
pub(crate) fn encode_response(
    model: &str,
    version: u64,
    id: Option<&str>,
    outputs: &[NamedTensor],
) -> Result<Vec<u8>, Failure> {
    let values: usize = outputs.iter().map(|output| output.tensor.data().len()).sum();
    let mut json = Vec::with_capacity(160 + 13 * values);
    json.extend_from_slice(b"{\"model_name\":");
    write::json(&mut json, model);
    json.extend_from_slice(b",\"model_version\":\"");
    write::json(&mut json, &version);
    json.push(b'"');
    if let Some(id) = id {
        json.extend_from_slice(b",\"id\":");
        write::json(&mut json, id);
    }
    json.extend_from_slice(b",\"outputs\":[");
    for (at, output) in outputs.iter().enumerate() {
        json.extend_from_slice(if at > 0 { b",{\"name\":" } else { b"{\"name\":" });
        write::json(&mut json, &output.name);
        json.extend_from_slice(b",\"shape\":");
        write::json(&mut json, output.tensor.shape());
        json.extend_from_slice(b",\"datatype\":\"");
        json.extend_from_slice(output.tensor.data_type().as_str().as_bytes());
        json.extend_from_slice(b"\",\"data\":");
        write::values(&mut json, output.tensor.data(), 0..output.tensor.data().len())?;
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
    Ok(json)
}
