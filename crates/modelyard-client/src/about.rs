//! What a server tells of itself and of its models.

use modelyard_types::{DataType, Dim, TensorSpec};
use serde::Deserialize;

use crate::ClientError;
use crate::error::unreadable;

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerMetadata {
    /// Its name, such as `modelyard`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it speaks beyond the protocol itself, by Triton's names.
    #[serde(default)]
    pub extensions: Vec<String>,
}

/// What a model takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMetadata {
    /// The model.
    pub name: String,
    /// Its versions, oldest first.
    pub versions: Vec<String>,
    /// What it is and who runs it, such as `modelyard_native`.
    pub platform: String,
    /// The inputs.
    pub inputs: Vec<TensorSpec>,
    /// The outputs.
    pub outputs: Vec<TensorSpec>,
}

#[derive(Deserialize)]
struct ModelTold {
    name: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    platform: String,
    inputs: Vec<TensorTold>,
    outputs: Vec<TensorTold>,
}

#[derive(Deserialize)]
struct TensorTold {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl ModelMetadata {
    /// Reads the protocol's document. Safe on any bytes.
    ///
    /// # Errors
    /// [`ClientError::Answer`] for what is no such document.
    pub fn from_json(json: &[u8]) -> Result<Self, ClientError> {
        let told = serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))?;
        let all = |told: Vec<TensorTold>| told.into_iter().map(TensorTold::read).collect::<Result<_, _>>();
        let ModelTold { name, versions, platform, inputs, outputs } = told;
        Ok(Self { name, versions, platform, inputs: all(inputs)?, outputs: all(outputs)? })
    }
}

impl TensorTold {
    fn read(self) -> Result<TensorSpec, ClientError> {
        let data_type: DataType = self.datatype.parse().map_err(|error| unreadable(format!("{error}")))?;
        let shape = self.shape.iter().map(|&size| usize::try_from(size).map_or(Dim::Any, Dim::Fixed));
        Ok(TensorSpec { name: self.name, data_type, shape: shape.collect() })
    }
}
