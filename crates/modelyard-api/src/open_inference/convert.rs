//! Between what is served and the protocol's documents about it.

use modelyard_serve::{ModelStatus, ServedVersion};
use modelyard_types::{Dim, TensorSpec};
use serde::Serialize;

/// `GET /v2`.
#[derive(Serialize)]
pub(super) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 0],
}

/// This program.
pub(super) const SERVER: ServerMetadata =
    ServerMetadata { name: "modelyard", version: env!("CARGO_PKG_VERSION"), extensions: [] };

/// `GET /v2/models/{model}[/versions/{version}]`.
#[derive(Serialize)]
pub(super) struct ModelMetadata {
    name: String,
    versions: Vec<String>,
    platform: String,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

#[derive(Serialize)]
struct TensorMetadata {
    name: String,
    datatype: &'static str,
    shape: Vec<i64>,
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
            Dim::Any => -1,
        };
        let shape = spec.shape.iter().map(size).collect();
        Self { name: spec.name.clone(), datatype: spec.data_type.as_str(), shape }
    }
}

/// The metadata of a loaded version, and which versions of its model there are.
pub(super) fn metadata(status: &ModelStatus, version: &ServedVersion) -> ModelMetadata {
    ModelMetadata {
        name: status.name.to_string(),
        versions: status.versions.iter().map(ToString::to_string).collect(),
        platform: platform(version.runtime()),
        inputs: version.signature().inputs.iter().map(TensorMetadata::from).collect(),
        outputs: version.signature().outputs.iter().map(TensorMetadata::from).collect(),
    }
}

/// The specification's `<project>_<format>`.
fn platform(runtime: &str) -> String {
    match runtime {
        "native" => "modelyard_native".to_owned(),
        foreign => format!("{foreign}_onnx"),
    }
}
