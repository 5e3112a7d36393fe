//! From what is served to gRPC's messages.

use std::collections::HashMap;
use std::time::Duration;

use modelyard_serve::{
    Flag, KeptState, PRIORITY_DEFAULT, SequenceSettings, ServedVersion, Statistics, Tells, Total,
};
use modelyard_types::{NamedTensor, TensorSpec};

use super::proto::inference::infer_parameter::ParameterChoice;
use super::proto::inference::model_config::SchedulingChoice;
use super::proto::inference::model_infer_response::InferOutputTensor;
use super::proto::inference::model_instance_group::Kind;
use super::proto::inference::model_metadata_response::TensorMetadata;
use super::proto::inference::model_sequence_batching::{
    Control, ControlInput, State, StrategyChoice, StrategyOldest, control,
};
use super::proto::inference::model_version_policy::{PolicyChoice, Specific};
use super::proto::inference::{
    DataType, InferParameter, InferStatistics, MemoryUsage, ModelConfig, ModelDynamicBatching,
    ModelInferResponse, ModelInput, ModelInstanceGroup, ModelMetadataResponse, ModelOutput,
    ModelSequenceBatching, ModelStatistics, ModelVersionPolicy, StatisticDuration,
};
use super::service::Inferred;
use crate::open_inference::about::{dims, kind_name, type_name};
use crate::open_inference::convert::{self, platform};
use crate::open_inference::shared_memory::Place;
use modelyard_client::raw;

/// The answer to an inference, all values raw; of those in shared memory it says where they lie.
pub(super) fn infer(inferred: Inferred) -> ModelInferResponse {
    let Inferred { version, id, outputs, places, .. } = inferred;
    let mut response = ModelInferResponse {
        model_name: version.model().to_string(),
        model_version: version.version().to_string(),
        id: id.unwrap_or_default(),
        ..ModelInferResponse::default()
    };
    let mut places = places.into_iter();
    for NamedTensor { name, tensor } in outputs {
        let shape = tensor.shape().iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let datatype = tensor.data_type().as_str().to_owned();
        let size = raw::size(tensor.data());
        let mut bytes = Vec::new();
        let parameters = match places.next().flatten() {
            Some(place) => placed(place, size),
            None => {
                bytes.reserve_exact(size);
                raw::write(&mut bytes, tensor.data());
                HashMap::new()
            }
        };
        response.outputs.push(InferOutputTensor { name, datatype, shape, parameters, contents: None });
        response.raw_output_contents.push(bytes.into());
    }
    response
}

/// The parameters of an output of so many bytes in shared memory.
fn placed(Place { region, offset, .. }: Place, bytes: usize) -> HashMap<String, InferParameter> {
    let number = |number: u64| ParameterChoice::Int64Param(i64::try_from(number).unwrap_or(i64::MAX));
    let one = |name: &str, choice| (name.to_owned(), InferParameter { parameter_choice: Some(choice) });
    HashMap::from([
        one("shared_memory_region", ParameterChoice::StringParam(region)),
        one("shared_memory_offset", number(offset)),
        one("shared_memory_byte_size", number(bytes as u64)),
    ])
}

/// The mark by which Triton's streams tell that a request has no further answer.
pub(super) fn mark_final(response: &mut ModelInferResponse) {
    let choice = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    response.parameters.insert("triton_final_response".to_owned(), choice);
}

/// A model's metadata.
pub(super) fn metadata(metadata: convert::ModelMetadata) -> ModelMetadataResponse {
    let tensors = |tensors: Vec<convert::TensorMetadata>| {
        let one = |tensor: convert::TensorMetadata| TensorMetadata {
            name: tensor.name,
            datatype: tensor.datatype.to_owned(),
            shape: tensor.shape,
        };
        tensors.into_iter().map(one).collect()
    };
    ModelMetadataResponse {
        name: metadata.name,
        versions: metadata.versions,
        platform: metadata.platform,
        inputs: tensors(metadata.inputs),
        outputs: tensors(metadata.outputs),
    }
}

/// A version's configuration.
pub(super) fn config(version: &ServedVersion) -> ModelConfig {
    let joined = version.batch_rows_max();
    let limits = version.limits();
    let input = |spec: &TensorSpec| ModelInput {
        name: spec.name.clone(),
        data_type: type_number(spec.data_type),
        dims: dims(spec, joined.is_some()),
    };
    let output = |spec: &TensorSpec| ModelOutput {
        name: spec.name.clone(),
        data_type: type_number(spec.data_type),
        dims: dims(spec, joined.is_some()),
    };
    let batching = || ModelDynamicBatching {
        preferred_batch_size: limits.preferred_rows.iter().map(|&rows| clamped(rows)).collect(),
        max_queue_delay_microseconds: micros(limits.batch_delay),
        priority_levels: u8::MAX.into(),
        default_priority_level: PRIORITY_DEFAULT.into(),
    };
    let scheduling = match version.sequences() {
        Some(sequences) => Some(SchedulingChoice::SequenceBatching(sequence_batching(version, sequences))),
        None => joined.map(|_| SchedulingChoice::DynamicBatching(batching())),
    };
    let number = i64::try_from(version.version().get()).unwrap_or(i64::MAX);
    ModelConfig {
        name: version.model().to_string(),
        platform: platform(version.runtime()),
        backend: version.runtime().to_owned(),
        version_policy: Some(ModelVersionPolicy {
            policy_choice: Some(PolicyChoice::Specific(Specific { versions: vec![number] })),
        }),
        max_batch_size: clamped(joined.unwrap_or(0)),
        input: version.signature().inputs.iter().map(input).collect(),
        output: version.signature().outputs.iter().map(output).collect(),
        instance_group: vec![ModelInstanceGroup {
            name: version.model().to_string(),
            count: clamped(limits.sessions_max),
            kind: Kind::Cpu.into(),
        }],
        scheduling_choice: scheduling,
    }
}

fn sequence_batching(version: &ServedVersion, sequences: &SequenceSettings) -> ModelSequenceBatching {
    let (limits, joined) = (version.limits(), version.batch_rows_max().is_some());
    let oldest = StrategyOldest {
        preferred_batch_size: limits.preferred_rows.iter().map(|&rows| clamped(rows)).collect(),
        max_queue_delay_microseconds: micros(limits.batch_delay),
    };
    let state = |KeptState { input, output, .. }: &KeptState| State {
        input_name: input.name.clone(),
        output_name: output.clone(),
        data_type: type_number(input.data_type),
        dims: dims(input, joined),
    };
    ModelSequenceBatching {
        max_sequence_idle_microseconds: micros(limits.sequence_idle),
        control_input: sequences.controls.iter().map(control).collect(),
        strategy_choice: Some(StrategyChoice::Oldest(oldest)),
        state: sequences.states.iter().map(state).collect(),
    }
}

fn control(own: &modelyard_serve::Control) -> ControlInput {
    let kind = control::Kind::from_str_name(kind_name(own.tells)).unwrap_or_default();
    let mut control = Control { kind: kind.into(), ..Control::default() };
    match own.tells {
        Tells::Start(flag) | Tells::Ready(flag) | Tells::End(flag) => match flag {
            Flag::I32(values) => control.int32_false_true = values.to_vec(),
            Flag::F32(values) => control.fp32_false_true = values.to_vec(),
            Flag::Bool(values) => control.bool_false_true = values.to_vec(),
        },
        Tells::Id(data_type) => control.data_type = type_number(data_type),
    }
    ControlInput { name: own.input.clone(), control: vec![control] }
}

fn type_number(data_type: modelyard_types::DataType) -> i32 {
    DataType::from_str_name(&type_name(data_type)).unwrap_or(DataType::TypeInvalid).into()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn clamped(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What a version did since it was loaded.
pub(super) fn statistics(version: &ServedVersion) -> ModelStatistics {
    let Statistics { success, failure, queue, compute, rows, batches, last_batch_unix_ms } =
        version.statistics();
    let total = |total: Total| Some(StatisticDuration { count: total.count, ns: total.nanoseconds });
    let nothing = total(Total { count: compute.count, nanoseconds: 0 });
    ModelStatistics {
        name: version.model().to_string(),
        version: version.version().to_string(),
        last_inference: last_batch_unix_ms,
        inference_count: rows,
        execution_count: batches,
        inference_stats: Some(InferStatistics {
            success: total(success),
            fail: total(failure),
            queue: total(queue),
            compute_input: nothing,
            compute_infer: total(compute),
            compute_output: nothing,
            cache_hit: total(Total::default()),
            cache_miss: total(Total::default()),
        }),
        memory_usage: vec![MemoryUsage { r#type: "CPU".to_owned(), id: 0, byte_size: version.bytes() }],
    }
}
