//! The same row of values on each wire, and the numbers of the answers.

use modelyard_bench::models::values;
use serde_json::{Value, json};

/// Rows of a large request.
pub(crate) const MANY: usize = 32;
/// The header that says how many bytes of a body are JSON.
const JSON_BYTES: &str = "inference-header-content-length";

/// JSON in front of raw values, and the header lines that say so.
pub(crate) fn binary(rows: usize, row_shape: &[usize]) -> (String, Vec<u8>) {
    let shape: Vec<usize> = std::iter::once(rows).chain(row_shape.iter().copied()).collect();
    let raw = raw(&shape);
    let parameters = json!({ "binary_data_size": raw.len() });
    let input = json!({ "name": "input", "shape": shape, "datatype": "FP32", "parameters": parameters });
    let request = json!({ "inputs": [input], "parameters": { "binary_data_output": true } }).to_string();
    let headers = format!("content-type: application/octet-stream\r\n{JSON_BYTES}: {}\r\n", request.len());
    (headers, [request.as_bytes(), &raw].concat())
}

/// One gRPC message of `ModelInferRequest`, with its length in front.
pub(crate) fn grpc(model: &str, row_shape: &[usize]) -> Vec<u8> {
    let mut sizes = vec![1];
    for size in row_shape {
        varint(&mut sizes, *size);
    }
    let input = [field(1, b"input"), field(2, b"FP32"), field(3, &sizes)].concat();
    let message = [field(1, model.as_bytes()), field(5, &input), field(7, &raw(row_shape))].concat();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}

fn raw(shape: &[usize]) -> Vec<u8> {
    values(shape.iter().product()).iter().flat_map(|value| (*value as f32).to_le_bytes()).collect()
}

/// A field of bytes in Protocol Buffers' wire format.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The numbers of FastAPI's answer.
pub(crate) fn plain_numbers(body: &[u8]) -> Option<Vec<f64>> {
    let json: Value = serde_json::from_slice(body).ok()?;
    json["output"][0].as_array()?.iter().map(Value::as_f64).collect()
}

/// The numbers of our JSON.
pub(crate) fn json_numbers(body: &[u8]) -> Option<Vec<f64>> {
    let json: Value = serde_json::from_slice(body).ok()?;
    json["outputs"][0]["data"].as_array()?.iter().map(Value::as_f64).collect()
}

/// The numbers behind our JSON: the ten classes that all these networks tell apart, for one row.
pub(crate) fn binary_numbers(body: &[u8]) -> Option<Vec<f64>> {
    last_numbers(body, 10)
}

/// The same for many rows.
pub(crate) fn binary_numbers_of_many(body: &[u8]) -> Option<Vec<f64>> {
    last_numbers(body, 10 * MANY)
}

fn last_numbers(body: &[u8], count: usize) -> Option<Vec<f64>> {
    let raw = body.get(body.len().checked_sub(4 * count)?..)?;
    let number = |bytes: &[u8]| Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?)));
    raw.chunks_exact(4).map(number).collect()
}

/// Nothing to compare.
pub(crate) fn no_numbers(_: &[u8]) -> Option<Vec<f64>> {
    Some(Vec::new())
}
