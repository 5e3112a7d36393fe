//! The one message of a call as it lies on the wire, taken apart and put together without copies in between.
//!
//! Sources: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, `schemas/inference.proto`, and
//! <https://protobuf.dev/programming-guides/encoding/>.

use std::cmp::Ordering;

use axum::body::Bytes;
use modelyard_client::raw;
use modelyard_types::{ErrorKind, NamedTensor};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::error::Failure;

/// Before each message: whether it is packed, and its length in four bytes.
pub(super) const PREFIX_BYTES: usize = 5;
/// Room for the names of an answer, and of one output.
const NAMES_BYTES: usize = 96;

/// The message of a call that has one, which is not packed.
///
/// # Errors
/// Where it is packed, not whole, or not the only one.
pub(super) fn unframe(mut body: Bytes) -> Result<Bytes, Failure> {
    let cut_short = || Failure::invalid("the call ended before its message was complete");
    let Some((&[packed, ref length @ ..], message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(cut_short());
    };
    if packed != 0 {
        let failure = Failure::invalid("the message is marked as packed, but grpc-encoding does not say how");
        return Err(failure.with_hint("name the coding, or send the message as it is"));
    }
    match message.len().cmp(&(u32::from_be_bytes(*length) as usize)) {
        Ordering::Equal => Ok(body.split_off(PREFIX_BYTES)),
        Ordering::Less => Err(cut_short()),
        Ordering::Greater => Err(Failure::invalid("ModelInfer takes one message, more than that came")
            .with_hint("ModelStreamInfer takes many")),
    }
}

/// A `ModelInferResponse` with all values raw, framed.
///
/// # Errors
/// One that is longer than a frame can tell.
pub(super) fn answer(model: &str, version: u64, id: &str, outputs: &[NamedTensor]) -> Result<Bytes, Failure> {
    let raw: usize = outputs.iter().map(|output| raw::size(output.tensor.data())).sum();
    let mut out = Vec::with_capacity(PREFIX_BYTES + NAMES_BYTES * (1 + outputs.len()) + raw);
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    text(&mut out, 1, model);
    text(&mut out, 2, &version.to_string());
    text(&mut out, 3, id);
    for output in outputs {
        head(&mut out, output);
    }
    for output in outputs {
        let data = output.tensor.data();
        begin(&mut out, 6, raw::size(data));
        raw::write(&mut out, data);
    }
    finish(out)
}

/// Any message, framed.
///
/// # Errors
/// As [`answer`].
pub(super) fn message(message: &impl Message) -> Result<Bytes, Failure> {
    let mut out = Vec::with_capacity(PREFIX_BYTES + message.encoded_len());
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    message.encode(&mut out).expect("a vector grows as it must");
    finish(out)
}

/// Writes the length into the prefix.
fn finish(mut out: Vec<u8>) -> Result<Bytes, Failure> {
    let length = out.len() - PREFIX_BYTES;
    let told = u32::try_from(length).map_err(|_| {
        let what = format!("the answer has {length} bytes, a gRPC message has {} at most", u32::MAX);
        Failure::new(ErrorKind::TooLarge, what).with_hint("ask for fewer rows at once")
    })?;
    out[1..PREFIX_BYTES].copy_from_slice(&told.to_be_bytes());
    Ok(out.into())
}

/// One `InferOutputTensor`: name, type and shape.
fn head(out: &mut Vec<u8>, output: &NamedTensor) {
    let (name, data_type) = (output.name.as_str(), output.tensor.data_type().as_str());
    let shape = output.tensor.shape();
    let sizes: usize = shape.iter().map(|&size| encoded_len_varint(size as u64)).sum();
    let shape_bytes = if shape.is_empty() { 0 } else { field_bytes(sizes) };
    begin(out, 5, text_bytes(name) + text_bytes(data_type) + shape_bytes);
    text(out, 1, name);
    text(out, 2, data_type);
    if !shape.is_empty() {
        begin(out, 3, sizes);
        shape.iter().for_each(|&size| encode_varint(size as u64, out));
    }
}

fn begin(out: &mut Vec<u8>, field: u32, bytes: usize) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(bytes as u64, out);
}

/// A text; an empty one is not written.
fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        begin(out, field, text.len());
        out.extend_from_slice(text.as_bytes());
    }
}

/// How many bytes [`text`] writes.
fn text_bytes(text: &str) -> usize {
    if text.is_empty() { 0 } else { field_bytes(text.len()) }
}

/// How many bytes a field takes whose number is below 16: its key, its length, itself.
fn field_bytes(bytes: usize) -> usize {
    1 + encoded_len_varint(bytes as u64) + bytes
}

#[cfg(test)]
mod tests {
    use super::super::proto::inference::ModelInferResponse;
    use super::super::proto::inference::model_infer_response::InferOutputTensor;
    use super::*;
    use modelyard_types::{Tensor, TensorData};

    fn check(model: &str, version: u64, id: &str, outputs: &[(&str, Vec<usize>, TensorData)]) {
        let message = |&(name, ref shape, ref data): &(&str, Vec<usize>, TensorData)| InferOutputTensor {
            name: name.to_owned(),
            datatype: data.data_type().as_str().to_owned(),
            shape: shape.iter().map(|&size| i64::try_from(size).expect("small")).collect(),
            ..InferOutputTensor::default()
        };
        let raw = |(_, _, data): &(&str, Vec<usize>, TensorData)| {
            let mut bytes = Vec::new();
            raw::write(&mut bytes, data);
            bytes.into()
        };
        let want = ModelInferResponse {
            model_name: model.to_owned(),
            model_version: version.to_string(),
            id: id.to_owned(),
            outputs: outputs.iter().map(message).collect(),
            raw_output_contents: outputs.iter().map(raw).collect(),
            ..ModelInferResponse::default()
        };
        let tensor = |(name, shape, data): &(&str, Vec<usize>, TensorData)| {
            let tensor = Tensor::new(shape.clone(), data.clone()).expect("it fits");
            NamedTensor { name: (*name).to_owned(), tensor }
        };
        let outputs: Vec<NamedTensor> = outputs.iter().map(tensor).collect();
        let message =
            unframe(answer(model, version, id, &outputs).expect("it is short")).expect("one whole message");
        assert_eq!(message, want.encode_to_vec(), "as prost writes it");
        assert_eq!(ModelInferResponse::decode(message), Ok(want));
    }

    #[test]
    fn answers_are_written_as_the_schema_says() {
        check("m", 1, "", &[]);
        check("digits", 300, "mine", &[("y", vec![1, 3], TensorData::F32(vec![0.5, -1.0, 2.0]))]);
        let texts = TensorData::Bytes(vec![b"a".to_vec(), vec![7; 300]]);
        let wide = TensorData::U8(vec![1; 20_000]);
        check(
            "m",
            u64::MAX,
            &"i".repeat(200),
            &[
                ("", Vec::new(), TensorData::I64(vec![-1])),
                (&"n".repeat(130), vec![2], texts),
                ("wide", vec![100, 200], wide),
                ("none", vec![0, 1 << 40], TensorData::F64(Vec::new())),
            ],
        );
    }
}
