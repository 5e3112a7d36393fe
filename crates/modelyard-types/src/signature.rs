//! What a network takes and gives: named tensors with types and shapes, and the check of a request
//! against them.

use std::fmt;

use crate::{DataType, NamedTensor, Tensor};

/// One dimension of a declared shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Exactly this many.
    Fixed(usize),
    /// Any number, the same for all inputs of one request when it is the first dimension: the batch.
    Any,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Any => f.write_str("-1"),
        }
    }
}

/// The declared name, type and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The tensor's name in the network.
    pub name: String,
    /// The element type.
    pub data_type: DataType,
    /// The shape, batch dimension first where there is one.
    pub shape: Vec<Dim>,
}

/// All inputs and outputs of a network.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Signature {
    /// What must be sent.
    pub inputs: Vec<TensorSpec>,
    /// What comes back.
    pub outputs: Vec<TensorSpec>,
}

/// How a set of tensors differs from the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// A tensor that the signature does not name.
    UnknownInput {
        /// The name that was sent.
        name: String,
        /// The names that would be right.
        known: Vec<String>,
    },
    /// The same name twice.
    DuplicateInput {
        /// The name.
        name: String,
    },
    /// A tensor that was not sent.
    MissingInput {
        /// The name that is missing.
        name: String,
    },
    /// The wrong element type.
    WrongType {
        /// The input's name.
        name: String,
        /// What the signature declares.
        want: DataType,
        /// What was sent.
        got: DataType,
    },
    /// The wrong shape.
    WrongShape {
        /// The input's name.
        name: String,
        /// What the signature declares.
        want: Vec<Dim>,
        /// What was sent.
        got: Vec<usize>,
    },
    /// Inputs that disagree on the number of rows.
    UnequalBatch {
        /// The first input that disagrees with the one before it.
        name: String,
        /// Its rows.
        got: usize,
        /// The others' rows.
        want: usize,
    },
}

fn show(dims: &[Dim]) -> String {
    let parts: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", parts.join(", "))
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownInput { name, known } => {
                write!(f, "input {name:?} is not known; the model takes {}", known.join(", "))
            }
            Self::DuplicateInput { name } => write!(f, "input {name:?} was sent twice"),
            Self::MissingInput { name } => write!(f, "input {name:?} is missing"),
            Self::WrongType { name, want, got } => {
                write!(f, "input {name:?} has type {got}, the model takes {want}")
            }
            Self::WrongShape { name, want, got } => {
                write!(f, "input {name:?} has shape {got:?}, the model takes {}", show(want))
            }
            Self::UnequalBatch { name, got, want } => {
                write!(f, "input {name:?} has {got} rows, the inputs before it have {want}")
            }
        }
    }
}

impl std::error::Error for SignatureError {}

impl TensorSpec {
    /// Whether a tensor has this type and shape.
    ///
    /// # Errors
    /// [`SignatureError::WrongType`] or [`SignatureError::WrongShape`].
    pub fn check(&self, tensor: &Tensor) -> Result<(), SignatureError> {
        if tensor.data_type() != self.data_type {
            return Err(SignatureError::WrongType {
                name: self.name.clone(),
                want: self.data_type,
                got: tensor.data_type(),
            });
        }
        let fits = tensor.shape().len() == self.shape.len()
            && tensor.shape().iter().zip(&self.shape).all(|(&got, want)| match want {
                Dim::Fixed(n) => got == *n,
                Dim::Any => true,
            });
        if fits {
            return Ok(());
        }
        Err(SignatureError::WrongShape {
            name: self.name.clone(),
            want: self.shape.clone(),
            got: tensor.shape().to_vec(),
        })
    }
}

impl Signature {
    /// Whether these tensors are exactly the inputs declared, in any order, and of equal batch.
    /// Returns the number of rows: the first dimension where it is [`Dim::Any`], else 1.
    ///
    /// # Errors
    /// The first difference found, as a [`SignatureError`].
    pub fn check_inputs(&self, inputs: &[NamedTensor]) -> Result<usize, SignatureError> {
        for (i, sent) in inputs.iter().enumerate() {
            if !self.inputs.iter().any(|spec| spec.name == sent.name) {
                let known = self.inputs.iter().map(|spec| spec.name.clone()).collect();
                return Err(SignatureError::UnknownInput { name: sent.name.clone(), known });
            }
            if inputs[..i].iter().any(|other| other.name == sent.name) {
                return Err(SignatureError::DuplicateInput { name: sent.name.clone() });
            }
        }
        let mut rows = None;
        for spec in &self.inputs {
            let Some(sent) = inputs.iter().find(|sent| sent.name == spec.name) else {
                return Err(SignatureError::MissingInput { name: spec.name.clone() });
            };
            spec.check(&sent.tensor)?;
            if spec.shape.first() != Some(&Dim::Any) {
                continue;
            }
            let got = sent.tensor.shape()[0];
            match rows {
                Some(want) if want != got => {
                    return Err(SignatureError::UnequalBatch { name: spec.name.clone(), got, want });
                }
                _ => rows = Some(got),
            }
        }
        Ok(rows.unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> Signature {
        let spec = |name: &str, data_type, shape: &[Dim]| TensorSpec {
            name: name.to_owned(),
            data_type,
            shape: shape.to_vec(),
        };
        Signature {
            inputs: vec![
                spec("x", DataType::F32, &[Dim::Any, Dim::Fixed(2)]),
                spec("n", DataType::I64, &[Dim::Any]),
            ],
            outputs: vec![],
        }
    }

    fn named(name: &str, tensor: Tensor) -> NamedTensor {
        NamedTensor { name: name.to_owned(), tensor }
    }

    fn x(rows: usize) -> NamedTensor {
        named("x", Tensor::new(vec![rows, 2], vec![0f32; rows * 2].into()).expect("fits"))
    }

    fn n(rows: usize) -> NamedTensor {
        named("n", Tensor::new(vec![rows], vec![0i64; rows].into()).expect("fits"))
    }

    #[test]
    fn the_inputs_declared_are_taken_in_any_order() {
        assert_eq!(signature().check_inputs(&[n(3), x(3)]), Ok(3));
    }

    #[test]
    fn every_difference_is_told() {
        let cases: Vec<(Vec<NamedTensor>, &str)> = vec![
            (vec![x(1)], "input \"n\" is missing"),
            (vec![x(1), x(1)], "input \"x\" was sent twice"),
            (vec![named("y", x(1).tensor)], "input \"y\" is not known; the model takes x, n"),
            (vec![x(2), n(3)], "input \"n\" has 3 rows, the inputs before it have 2"),
            (vec![named("x", n(2).tensor), n(2)], "input \"x\" has type INT64, the model takes FP32"),
            (
                vec![named("x", Tensor::new(vec![1, 3], vec![0f32; 3].into()).expect("fits")), n(1)],
                "input \"x\" has shape [1, 3], the model takes [-1, 2]",
            ),
        ];
        for (inputs, want) in cases {
            assert_eq!(signature().check_inputs(&inputs).map_err(|e| e.to_string()), Err(want.to_owned()));
        }
    }
}
