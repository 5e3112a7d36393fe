//! Between rows and tensors for networks without a pipeline, and from answers to JSON.

use std::fmt;

use modelyard_serve::{Answer, ForecastStep, Prediction, Row, Value};
use modelyard_types::{Dim, NamedTensor, Tensor, TensorData, TensorSpec};
use serde::Deserializer;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::wire::Rows;
use crate::elements::{Fill, Nesting, empty};
use crate::error::Failure;
use crate::write;

/// Rows of nested arrays, collected into one tensor for each input of the network.
pub(super) struct TensorRows<'s> {
    specs: &'s [TensorSpec],
    columns: Vec<(TensorData, Nesting)>,
    rows: usize,
}

impl<'s> TensorRows<'s> {
    pub(super) fn new(specs: &'s [TensorSpec]) -> Self {
        let size = |(at, dim): (usize, &Dim)| match dim {
            Dim::Fixed(size) if at > 0 => Some(*size),
            _ => None,
        };
        let column = |spec: &TensorSpec| {
            let sizes = spec.shape.iter().enumerate().map(size).collect();
            (empty(spec.data_type, 0), Nesting::new(sizes, false))
        };
        Self { specs, columns: specs.iter().map(column).collect(), rows: 0 }
    }

    /// How one row looks, for messages.
    fn shape_of_row(&self) -> String {
        let row = |spec: &TensorSpec| {
            let sizes: Vec<String> = spec.shape.iter().skip(1).map(ToString::to_string).collect();
            format!("{:?} {} [{}]", spec.name, spec.data_type, sizes.join(", "))
        };
        self.specs.iter().map(row).collect::<Vec<_>>().join(", ")
    }

    /// The collected tensors.
    pub(super) fn finish(self) -> Result<Vec<NamedTensor>, Failure> {
        let rows = self.rows;
        let tensors = self.specs.iter().zip(self.columns).map(|(spec, (data, nesting))| {
            let behind = nesting.sizes.iter().skip(1).map(|size| size.unwrap_or(0));
            let shape: Vec<usize> = std::iter::once(rows).chain(behind).collect();
            let tensor = Tensor::new(shape, data)
                .map_err(|error| Failure::invalid(format!("input {:?}: {error}", spec.name)))?;
            Ok(NamedTensor { name: spec.name.clone(), tensor })
        });
        tensors.collect()
    }
}

impl<'de> Rows<'de> for TensorRows<'_> {
    fn row<D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        let shape = self.shape_of_row();
        let explain = |error: D::Error| D::Error::custom(format!("{error}; one row is {shape}"));
        deserializer.deserialize_any(TensorRow { rows: self }).map_err(explain)?;
        self.rows += 1;
        Ok(())
    }
}

struct TensorRow<'a, 's> {
    rows: &'a mut TensorRows<'s>,
}

impl TensorRow<'_, '_> {
    /// A row of one bare value: it stands in the list of rows, so in one array already.
    fn bare<'de, D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        match self.rows.columns.as_mut_slice() {
            [(data, nesting)] => Fill { data, nesting, depth: 1 }.deserialize(value),
            _ => Err(D::Error::custom("the model has several inputs, a row is an object of them")),
        }
    }
}

impl<'de> Visitor<'de> for TensorRow<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nested arrays of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = vec![false; self.rows.specs.len()];
        while let Some(name) = map.next_key::<String>()? {
            let Some(at) = self.rows.specs.iter().position(|spec| spec.name == name) else {
                return Err(A::Error::custom(format!("input {name:?} is not known")));
            };
            if std::mem::replace(&mut seen[at], true) {
                return Err(A::Error::custom(format!("input {name:?} stands twice in a row")));
            }
            let (data, nesting) = &mut self.rows.columns[at];
            map.next_value_seed(Fill { data, nesting, depth: 1 })?;
        }
        match seen.iter().position(|seen| !seen) {
            None => Ok(()),
            Some(at) => Err(A::Error::custom(format!("input {:?} is missing", self.rows.specs[at].name))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.bare(SeqAccessDeserializer::new(items))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.bare(value.into_deserializer())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.bare(value.into_deserializer())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.bare(value.into_deserializer())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.bare(value.into_deserializer())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.bare(value.into_deserializer())
    }
}

/// One named answer as JSON.
pub(super) fn write_answer(out: &mut Vec<u8>, answer: &Answer) {
    out.push(b'{');
    for (at, (name, prediction)) in answer.outputs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write::json(out, name);
        out.push(b':');
        match prediction {
            Prediction::Number(number) => write::json(out, number),
            Prediction::Text(continuation) => {
                out.extend_from_slice(b"{\"text\":");
                write::json(out, &continuation.text);
                out.extend_from_slice(b",\"tokens\":");
                write::json(out, &continuation.tokens);
                out.extend_from_slice(b",\"finish\":");
                write::json(out, continuation.finish.as_str());
                out.push(b'}');
            }
            Prediction::Forecast(steps) => write_forecast(out, steps),
            Prediction::Anomaly { score, threshold, shares } => {
                out.extend_from_slice(b"{\"score\":");
                write::json(out, score);
                out.extend_from_slice(b",\"threshold\":");
                write::json(out, threshold);
                out.extend_from_slice(b",\"anomalous\":");
                write::json(out, &prediction.is_anomalous());
                out.extend_from_slice(b",\"shares\":");
                write_shares(out, shares);
                out.push(b'}');
            }
            Prediction::Category { label, probabilities } => {
                out.extend_from_slice(b"{\"label\":");
                write::json(out, label);
                write_probabilities(out, probabilities);
            }
            Prediction::Labels { labels, probabilities } => {
                out.extend_from_slice(b"{\"labels\":");
                write::json(out, labels);
                write_probabilities(out, probabilities);
            }
        }
    }
    out.push(b'}');
}

/// A drawn row as JSON: values by input, images as `{"b64": …}`, as requests give them.
pub(super) fn write_row(out: &mut Vec<u8>, row: &Row) {
    out.push(b'{');
    for (at, (name, value)) in row.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write::json(out, name);
        out.push(b':');
        match value {
            Value::Bytes(_) => {
                out.extend_from_slice(b"{\"b64\":");
                write::json(out, &value.to_json());
                out.push(b'}');
            }
            value => write::json(out, &value.to_json()),
        }
    }
    out.push(b'}');
}

fn write_forecast(out: &mut Vec<u8>, steps: &[ForecastStep]) {
    out.extend_from_slice(b"{\"forecast\":[");
    for (at, step) in steps.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",{\"step\":" } else { b"{\"step\":" });
        write::json(out, &step.step);
        out.extend_from_slice(b",\"value\":");
        write::json(out, &step.value);
        if let Some((low, high)) = step.interval {
            out.extend_from_slice(b",\"low\":");
            write::json(out, &low);
            out.extend_from_slice(b",\"high\":");
            write::json(out, &high);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// How much of an anomaly score each input has in it.
fn write_shares(out: &mut Vec<u8>, shares: &[(String, f64)]) {
    out.push(b'{');
    for (at, (name, share)) in shares.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write::json(out, name);
        out.push(b':');
        write::json(out, share);
    }
    out.push(b'}');
}

/// The probabilities as the last key of an object.
fn write_probabilities(out: &mut Vec<u8>, probabilities: &[(String, f32)]) {
    out.extend_from_slice(b",\"probabilities\":{");
    for (at, (label, probability)) in probabilities.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write::json(out, label);
        out.push(b':');
        write::json(out, probability);
    }
    out.extend_from_slice(b"}}");
}

/// One row of a network's outputs as JSON.
///
/// # Errors
/// Where an output holds what JSON cannot carry.
pub(super) fn write_tensor_row(
    out: &mut Vec<u8>,
    outputs: &[NamedTensor],
    row: usize,
) -> Result<(), Failure> {
    let write_one = |out: &mut Vec<u8>, output: &NamedTensor| {
        let behind = output.tensor.shape().get(1..).unwrap_or_default();
        let step: usize = behind.iter().product();
        write::nested(out, output.tensor.data(), row * step, behind)
    };
    if let [only] = outputs {
        return write_one(out, only);
    }
    out.push(b'{');
    for (at, output) in outputs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write::json(out, &output.name);
        out.push(b':');
        write_one(out, output)?;
    }
    out.push(b'}');
    Ok(())
}
