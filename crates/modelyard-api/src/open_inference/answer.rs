//! Answers as JSON, or as JSON followed by raw tensors, written without a tree in between.

use modelyard_types::NamedTensor;

use super::request::DecodedRequest;
use super::shared_memory::Place;
use crate::error::Failure;
use crate::write;
use modelyard_client::raw;

/// The answer of `…/infer`.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) body: Vec<u8>,
    /// How many bytes of the body are JSON, where raw tensors follow.
    pub(super) json_bytes: Option<usize>,
}

/// Encodes the answer to a request, values flat and in row-major order, raw where the request asked so. Of those that
/// were asked for in shared memory it says where they lie.
///
/// # Errors
/// Where an output that is to be JSON holds what JSON cannot carry.
pub(super) fn encode(
    model: &str,
    version: u64,
    request: &DecodedRequest,
    outputs: &[NamedTensor],
) -> Result<Encoded, Failure> {
    let is_json = |output: &&NamedTensor| match request.wanted(&output.name) {
        Some(wanted) if wanted.place.is_some() => false,
        wanted => !wanted.and_then(|wanted| wanted.binary).unwrap_or(request.parameters.binary_data_output),
    };
    let values: usize = outputs.iter().filter(is_json).map(|output| output.tensor.data().len()).sum();
    let mut json = Vec::with_capacity(160 + 13 * values);
    let mut binary = Vec::new();
    let mut is_raw = false;
    json.extend_from_slice(b"{\"model_name\":");
    write::json(&mut json, model);
    json.extend_from_slice(b",\"model_version\":\"");
    write::json(&mut json, &version);
    json.push(b'"');
    if let Some(id) = &request.id {
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
        let data = output.tensor.data();
        let wanted = request.wanted(&output.name);
        let own = wanted.and_then(|wanted| wanted.binary);
        if let Some(Place { region, offset, .. }) = wanted.and_then(|wanted| wanted.place.as_ref()) {
            json.extend_from_slice(b"\",\"parameters\":{\"shared_memory_region\":");
            write::json(&mut json, region);
            json.extend_from_slice(b",\"shared_memory_offset\":");
            write::json(&mut json, offset);
            json.extend_from_slice(b",\"shared_memory_byte_size\":");
            write::json(&mut json, &raw::size(data));
            json.extend_from_slice(b"}}");
        } else if own.unwrap_or(request.parameters.binary_data_output) {
            is_raw = true;
            let size = raw::size(data);
            json.extend_from_slice(b"\",\"parameters\":{\"binary_data_size\":");
            write::json(&mut json, &size);
            json.extend_from_slice(b"}}");
            binary.reserve(size);
            raw::write(&mut binary, data);
        } else {
            json.extend_from_slice(b"\",\"data\":");
            write::values(&mut json, data, 0..data.len())?;
            json.push(b'}');
        }
    }
    json.extend_from_slice(b"]}");
    let json_bytes = is_raw.then_some(json.len());
    json.extend_from_slice(&binary);
    Ok(Encoded { body: json, json_bytes })
}
