//! Triton's documents about a loaded version: its configuration and what it did.
//!
//! Sources: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_model_configuration.md`
//! and `extension_statistics.md`.

use modelyard_serve::{Control, Flag, KeptState, ServedVersion, Statistics, Tells, Total};
use modelyard_types::{DataType, Dim, TensorSpec};
use serde_json::{Value, json};

use super::convert::platform;

/// Triton's name of a data type in a configuration.
pub(crate) fn type_name(data_type: DataType) -> String {
    match data_type {
        DataType::Bytes => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    }
}

/// A tensor's sizes in a configuration: without the rows where requests are joined.
pub(crate) fn dims(spec: &TensorSpec, joined: bool) -> Vec<i64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dim::Any => -1,
    };
    spec.shape.iter().skip(usize::from(joined)).map(size).collect()
}

/// The configuration of a version, as Triton's JSON shows it.
pub(super) fn config(version: &ServedVersion) -> Value {
    let joined = version.batch_rows_max();
    let tensor = |spec: &TensorSpec| {
        json!({
            "name": spec.name,
            "data_type": type_name(spec.data_type),
            "dims": dims(spec, joined.is_some()),
        })
    };
    let signature = version.signature();
    let limits = version.limits();
    let mut config = json!({
        "name": version.model().as_str(),
        "platform": platform(version.runtime()),
        "backend": version.runtime(),
        "version_policy": { "specific": { "versions": [version.version().get()] } },
        "max_batch_size": joined.unwrap_or(0),
        "input": signature.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "output": signature.outputs.iter().map(tensor).collect::<Vec<_>>(),
        "instance_group": [{ "name": version.model().as_str(), "kind": "KIND_CPU", "count": limits.sessions_max }],
    });
    let delay = limits.batch_delay.as_micros() as u64;
    if let Some(sequences) = version.sequences() {
        config["sequence_batching"] = json!({
            "max_sequence_idle_microseconds": limits.sequence_idle.as_micros() as u64,
            "oldest": { "preferred_batch_size": limits.preferred_rows, "max_queue_delay_microseconds": delay },
            "control_input": sequences.controls.iter().map(control).collect::<Vec<_>>(),
            "state": sequences.states.iter().map(|own| state(own, joined.is_some())).collect::<Vec<_>>(),
        });
    } else if joined.is_some() {
        config["dynamic_batching"] = json!({
            "preferred_batch_size": limits.preferred_rows,
            "max_queue_delay_microseconds": delay,
            "priority_levels": u8::MAX,
            "default_priority_level": modelyard_serve::PRIORITY_DEFAULT,
        });
    }
    config
}

/// The name in a configuration of what a control tells.
pub(crate) fn kind_name(tells: Tells) -> &'static str {
    match tells {
        Tells::Start(_) => "CONTROL_SEQUENCE_START",
        Tells::Ready(_) => "CONTROL_SEQUENCE_READY",
        Tells::End(_) => "CONTROL_SEQUENCE_END",
        Tells::Id(_) => "CONTROL_SEQUENCE_CORRID",
    }
}

fn control(Control { input, tells }: &Control) -> Value {
    let mut control = json!({ "kind": kind_name(*tells) });
    match tells {
        Tells::Start(flag) | Tells::Ready(flag) | Tells::End(flag) => match flag {
            Flag::I32(values) => control["int32_false_true"] = json!(values),
            Flag::F32(values) => control["fp32_false_true"] = json!(values),
            Flag::Bool(values) => control["bool_false_true"] = json!(values),
        },
        Tells::Id(data_type) => control["data_type"] = json!(type_name(*data_type)),
    }
    json!({ "name": input, "control": [control] })
}

fn state(KeptState { input, output, .. }: &KeptState, joined: bool) -> Value {
    json!({
        "input_name": input.name,
        "output_name": output,
        "data_type": type_name(input.data_type),
        "dims": dims(input, joined),
    })
}

/// What versions did since they were loaded. Joining requests and taking answers apart is part of computing.
pub(super) fn statistics(versions: &[impl AsRef<ServedVersion>]) -> Value {
    let one = |version: &ServedVersion| {
        let Statistics { success, failure, queue, compute, rows, batches, last_batch_unix_ms } =
            version.statistics();
        let total = |total: Total| json!({ "count": total.count, "ns": total.nanoseconds });
        let nothing = total(Total { count: compute.count, nanoseconds: 0 });
        json!({
            "name": version.model().as_str(),
            "version": version.version().to_string(),
            "last_inference": last_batch_unix_ms,
            "inference_count": rows,
            "execution_count": batches,
            "inference_stats": {
                "success": total(success),
                "fail": total(failure),
                "queue": total(queue),
                "compute_input": nothing,
                "compute_infer": total(compute),
                "compute_output": nothing,
                "cache_hit": total(Total::default()),
                "cache_miss": total(Total::default()),
            },
            "memory_usage": [{ "type": "CPU", "id": 0, "byte_size": version.bytes() }],
            "batch_stats": [],
        })
    };
    json!({ "model_stats": versions.iter().map(|version| one(version.as_ref())).collect::<Vec<_>>() })
}
