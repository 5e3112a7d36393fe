//! From gRPC's messages to a request: typed contents or raw ones, parameters, and how long there is.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::HeaderMap;
use modelyard_serve::SequenceId;
use modelyard_types::{DataType, NamedTensor, Tensor, TensorData};

use super::proto::inference::infer_parameter::ParameterChoice;
use super::proto::inference::model_infer_request::InferInputTensor;
use super::proto::inference::{InferParameter, InferTensorContents, ModelInferRequest};
use crate::error::Failure;
use crate::open_inference::request::{DecodedRequest, Parameters, WantedOutput, sequence};
use crate::open_inference::shared_memory::{Given, Place, SharedInput};
use modelyard_client::raw;

/// Most inputs, and most outputs, that one request may name.
const TENSORS_MAX: usize = 256;

/// The parameter that says that a tensor's values lie in shared memory.
const REGION: &str = "shared_memory_region";

type Choices = HashMap<String, InferParameter>;

/// Takes a message apart.
///
/// # Errors
/// Inputs whose values are not what their types and shapes say.
pub(super) fn decode(message: ModelInferRequest) -> Result<DecodedRequest, Failure> {
    let ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents, .. } = message;
    if inputs.len().max(outputs.len()) > TENSORS_MAX {
        return Err(Failure::invalid(format!("more than {TENSORS_MAX} inputs or outputs")));
    }
    let (elsewhere, inputs): (Vec<_>, Vec<_>) =
        inputs.into_iter().partition(|input| input.parameters.contains_key(REGION));
    if !raw_input_contents.is_empty() && raw_input_contents.len() != inputs.len() {
        let (raw, inputs) = (raw_input_contents.len(), inputs.len());
        let message = format!("raw_input_contents has {raw} entries for {inputs} inputs");
        return Err(Failure::invalid(message).with_hint("give one for each input, or none at all"));
    }
    let shared = elsewhere.into_iter().map(shared_input).collect::<Result<_, _>>()?;
    let mut raw = raw_input_contents.iter();
    let inputs = inputs.into_iter().map(|input| tensor(input, raw.next().map(AsRef::as_ref)));
    let outputs = outputs.into_iter().map(|output| {
        let classes = whole(&output.parameters, "classification")?;
        let classes = usize::try_from(classes).unwrap_or(usize::MAX);
        let place = place(&output.parameters)?;
        Ok(WantedOutput { name: output.name, binary: None, classes, place })
    });
    let name = sequence_name(&parameters)?;
    let (start, end) = (is_true(&parameters, "sequence_start"), is_true(&parameters, "sequence_end"));
    Ok(DecodedRequest {
        sequence: sequence(name, start, end)?,
        id: Some(id).filter(|id| !id.is_empty()),
        inputs: inputs.collect::<Result<_, _>>()?,
        shared,
        outputs: outputs.collect::<Result<_, Failure>>()?,
        parameters: Parameters {
            binary_data_output: true,
            timeout_us: whole(&parameters, "timeout")?,
            priority: u32::try_from(whole(&parameters, "priority")?).unwrap_or(u32::MAX),
        },
    })
}

/// What the request calls its sequence, where it names one.
pub(super) fn sequence_name(parameters: &Choices) -> Result<Option<SequenceId>, Failure> {
    let choice = parameters.get("sequence_id").and_then(|parameter| parameter.parameter_choice.as_ref());
    match choice {
        None => Ok(None),
        Some(ParameterChoice::StringParam(text)) => Ok(Some(SequenceId::Text(text.clone()))),
        Some(_) => whole(parameters, "sequence_id").map(|number| Some(SequenceId::Number(number))),
    }
}

/// A parameter that must be a whole number; 0 where it is not given.
fn whole(parameters: &Choices, name: &str) -> Result<u64, Failure> {
    let Some(choice) = parameters.get(name).and_then(|parameter| parameter.parameter_choice.as_ref()) else {
        return Ok(0);
    };
    let number = match choice {
        ParameterChoice::Int64Param(number) => u64::try_from(*number).ok(),
        ParameterChoice::Uint64Param(number) => Some(*number),
        _ => None,
    };
    number.ok_or_else(|| Failure::invalid(format!("the parameter {name:?} is no whole number from 0 up")))
}

/// Whether a parameter is given as true.
pub(super) fn is_true(parameters: &Choices, name: &str) -> bool {
    let choice = parameters.get(name).and_then(|parameter| parameter.parameter_choice.as_ref());
    choice == Some(&ParameterChoice::BoolParam(true))
}

/// One tensor out of its message and, where they are sent so, its raw values.
///
/// # Errors
/// Values that are not what type and shape say.
pub(super) fn tensor(input: InferInputTensor, raw: Option<&[u8]>) -> Result<NamedTensor, Failure> {
    let (data_type, sizes) = kind(&input)?;
    let InferInputTensor { name, shape, contents, .. } = input;
    let unfit = |what: String| Failure::invalid(format!("input {name:?}: {what}"));
    let data = match (raw, contents) {
        (Some(_), Some(_)) => return Err(unfit("it has both contents and raw_input_contents".to_owned())),
        (Some(bytes), None) => {
            let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
            let count = count.ok_or_else(|| unfit(format!("shape {shape:?} has too many elements")))?;
            raw::read(data_type, count, bytes).map_err(unfit)?
        }
        (None, Some(contents)) => typed(data_type, contents).map_err(unfit)?,
        (None, None) => return Err(unfit("it has neither contents nor raw_input_contents".to_owned())),
    };
    let tensor = Tensor::new(sizes, data).map_err(|error| unfit(error.to_string()))?;
    Ok(NamedTensor { name, tensor })
}

/// An input's type and shape.
fn kind(input: &InferInputTensor) -> Result<(DataType, Vec<usize>), Failure> {
    let InferInputTensor { name, datatype, shape, .. } = input;
    let unfit = |what: String| Failure::invalid(format!("input {name:?}: {what}"));
    let data_type: DataType =
        datatype.parse().map_err(|error: modelyard_types::TensorError| unfit(error.to_string()))?;
    let sizes: Option<Vec<usize>> = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    let sizes = sizes.ok_or_else(|| unfit(format!("shape {shape:?} has a negative size")))?;
    Ok((data_type, sizes))
}

/// An input whose values lie in shared memory.
fn shared_input(input: InferInputTensor) -> Result<SharedInput, Failure> {
    let (data_type, shape) = kind(&input)?;
    let InferInputTensor { name, parameters, contents, .. } = input;
    let unfit = |what: &str| Failure::invalid(format!("input {name:?}: {what}"));
    if contents.is_some() {
        return Err(unfit("it has both values and a place in shared memory"));
    }
    let place = place(&parameters)?.ok_or_else(|| unfit("its shared memory region has no name"))?;
    Ok(SharedInput { name, data_type, shape, place })
}

/// Where in shared memory a tensor's values lie, where its parameters say so.
fn place(parameters: &Choices) -> Result<Option<Place>, Failure> {
    let region = match parameters.get(REGION).map(|parameter| &parameter.parameter_choice) {
        None => None,
        Some(Some(ParameterChoice::StringParam(name))) => Some(name.clone()),
        Some(_) => return Err(Failure::invalid(format!("the parameter {REGION:?} is no text"))),
    };
    let bytes = whole(parameters, "shared_memory_byte_size")?;
    let given = parameters.contains_key("shared_memory_byte_size").then_some(bytes);
    let offset = whole(parameters, "shared_memory_offset")?;
    Given { region, offset, bytes: given }.place().map_err(Failure::invalid)
}

/// The values of a type out of the field that carries it.
fn typed(data_type: DataType, contents: InferTensorContents) -> Result<TensorData, String> {
    fn narrow<T: TryFrom<U>, U: Copy + std::fmt::Display>(
        data_type: DataType,
        values: &[U],
    ) -> Result<Vec<T>, String> {
        let one = |&value: &U| T::try_from(value).map_err(|_| format!("{value} is no {data_type}"));
        values.iter().map(one).collect()
    }
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    Ok(match data_type {
        DataType::Bool => TensorData::Bool(bool_contents),
        DataType::U8 => TensorData::U8(narrow(data_type, &uint_contents)?),
        DataType::U16 => TensorData::U16(narrow(data_type, &uint_contents)?),
        DataType::U32 => TensorData::U32(uint_contents),
        DataType::U64 => TensorData::U64(uint64_contents),
        DataType::I8 => TensorData::I8(narrow(data_type, &int_contents)?),
        DataType::I16 => TensorData::I16(narrow(data_type, &int_contents)?),
        DataType::I32 => TensorData::I32(int_contents),
        DataType::I64 => TensorData::I64(int64_contents),
        DataType::F32 => TensorData::F32(fp32_contents),
        DataType::F64 => TensorData::F64(fp64_contents),
        DataType::Bytes => TensorData::Bytes(bytes_contents),
        DataType::F16 => return Err("FP16 has no typed contents; send raw_input_contents".to_owned()),
    })
}

/// How long the caller waits, by gRPC's own header: at most eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(digits).filter(|digits| digits.len() <= 8)?.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(datatype: &str, shape: &[i64], contents: Option<InferTensorContents>) -> InferInputTensor {
        let (name, datatype) = ("x".to_owned(), datatype.to_owned());
        InferInputTensor { name, datatype, shape: shape.to_vec(), contents, ..InferInputTensor::default() }
    }

    fn check(inputs: Vec<InferInputTensor>, raw: &[&'static [u8]], want: Result<&TensorData, &str>) {
        let raw_input_contents = raw.iter().map(|bytes| prost::bytes::Bytes::from_static(bytes)).collect();
        let message = ModelInferRequest { inputs, raw_input_contents, ..ModelInferRequest::default() };
        match (decode(message), want) {
            (Ok(request), Ok(want)) => assert_eq!(request.inputs[0].tensor.data(), want),
            (Err(failure), Err(want)) => {
                assert!(failure.message().contains(want), "{}", failure.message());
            }
            (got, want) => assert_eq!(format!("{got:?}"), format!("{want:?}")),
        }
    }

    #[test]
    fn typed_contents_are_as_good_as_raw_ones() {
        let narrow = InferTensorContents { int_contents: vec![-1, 2], ..InferTensorContents::default() };
        let want = TensorData::I16(vec![-1, 2]);
        check(vec![input("INT16", &[2], Some(narrow))], &[], Ok(&want));
        check(vec![input("INT16", &[2], None)], &[&[0xFF, 0xFF, 2, 0]], Ok(&want));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let some = |contents: InferTensorContents| Some(contents);
        let wide = InferTensorContents { uint_contents: vec![300], ..InferTensorContents::default() };
        check(vec![input("UINT8", &[1], some(wide.clone()))], &[], Err("300 is no UINT8"));
        check(vec![input("UINT8", &[1], some(wide))], &[&[1]], Err("both contents and raw"));
        check(vec![input("UINT8", &[1], None)], &[], Err("neither contents nor raw"));
        check(vec![input("UINT8", &[2], None)], &[&[1]], Err("2 values of UINT8 are not 1 bytes"));
        check(vec![input("UINT8", &[-1], None)], &[&[1]], Err("negative size"));
        check(vec![input("UINT8", &[i64::MAX, 9], None)], &[&[1]], Err("too many elements"));
        check(vec![input("BF16", &[1], None)], &[&[1]], Err("\"BF16\" is no data type"));
        check(vec![input("FP16", &[1], some(InferTensorContents::default()))], &[], Err("no typed contents"));
        check(vec![], &[&[1]], Err("1 entries for 0 inputs"));
        check(vec![input("UINT8", &[1], None); 300], &[], Err("more than 256"));
    }

    #[test]
    fn the_header_of_a_deadline_is_read() {
        for (text, want) in [
            ("100m", Some(Duration::from_millis(100))),
            ("2S", Some(Duration::from_secs(2))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("999999999n", None),
            ("m", None),
            ("", None),
            ("5x", None),
            ("-5m", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("visible ASCII"));
            assert_eq!(timeout(&headers), want, "{text}");
        }
    }
}
