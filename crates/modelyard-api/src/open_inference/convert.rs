//! Between what is served and the protocol's documents about it.

use modelyard_serve::{ModelStatus, ServedVersion};
use modelyard_types::TensorSpec;
use serde::Serialize;

use super::about::dims;
use crate::config::ApiConfig;

/// `GET /v2`.
#[derive(Serialize)]
pub(crate) struct ServerMetadata {
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) extensions: Vec<&'static str>,
}

impl ServerMetadata {
    /// This program, with what works beyond the protocol itself, by Triton's names.
    pub(crate) fn new(config: &ApiConfig) -> Self {
        let mut extensions = vec![
            "binary_tensor_data",
            "classification",
            "model_configuration",
            "parameters",
            "schedule_policy",
            "sequence",
            "statistics",
        ];
        if config.repository_control {
            extensions.push("model_repository");
        }
        if config.shares_memory {
            extensions.push("system_shared_memory");
        }
        if config.telemetry_control {
            extensions.extend(config.log.is_some().then_some("logging"));
            extensions.extend(config.traces.is_some().then_some("trace"));
        }
        Self { name: config.server_name.clone(), version: env!("CARGO_PKG_VERSION"), extensions }
    }
}

/// `GET /v2/models/{model}[/versions/{version}]`.
#[derive(Serialize)]
pub(crate) struct ModelMetadata {
    pub(crate) name: String,
    pub(crate) versions: Vec<String>,
    pub(crate) platform: String,
    pub(crate) inputs: Vec<TensorMetadata>,
    pub(crate) outputs: Vec<TensorMetadata>,
}

/// A tensor's name, type and shape, -1 for any size.
#[derive(Serialize)]
pub(crate) struct TensorMetadata {
    pub(crate) name: String,
    pub(crate) datatype: &'static str,
    pub(crate) shape: Vec<i64>,
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        let shape = dims(spec, false);
        Self { name: spec.name.clone(), datatype: spec.data_type.as_str(), shape }
    }
}

/// The metadata of a loaded version, and which versions of its model there are.
pub(crate) fn metadata(status: &ModelStatus, version: &ServedVersion) -> ModelMetadata {
    ModelMetadata {
        name: status.name.to_string(),
        versions: status.versions.iter().map(ToString::to_string).collect(),
        platform: platform(version.runtime()),
        inputs: version.signature().inputs.iter().map(TensorMetadata::from).collect(),
        outputs: version.signature().outputs.iter().map(TensorMetadata::from).collect(),
    }
}

/// The specification's `<project>_<format>`.
pub(crate) fn platform(runtime: &str) -> String {
    match runtime {
        "native" => "modelyard_native".to_owned(),
        "native-onnx" => "modelyard_onnx".to_owned(),
        "graph" => "modelyard_graph".to_owned(),
        foreign => format!("{foreign}_onnx"),
    }
}
