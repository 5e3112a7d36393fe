//! The bodies that the routes take and give, as JSON schemas.

use modelyard_types::DataType;
use serde_json::{Value, json};

/// An object of these members, of which some must be there.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list_of(name: &str) -> Value {
    json!({ "type": "array", "items": reference(name) })
}

/// Every schema by its name.
pub(super) fn all() -> Value {
    let (text, whole, truth) =
        (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "boolean" }));
    let count = json!({ "type": "integer", "minimum": 0 });
    let any = json!({ "type": "object" });
    let mut all = tensors();
    let more = json!({
        "Failure": object(
            json!({ "error": text, "kind": text, "hint": text, "request_id": text, "sequence_lost": truth }),
            &["error", "kind", "request_id"],
        ),
        "Live": object(json!({ "live": truth }), &["live"]),
        "Ready": object(json!({ "ready": truth, "problems": { "type": "array", "items": any } }), &["ready"]),
        "ModelReady": object(
            json!({ "name": text, "version": text, "ready": truth, "problem": { "type": ["string", "null"] } }),
            &["name", "ready"],
        ),
        "ServerMetadata": object(
            json!({ "name": text, "version": text, "extensions": { "type": "array", "items": text } }),
            &["name", "version", "extensions"],
        ),
        "ModelMetadata": object(
            json!({
                "name": text, "versions": { "type": "array", "items": text }, "platform": text,
                "inputs": list_of("TensorMetadata"), "outputs": list_of("TensorMetadata"),
            }),
            &["name", "versions", "platform", "inputs", "outputs"],
        ),
        "ModelConfig": object(
            json!({ "name": text, "platform": text, "backend": text, "max_batch_size": count }),
            &["name", "platform", "max_batch_size", "input", "output"],
        ),
        "Statistics": object(json!({ "model_stats": { "type": "array", "items": any } }), &["model_stats"]),
        "IndexRequest": object(json!({ "ready": truth }), &[]),
        "Index": {
            "type": "array",
            "items": object(
                json!({ "name": text, "version": text, "state": { "enum": ["READY", "UNAVAILABLE"] }, "reason": text }),
                &["name", "version", "state"],
            ),
        },
        "Region": object(json!({ "key": text, "offset": count, "byte_size": count }), &["key", "byte_size"]),
        "Regions": {
            "type": "array",
            "items": object(
                json!({ "name": text, "key": text, "offset": count, "byte_size": count }),
                &["name", "key", "offset", "byte_size"],
            ),
        },
        "CudaRegion": { "type": "object" },
        "CudaRegions": { "type": "array", "maxItems": 0 },
        "ControlRequest": object(json!({ "parameters": any }), &[]),
        "Models": object(json!({ "models": { "type": "array", "items": text } }), &["models"]),
        "ModelStatus": object(json!({ "model_version_status": { "type": "array", "items": any } }), &["model_version_status"]),
        "Row": { "description": "Values by the pipeline's names, or the bare value where there is one." },
        "PredictRequest": object(
            json!({ "instances": list_of("Row"), "parameters": reference("GenerationParameters") }),
            &[],
        ),
        "PredictAnswer": object(json!({ "predictions": { "type": "array" } }), &["predictions"]),
        "PredictOneRequest": object(
            json!({ "input": reference("Row"), "parameters": reference("GenerationParameters") }),
            &[],
        ),
        "GenerationParameters": generation_parameters(),
        "PredictOneAnswer": object(json!({ "prediction": {} }), &["prediction"]),
    });
    extend(&mut all, more);
    extend(&mut all, settings(&text, &truth, &count));
    extend(&mut all, json!({ "Parameters": parameters(&truth, &count, &whole) }));
    all
}

/// How a language model continues a text, or a variational autoencoder draws samples.
fn generation_parameters() -> Value {
    json!({
        "type": "object",
        "description": "For language models: how boldly tokens are drawn, how many, and where to stop. For variational \
                        autoencoders, in a request without rows: how many samples to draw, and the seed of the first. \
                        Others ignore it.",
        "properties": {
            "count": { "type": "integer", "minimum": 1, "maximum": 1000 },
            "temperature": { "type": "number", "minimum": 0, "default": 1 },
            "top_k": { "type": "integer", "minimum": 1 },
            "top_p": { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
            "seed": { "type": "integer", "minimum": 0, "default": 0 },
            "max_tokens": { "type": "integer", "minimum": 1, "maximum": 4096, "default": 128 },
            "stream": {
                "type": "boolean", "default": false,
                "description": "For language models and one row: the text as server-sent events, {\"text\": piece} each, \
                                then {\"prediction\": …} as without it; what goes wrong on the way is an event `error`.",
            },
            "stop": { "anyOf": [{ "type": "string" }, { "type": "array", "maxItems": 16, "items": { "type": "string" } }] },
        },
    })
}

/// Which calls are traced and which lines are logged, as told and as changed.
fn settings(text: &Value, truth: &Value, count: &Value) -> Value {
    let level = json!({ "type": "array", "items": { "enum": ["OFF", "TIMESTAMPS"] } });
    let number = json!({ "type": ["string", "null"], "pattern": "^(-1|[0-9]+)$" });
    let levels = json!({
        "log_info": truth, "log_warning": truth, "log_error": truth, "log_verbose_level": count,
    });
    let mut told = levels.clone();
    extend(&mut told, json!({ "log_file": text, "log_format": text }));
    json!({
        "TraceSettings": object(
            json!({
                "trace_level": level, "trace_rate": text, "trace_count": text, "log_frequency": text,
                "trace_mode": text,
            }),
            &["trace_level", "trace_rate", "trace_count", "log_frequency", "trace_mode"],
        ),
        "TraceChange": object(
            json!({
                "trace_level": { "anyOf": [level, { "enum": ["OFF", "TIMESTAMPS"] }, { "type": "null" }] },
                "trace_rate": number, "trace_count": number, "log_frequency": number,
            }),
            &[],
        ),
        "LogSettings": object(
            told,
            &["log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"],
        ),
        "LogChange": object(levels, &[]),
    })
}

fn extend(all: &mut Value, more: Value) {
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
}

fn parameters(truth: &Value, count: &Value, whole: &Value) -> Value {
    let name = json!({ "anyOf": [count, { "type": "string", "maxLength": 128 }] });
    json!({
        "type": "object",
        "description": "Of the request: binary_data_output, timeout in microseconds, priority from 1 (first) to 255, and its place in a sequence.",
        "properties": { "binary_data_output": truth, "timeout": count, "priority": { "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 }, "sequence_id": name, "sequence_start": truth, "sequence_end": truth },
        "additionalProperties": { "anyOf": [truth, whole, { "type": "number" }, { "type": "string" }] },
    })
}

/// The protocol's tensors and the requests and answers made of them.
fn tensors() -> Value {
    let text = json!({ "type": "string" });
    let sizes = json!({ "type": "array", "maxItems": 16, "items": { "type": "integer", "minimum": 0, "maximum": i64::MAX } });
    let types: Vec<&str> = DataType::ALL.iter().map(|data_type| data_type.as_str()).collect();
    let datatype = json!({ "enum": types });
    let count = json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
    let place = json!({
        "shared_memory_region": text, "shared_memory_offset": count, "shared_memory_byte_size": count,
    });
    let mut input = json!({ "binary_data_size": count });
    let mut output = json!({ "binary_data": { "type": "boolean" }, "classification": count });
    extend(&mut input, place.clone());
    extend(&mut output, place);
    let values = object(input, &[]);
    json!({
        "TensorMetadata": object(
            json!({
                "name": text, "datatype": datatype,
                "shape": { "type": "array", "items": { "type": "integer", "minimum": -1 } },
            }),
            &["name", "datatype", "shape"],
        ),
        "InputTensor": object(
            json!({
                "name": text, "shape": sizes, "datatype": datatype, "parameters": values,
                "data": { "type": "array", "description": "Flat in row-major order, or nested as the shape." },
            }),
            &["name", "shape", "datatype"],
        ),
        "WantedOutput": object(
            json!({
                "name": text, "parameters": object(output, &[]),
            }),
            &["name"],
        ),
        "InferRequest": object(
            json!({
                "id": text, "parameters": reference("Parameters"),
                "inputs": list_of("InputTensor"), "outputs": list_of("WantedOutput"),
            }),
            &["inputs"],
        ),
        "OutputTensor": object(
            json!({ "name": text, "shape": sizes, "datatype": datatype, "parameters": values, "data": { "type": "array" } }),
            &["name", "shape", "datatype"],
        ),
        "InferAnswer": object(
            json!({ "model_name": text, "model_version": text, "id": text, "outputs": list_of("OutputTensor") }),
            &["model_name", "model_version", "outputs"],
        ),
    })
}
