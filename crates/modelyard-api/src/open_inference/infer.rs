//! From a decoded request to its outputs, alike for every wire.

use std::sync::Arc;
use std::time::Duration;

use modelyard_serve::{Answered, Routed, SequenceTurn, ServedVersion, Server, Terms, Urgency};
use modelyard_types::{DataType, Deadline, Dim, NamedTensor, Tensor, TensorData, TensorSpec};

use super::classify::classify;
use super::request::{DecodedRequest, Parameters};
use crate::error::Failure;
use modelyard_client::raw;

/// When the answer must be there and who goes first: `arrived` is the deadline of a request that says nothing.
pub(super) fn urgency(server: &Server, arrived: Deadline, parameters: &Parameters) -> Urgency {
    let deadline = match parameters.timeout_us {
        0 => arrived,
        timeout => server.deadline_in(Duration::from_micros(timeout)),
    };
    Urgency::from(deadline).with_priority(parameters.priority)
}

/// Runs a request, whose inputs are taken out of it, and gives what it asked for of the outputs, and how long
/// its parts took.
///
/// # Errors
/// As [`Routed::infer`], and where an output cannot be given as it was asked for.
pub(super) async fn run(
    version: &Routed,
    request: &mut DecodedRequest,
    terms: Terms,
) -> Result<Answered<Vec<NamedTensor>>, Failure> {
    let inputs = std::mem::take(&mut request.inputs);
    let Answered { answer, times } = version.infer(inputs, &request.output_names(), terms).await?;
    Ok(Answered { answer: with_classes(version, request, answer)?, times })
}

/// As [`run`], by the version of a sequence, which goes on once the answer is written.
///
/// # Errors
/// As [`SequenceTurn::infer`], where an output cannot be given as it was asked for, and what `write` fails with.
pub(super) async fn run_in_sequence<T>(
    turn: SequenceTurn<'_>,
    request: &mut DecodedRequest,
    terms: Terms,
    write: impl FnOnce(&ServedVersion, &DecodedRequest, Vec<NamedTensor>) -> Result<T, Failure>,
) -> Result<Answered<T>, Failure> {
    let inputs = std::mem::take(&mut request.inputs);
    let version = Arc::clone(turn.version());
    let (request, wanted) = (&*request, request.output_names());
    let write = |outputs| {
        let outputs = with_classes(&version, request, outputs)?;
        Ok(write(&version, request, outputs)?)
    };
    Ok(turn.infer(inputs, &wanted, terms, write).await?)
}

fn with_classes(
    version: &ServedVersion,
    request: &DecodedRequest,
    mut outputs: Vec<NamedTensor>,
) -> Result<Vec<NamedTensor>, Failure> {
    for (output, wanted) in outputs.iter_mut().zip(&request.outputs) {
        if wanted.classes > 0 {
            let spec = version.signature().outputs.iter().find(|spec| spec.name == output.name);
            *output = classify(output, spec, wanted.classes, version.labels(&wanted.name))?;
        }
    }
    Ok(outputs)
}

/// A raw binary request: the whole body is the one input of a model, and all outputs come raw.
///
/// # Errors
/// A model whose input's shape cannot be told from the number of bytes.
pub(super) fn raw_request(inputs: &[TensorSpec], body: &[u8]) -> Result<DecodedRequest, Failure> {
    let [spec] = inputs else {
        let message = format!("a body of raw values needs a model of one input, this has {}", inputs.len());
        return Err(Failure::invalid(message).with_hint("send the inputs' names and shapes as JSON first"));
    };
    let tensor = match spec.data_type {
        DataType::Bytes => {
            let shape = spec.shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 });
            Tensor::new(shape.collect(), TensorData::Bytes(vec![body.to_vec()])).map_err(|e| e.to_string())
        }
        data_type => raw_shape(spec, body.len()).and_then(|shape| {
            let data = raw::read(data_type, shape.iter().product(), body)?;
            Tensor::new(shape, data).map_err(|error| error.to_string())
        }),
    };
    let tensor = tensor.map_err(|what| Failure::invalid(format!("input {:?}: {what}", spec.name)))?;
    Ok(DecodedRequest {
        inputs: vec![NamedTensor { name: spec.name.clone(), tensor }],
        parameters: Parameters { binary_data_output: true, ..Parameters::default() },
        ..DecodedRequest::default()
    })
}

/// The shape of so many bytes: the last free size takes what there is, those before it are 1.
fn raw_shape(spec: &TensorSpec, bytes: usize) -> Result<Vec<usize>, String> {
    let size = spec.data_type.size_bytes().unwrap_or(1);
    let fixed = spec.shape.iter().filter_map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Any => None,
    });
    let step = fixed.fold(size, usize::saturating_mul);
    if step == 0 || !bytes.is_multiple_of(step) {
        return Err(format!("{bytes} bytes are no multiple of the {step} bytes that its fixed sizes need"));
    }
    let last = spec.shape.iter().rposition(|dim| *dim == Dim::Any);
    let shape = spec.shape.iter().enumerate().map(|(at, dim)| match dim {
        Dim::Fixed(size) => *size,
        Dim::Any if Some(at) == last => bytes / step,
        Dim::Any => 1,
    });
    Ok(shape.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(data_type: DataType, shape: &[Dim]) -> TensorSpec {
        TensorSpec { name: "x".to_owned(), data_type, shape: shape.to_vec() }
    }

    #[test]
    fn bare_values_take_the_shape_that_is_left_to_them() {
        let rows = spec(DataType::F32, &[Dim::Any, Dim::Fixed(2)]);
        let request = raw_request(std::slice::from_ref(&rows), &[0; 24]).expect("three rows");
        assert_eq!(request.inputs[0].tensor.shape(), [3, 2]);
        assert!(request.parameters.binary_data_output);
        let ragged = spec(DataType::U8, &[Dim::Any, Dim::Any, Dim::Fixed(3)]);
        assert_eq!(raw_shape(&ragged, 12), Ok(vec![1, 4, 3]));
        let text = raw_request(&[spec(DataType::Bytes, &[Dim::Any])], b"abc").expect("one element");
        assert_eq!(text.inputs[0].tensor.data(), &TensorData::Bytes(vec![b"abc".to_vec()]));
        for (specs, want) in [
            (vec![rows.clone(), rows.clone()], "a model of one input, this has 2"),
            (vec![rows], "7 bytes are no multiple of the 8 bytes"),
            (vec![spec(DataType::F32, &[Dim::Fixed(3)])], "7 bytes are no multiple"),
            (vec![spec(DataType::F32, &[Dim::Fixed(0)])], "no multiple of the 0 bytes"),
        ] {
            let failure = raw_request(&specs, &[0; 7]).expect_err(want);
            assert!(failure.message().contains(want), "{}", failure.message());
        }
    }
}
