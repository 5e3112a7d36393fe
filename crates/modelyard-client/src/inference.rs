//! A request for an inference and its answer, between tensors and the protocol's bodies.
//!
//! Sources: <https://github.com/kserve/open-inference-protocol>, `specification/protocol/inference_rest.md` and
//! `binary_data.md`; of sequences <https://github.com/triton-inference-server/server>.

use std::fmt;
use std::time::Duration;

use modelyard_types::{DataType, NamedTensor, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::unreadable;
use crate::{ClientError, json_values, raw};

/// What is asked of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inference {
    /// The model.
    pub model: String,
    /// A version's number or an alias; none for the one that answers by default.
    pub version: Option<String>,
    /// The inputs.
    pub inputs: Vec<NamedTensor>,
    /// The outputs wanted; empty for all.
    pub outputs: Vec<String>,
    /// A name for the request, which the answer carries.
    pub id: Option<String>,
    /// From 1, which goes first, to 255.
    pub priority: Option<u8>,
    /// Its place in a sequence.
    pub sequence: Option<SequencePlace>,
    /// How tensors are written, there and back.
    pub form: Form,
}

/// How tensors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As raw bytes behind the JSON: every type, and the fastest.
    #[default]
    Raw,
    /// Within the JSON, for servers that do not speak the binary tensor extension.
    Json,
}

/// What a sequence is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SequenceId {
    /// A number other than 0.
    Number(u64),
    /// A text that is not empty.
    Text(String),
}

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A request's place in a sequence of requests that go on from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencePlace {
    /// The sequence.
    pub id: SequenceId,
    /// Whether it begins with this request.
    pub start: bool,
    /// Whether it ends with this request.
    pub end: bool,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct InferenceAnswer {
    /// The model.
    pub model: String,
    /// The version that answered; empty where the server does not tell.
    pub version: String,
    /// The request's own name.
    pub id: Option<String>,
    /// The outputs, in the order in which they were wanted.
    pub outputs: Vec<NamedTensor>,
}

/// A body, and how many of its bytes are JSON where tensors follow.
pub(crate) struct Encoded {
    pub(crate) body: Vec<u8>,
    pub(crate) json_bytes: Option<usize>,
}

impl Inference {
    /// These inputs to a model's default version, for all outputs.
    pub fn new(model: impl Into<String>, inputs: Vec<NamedTensor>) -> Self {
        Self { model: model.into(), inputs, ..Self::default() }
    }

    /// The request's body. `time` is how long the server may take.
    ///
    /// # Errors
    /// A tensor that has no form in JSON.
    pub(crate) fn encode(&self, time: Duration) -> Result<Encoded, ClientError> {
        let mut behind = Vec::new();
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for NamedTensor { name, tensor } in &self.inputs {
            let mut input = json!({
                "name": name, "datatype": tensor.data_type().as_str(), "shape": tensor.shape(),
            });
            match self.form {
                Form::Raw => {
                    input["parameters"] = json!({ "binary_data_size": raw::size(tensor.data()) });
                    raw::write(&mut behind, tensor.data());
                }
                Form::Json => {
                    let values = json_values::write(tensor.data());
                    let unfit = |what| ClientError::Request { what: format!("input {name:?}: {what}") };
                    input["data"] = values.map_err(unfit)?;
                }
            }
            inputs.push(input);
        }
        let mut request = json!({ "inputs": inputs, "parameters": self.parameters(time) });
        if let Some(id) = &self.id {
            request["id"] = json!(id);
        }
        if !self.outputs.is_empty() {
            request["outputs"] = self.outputs.iter().map(|name| json!({ "name": name })).collect();
        }
        let mut body = request.to_string().into_bytes();
        let json_bytes = (self.form == Form::Raw).then_some(body.len());
        body.extend_from_slice(&behind);
        Ok(Encoded { body, json_bytes })
    }

    fn parameters(&self, time: Duration) -> Map<String, Value> {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut all = Map::from_iter([("timeout".to_owned(), json!(micros))]);
        if self.form == Form::Raw {
            all.insert("binary_data_output".to_owned(), json!(true));
        }
        if let Some(priority) = self.priority {
            all.insert("priority".to_owned(), json!(priority));
        }
        if let Some(SequencePlace { id, start, end }) = &self.sequence {
            let id = match id {
                SequenceId::Number(number) => json!(number),
                SequenceId::Text(text) => json!(text),
            };
            all.insert("sequence_id".to_owned(), id);
            all.insert("sequence_start".to_owned(), json!(start));
            all.insert("sequence_end".to_owned(), json!(end));
        }
        all
    }
}

#[derive(Deserialize)]
struct AnswerTold {
    model_name: String,
    #[serde(default)]
    model_version: String,
    #[serde(default)]
    id: Option<String>,
    outputs: Vec<OutputTold>,
}

#[derive(Deserialize)]
struct OutputTold {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    #[serde(default)]
    parameters: OutputParameters,
    #[serde(default)]
    data: Value,
}

#[derive(Default, Deserialize)]
struct OutputParameters {
    binary_data_size: Option<usize>,
}

impl InferenceAnswer {
    /// Reads an answer, of whose body `json_bytes` are JSON where tensors follow. Safe on any bytes.
    ///
    /// # Errors
    /// [`ClientError::Answer`] for what is not as the protocol says.
    pub fn decode(body: &[u8], json_bytes: Option<usize>) -> Result<Self, ClientError> {
        let split = body.split_at_checked(json_bytes.unwrap_or(body.len()));
        let (json, mut behind) = split.ok_or_else(|| unreadable("it is shorter than its JSON is to be"))?;
        let told: AnswerTold = serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))?;
        let mut outputs = Vec::with_capacity(told.outputs.len());
        for output in told.outputs {
            let name = output.name.clone();
            let tensor =
                output.read(&mut behind).map_err(|what| unreadable(format!("output {name:?}: {what}")))?;
            outputs.push(NamedTensor { name, tensor });
        }
        Ok(Self { model: told.model_name, version: told.model_version, id: told.id, outputs })
    }
}

impl OutputTold {
    fn read(self, behind: &mut &[u8]) -> Result<Tensor, String> {
        let data_type: DataType = self.datatype.parse().map_err(|error| format!("{error}"))?;
        let data = match self.parameters.binary_data_size {
            None => json_values::read(data_type, &self.data)?,
            Some(bytes) => {
                let (own, rest) = behind.split_at_checked(bytes).ok_or("its bytes are not all there")?;
                *behind = rest;
                let count = self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
                raw::read(data_type, count.ok_or("its shape has too many elements")?, own)?
            }
        };
        Tensor::new(self.shape, data).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, values: Vec<f32>) -> NamedTensor {
        let tensor = Tensor::new(vec![1, values.len()], values.into()).expect("it fits");
        NamedTensor { name: name.to_owned(), tensor }
    }

    #[test]
    fn raw_tensors_stand_behind_the_json() {
        let call = Inference {
            outputs: vec!["y".to_owned()],
            priority: Some(3),
            sequence: Some(SequencePlace { id: SequenceId::Number(7), start: true, end: false }),
            ..Inference::new("m", vec![tensor("x", vec![1.0, 2.0])])
        };
        let Encoded { body, json_bytes } = call.encode(Duration::from_millis(5)).expect("it has a form");
        let at = json_bytes.expect("tensors follow");
        let json: Value = serde_json::from_slice(&body[..at]).expect("JSON");
        assert_eq!(body[at..], [0, 0, 128, 63, 0, 0, 0, 64]);
        assert_eq!(json["inputs"][0]["parameters"]["binary_data_size"], json!(8));
        let parameters = &json["parameters"];
        assert_eq!((&parameters["timeout"], &parameters["priority"]), (&json!(5000), &json!(3)));
        assert_eq!((&parameters["sequence_id"], &parameters["sequence_start"]), (&json!(7), &json!(true)));
        assert_eq!(json["outputs"], json!([{ "name": "y" }]));
    }

    #[test]
    fn an_answer_is_read_raw_or_as_json() {
        let json = json!({ "model_name": "m", "model_version": "2", "id": "q", "outputs": [
            { "name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": { "binary_data_size": 8 } },
            { "name": "n", "datatype": "INT64", "shape": [1], "data": [5] },
        ] });
        let mut body = json.to_string().into_bytes();
        let at = body.len();
        body.extend([0, 0, 128, 63, 0, 0, 0, 64]);
        let answer = InferenceAnswer::decode(&body, Some(at)).expect("an answer");
        assert_eq!((answer.version.as_str(), answer.id.as_deref()), ("2", Some("q")));
        assert_eq!(answer.outputs[0], tensor("y", vec![1.0, 2.0]));
        assert_eq!(answer.outputs[1].tensor.shape(), [1]);
        for (body, at, want) in [
            (&body[..at + 7], Some(at), "output \"y\": its bytes are not all there"),
            (&body[..], Some(at + 99), "shorter than its JSON"),
            (&b"<html>"[..], None, "cannot be read: expected value"),
        ] {
            let error = InferenceAnswer::decode(body, at).expect_err(want);
            assert!(error.to_string().contains(want), "{error}");
        }
    }
}
