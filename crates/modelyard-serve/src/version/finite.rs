//! NaN and infinity are neither taken nor given out: no protocol has one way to write them.

use modelyard_types::{NamedTensor, Tensor, TensorData};

use crate::error::ServeError;

/// The first value that is not finite, and where.
fn not_finite(tensor: &Tensor) -> Option<(usize, f64)> {
    /// Exponent bits of half precision: all set in infinity and NaN.
    const HALF_EXPONENT: u16 = 0x7C00;
    match tensor.data() {
        TensorData::F32(values) => {
            let at = values.iter().position(|value| !value.is_finite())?;
            Some((at, f64::from(values[at])))
        }
        TensorData::F64(values) => {
            let at = values.iter().position(|value| !value.is_finite())?;
            Some((at, values[at]))
        }
        TensorData::F16(values) => {
            let at = values.iter().position(|bits| bits & HALF_EXPONENT == HALF_EXPONENT)?;
            let infinite = values[at] & !(HALF_EXPONENT | 0x8000) == 0;
            Some((at, if infinite { f64::INFINITY } else { f64::NAN }))
        }
        _ => None,
    }
}

/// Whether every value of an input is a number to compute with.
///
/// # Errors
/// [`ServeError::NotFinite`] with the first that is not.
pub(super) fn check_finite(input: &NamedTensor) -> Result<(), ServeError> {
    match not_finite(&input.tensor) {
        Some((at, value)) => Err(ServeError::NotFinite { input: input.name.clone(), at, value }),
        None => Ok(()),
    }
}

/// Whether every value of the answer is a number that can be given out.
///
/// # Errors
/// [`ServeError::AnswerNotFinite`] with the first that is not.
pub fn check_answer(outputs: &[NamedTensor]) -> Result<(), ServeError> {
    for output in outputs {
        if let Some((_, value)) = not_finite(&output.tensor) {
            return Err(ServeError::AnswerNotFinite { output: output.name.clone(), value });
        }
    }
    Ok(())
}
