//! Requests as JSON, or as JSON followed by raw tensors: decoded in one pass straight into tensors, without
//! a tree in between.

use std::borrow::Cow;
use std::fmt;

use modelyard_serve::SequenceId;
use modelyard_types::{DataType, NamedTensor, Tensor, TensorData, TensorError};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::request::{DecodedRequest, Parameters, WantedOutput, sequence};
use super::shared_memory::{Given, Place, SharedInput};
use crate::elements::{Fill, Nesting, empty};
use crate::error::Failure;
use modelyard_client::raw;

/// Most inputs, and most outputs, that one request may name.
const TENSORS_MAX: usize = 256;
/// The header that says how many bytes of a body are JSON, where raw tensors follow.
pub(super) const BINARY_HEADER: &str = "inference-header-content-length";
/// Most dimensions of one tensor.
const DIMENSIONS_MAX: usize = 16;

/// Decodes the body of `…/infer` that is all JSON. Safe on any bytes: it never panics and needs memory in
/// proportion to their number only.
///
/// # Errors
/// What is wrong and where in the body, as an invalid argument.
pub fn decode_json(body: &[u8]) -> Result<DecodedRequest, Failure> {
    decode(body, &[])
}

/// Decodes the body of `…/infer` whose first `json_bytes` are JSON and whose rest are raw tensors, in the
/// order of the inputs that say `binary_data_size`. As safe as [`decode_json`].
///
/// # Errors
/// As [`decode_json`], and where the raw tensors are not what the JSON says.
pub fn decode_binary(body: &[u8], json_bytes: usize) -> Result<DecodedRequest, Failure> {
    let Some((json, binary)) = body.split_at_checked(json_bytes) else {
        return Err(Failure::invalid(format!(
            "the body has {} bytes, but {BINARY_HEADER} says that {json_bytes} are JSON",
            body.len()
        )));
    };
    decode(json, binary)
}

fn decode(json: &[u8], mut binary: &[u8]) -> Result<DecodedRequest, Failure> {
    let malformed =
        |error: serde_json::Error| Failure::invalid(format!("the body is no inference request: {error}"));
    let first = read(json, &[]).map_err(malformed)?;
    // Members of a JSON object have no order. Data that came before its type and shape was skipped, and is
    // read in a second pass, now that they are known; clients write them first.
    let mut request = if first.inputs.iter().any(|input| input.skipped) {
        let heads: Vec<Head> = first.inputs.into_iter().map(|input| input.head).collect();
        read(json, &heads).map_err(malformed)?
    } else {
        first
    };
    let mut inputs = Vec::with_capacity(request.inputs.len());
    let mut shared = Vec::new();
    for input in std::mem::take(&mut request.inputs) {
        match input.finish(&mut binary)? {
            Finished::Own(tensor) => inputs.push(tensor),
            Finished::Shared(input) => shared.push(input),
        }
    }
    if !binary.is_empty() {
        return Err(Failure::invalid(format!("{} bytes are left behind the last input", binary.len()))
            .with_hint("the sizes of all inputs in binary_data_size must add up to what follows the JSON"));
    }
    let Request { id, outputs, parameters, sequence: Sequence { id: name, start, end }, .. } = request;
    let sequence = sequence(name, start, end)?;
    Ok(DecodedRequest { id, inputs, shared, outputs, parameters, sequence })
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
    outputs: Vec<WantedOutput>,
    parameters: Parameters,
    sequence: Sequence,
}

/// The parameters that place a request in a sequence.
#[derive(Default)]
struct Sequence {
    id: Option<SequenceId>,
    start: bool,
    end: bool,
}

/// The request's `parameters` that mean something here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestParameters {
    binary_data_output: bool,
    timeout: u64,
    priority: u32,
    sequence_id: Option<SequenceName>,
    sequence_start: bool,
    sequence_end: bool,
}

/// A sequence's name.
#[derive(Deserialize)]
#[serde(untagged)]
enum SequenceName {
    Number(u64),
    Text(String),
}

impl From<SequenceName> for SequenceId {
    fn from(name: SequenceName) -> Self {
        match name {
            SequenceName::Number(number) => Self::Number(number),
            SequenceName::Text(text) => Self::Text(text),
        }
    }
}

/// An input's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct InputParameters {
    binary_data_size: Option<usize>,
    shared_memory_region: Option<String>,
    shared_memory_offset: u64,
    shared_memory_byte_size: Option<u64>,
}

/// An output's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputParameters {
    binary_data: Option<bool>,
    classification: usize,
    shared_memory_region: Option<String>,
    shared_memory_offset: u64,
    shared_memory_byte_size: Option<u64>,
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
    /// Bytes of its values behind the JSON.
    binary_bytes: Option<usize>,
    /// Where its values lie, where they are not in the body.
    place: Option<Place>,
    skipped: bool,
}

/// An input that was read to its end.
enum Finished {
    /// Its values are in the request.
    Own(NamedTensor),
    /// They lie in shared memory.
    Shared(SharedInput),
}

impl Input {
    /// The input whole, its raw values taken off the front of `binary`.
    fn finish(self, binary: &mut &[u8]) -> Result<Finished, Failure> {
        let name = self.head.name.ok_or_else(|| Failure::invalid("an input has no name"))?;
        let lacks = |what: &str| Failure::invalid(format!("input {name:?} has no {what}"));
        let shape = self.head.shape.ok_or_else(|| lacks("shape"))?;
        let data_type = self.head.data_type.ok_or_else(|| lacks("datatype"))?;
        let unfit = |what: String| Failure::invalid(format!("input {name:?}: {what}"));
        if let Some(place) = self.place {
            if self.data.is_some() || self.binary_bytes.is_some() {
                return Err(unfit("it has both values and a place in shared memory".to_owned()));
            }
            return Ok(Finished::Shared(SharedInput { name, data_type, shape, place }));
        }
        let data = match (self.data, self.binary_bytes) {
            (Some(data), None) => data,
            (Some(_), Some(_)) => return Err(unfit("it has both data and binary_data_size".to_owned())),
            (None, Some(bytes)) => {
                let left = binary.len();
                let (own, rest) = binary.split_at_checked(bytes).ok_or_else(|| {
                    unfit(format!("binary_data_size is {bytes}, but {left} bytes are left behind the JSON"))
                })?;
                *binary = rest;
                let count = count(&shape)
                    .ok_or_else(|| unfit(TensorError::ShapeTooLarge { shape: shape.clone() }.to_string()))?;
                raw::read(data_type, count, own).map_err(unfit)?
            }
            (None, None) => return Err(lacks("data")),
        };
        let tensor = Tensor::new(shape, data).map_err(|error| unfit(error.to_string()))?;
        Ok(Finished::Own(NamedTensor { name, tensor }))
    }
}

/// How many values a shape asks for.
fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))
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
                "parameters" => {
                    let given: RequestParameters = map.next_value()?;
                    request.parameters = Parameters {
                        binary_data_output: given.binary_data_output,
                        timeout_us: given.timeout,
                        priority: given.priority,
                    };
                    let id = given.sequence_id.map(SequenceId::from);
                    request.sequence = Sequence { id, start: given.sequence_start, end: given.sequence_end };
                }
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
                "parameters" => {
                    let given: InputParameters = map.next_value()?;
                    input.binary_bytes = given.binary_data_size;
                    input.place = Given {
                        region: given.shared_memory_region,
                        offset: given.shared_memory_offset,
                        bytes: given.shared_memory_byte_size,
                    }
                    .place()
                    .map_err(A::Error::custom)?;
                }
                "data" => match (&input.head.shape, input.head.data_type) {
                    (Some(shape), Some(data_type)) => {
                        let capacity = count(shape).unwrap_or(0).min(self.values_max);
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
    type Value = Vec<WantedOutput>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<WantedOutput>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OutputsSeed {
    type Value = Vec<WantedOutput>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of outputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<WantedOutput>, A::Error> {
        #[derive(Deserialize)]
        struct Output {
            name: String,
            #[serde(default)]
            parameters: OutputParameters,
        }
        let mut wanted = Vec::new();
        while let Some(output) = items.next_element::<Output>()? {
            if wanted.len() == TENSORS_MAX {
                return Err(A::Error::custom(format!("more than {TENSORS_MAX} outputs")));
            }
            let given = output.parameters;
            let place = Given {
                region: given.shared_memory_region,
                offset: given.shared_memory_offset,
                bytes: given.shared_memory_byte_size,
            };
            wanted.push(WantedOutput {
                name: output.name,
                binary: given.binary_data,
                classes: given.classification,
                place: place.place().map_err(A::Error::custom)?,
            });
        }
        Ok(wanted)
    }
}
