//! `signature.json`: what a network takes and gives, with the units and categories that only people need.

use modelyard_types::{DataType, Dim, Signature, TensorSpec};
use serde::{Deserialize, Serialize};

use super::{DocumentError, read, write};

const FORMAT_VERSION: u32 = 1;

/// The signature of a version, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureDocument {
    /// What must be sent.
    pub inputs: Vec<TensorDocument>,
    /// What comes back.
    pub outputs: Vec<TensorDocument>,
}

/// One tensor of the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorDocument {
    /// Its name in the network.
    pub name: String,
    /// The element type, as the Open Inference Protocol names it (`FP32`, `INT64`, …).
    pub data_type: String,
    /// The shape; -1 stands for any number.
    pub shape: Vec<i64>,
    /// The unit of its values, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The names of its entries along the last dimension, where they are categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

impl SignatureDocument {
    /// The file's name in a version.
    pub const FILE: &'static str = "signature.json";

    /// Reads the document.
    ///
    /// # Errors
    /// Where the bytes are not a signature of a known format, or a type or shape in it cannot be.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        let document: Self = read(Self::FILE, FORMAT_VERSION, bytes)?;
        document.to_signature()?;
        Ok(document)
    }

    /// The document's text.
    pub fn to_json(&self) -> String {
        write(FORMAT_VERSION, self)
    }

    /// The signature without units and categories.
    ///
    /// # Errors
    /// Where a type or shape cannot be.
    pub fn to_signature(&self) -> Result<Signature, DocumentError> {
        let specs = |tensors: &[TensorDocument]| -> Result<Vec<TensorSpec>, DocumentError> {
            tensors.iter().map(TensorDocument::to_spec).collect()
        };
        Ok(Signature { inputs: specs(&self.inputs)?, outputs: specs(&self.outputs)? })
    }
}

impl From<&Signature> for SignatureDocument {
    fn from(signature: &Signature) -> Self {
        let documents = |specs: &[TensorSpec]| specs.iter().map(TensorDocument::from).collect();
        Self { inputs: documents(&signature.inputs), outputs: documents(&signature.outputs) }
    }
}

impl From<&TensorSpec> for TensorDocument {
    fn from(spec: &TensorSpec) -> Self {
        let dim = |dim: &Dim| match dim {
            Dim::Any => -1,
            Dim::Fixed(size) => i64::try_from(*size).expect("a dimension is far below 2^63"),
        };
        Self {
            name: spec.name.clone(),
            data_type: spec.data_type.to_string(),
            shape: spec.shape.iter().map(dim).collect(),
            unit: None,
            categories: Vec::new(),
        }
    }
}

impl TensorDocument {
    /// The tensor without its unit and categories.
    ///
    /// # Errors
    /// Where its type or shape cannot be.
    pub fn to_spec(&self) -> Result<TensorSpec, DocumentError> {
        let malformed = |why: String| DocumentError::malformed(SignatureDocument::FILE, why);
        let data_type: DataType =
            self.data_type.parse().map_err(|why| malformed(format!("tensor {:?}: {why}", self.name)))?;
        let dim = |&size: &i64| match size {
            -1 => Ok(Dim::Any),
            _ => usize::try_from(size)
                .map(Dim::Fixed)
                .map_err(|_| malformed(format!("tensor {:?} has a dimension of {size}", self.name))),
        };
        let shape = self.shape.iter().map(dim).collect::<Result<_, _>>()?;
        Ok(TensorSpec { name: self.name.clone(), data_type, shape })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn specs() -> impl Strategy<Value = Vec<TensorSpec>> {
        let dim = prop_oneof![Just(Dim::Any), (0usize..1 << 40).prop_map(Dim::Fixed)];
        let data_type = proptest::sample::select(DataType::ALL.to_vec());
        let spec = (".{0,12}", data_type, prop::collection::vec(dim, 0..5))
            .prop_map(|(name, data_type, shape)| TensorSpec { name, data_type, shape });
        prop::collection::vec(spec, 0..4)
    }

    proptest! {
        #[test]
        fn every_signature_reads_back(inputs in specs(), outputs in specs()) {
            let signature = Signature { inputs, outputs };
            let text = SignatureDocument::from(&signature).to_json();
            let back = SignatureDocument::from_json(text.as_bytes()).expect("our own text");
            prop_assert_eq!(back.to_signature().expect("checked"), signature);
        }
    }

    #[test]
    fn types_and_shapes_that_cannot_be_are_named() {
        let cases = [
            (r#""data_type": "FLOAT", "shape": [1]"#, "\"FLOAT\" is no data type"),
            (r#""data_type": "FP32", "shape": [-2]"#, "tensor \"x\" has a dimension of -2"),
            (r#""data_type": "FP32", "shape": [1e300]"#, "invalid type"),
        ];
        for (fields, want) in cases {
            let text =
                format!(r#"{{"format_version": 1, "inputs": [{{"name": "x", {fields}}}], "outputs": []}}"#);
            let error = SignatureDocument::from_json(text.as_bytes()).expect_err(fields).to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
