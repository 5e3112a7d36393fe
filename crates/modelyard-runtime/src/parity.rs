//! Whether all engines here answer alike on the same rows: what publishing asks before it trusts an export.

use modelyard_types::{NamedTensor, TensorData};

use crate::{LoadOptions, ModelFiles, Runtime, RuntimeError, Runtimes};

/// How one engine's numbers differ from the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The engine.
    pub runtime: &'static str,
    /// Largest |a − b|.
    pub absolute_max: f64,
    /// Largest |a − b| / |a|, over the numbers of the reference that are not 0.
    pub relative_max: f64,
    /// Largest |a − b| / (1 + |a|): absolute for small numbers, relative for large ones.
    pub scaled_max: f64,
}

/// What came of comparing the engines.
#[derive(Clone, Debug, PartialEq)]
pub struct ParityReport {
    /// The engine that the others are compared with.
    pub reference: &'static str,
    /// The engines compared.
    pub differences: Vec<Difference>,
    /// The engines that could not take part, and why.
    pub skipped: Vec<(&'static str, String)>,
}

impl ParityReport {
    /// Whether at least one other engine was compared and none differs by more than `tolerance`, measured
    /// as [`Difference::scaled_max`].
    pub fn agrees(&self, tolerance: f64) -> bool {
        !self.differences.is_empty() && self.differences.iter().all(|other| other.scaled_max <= tolerance)
    }
}

/// Runs the same inputs through every engine that takes these files and compares their answers with the
/// first one's: the native engine's for networks trained here.
///
/// # Errors
/// Where no engine takes the files, or one that takes them fails on the inputs.
pub fn parity(
    runtimes: &Runtimes,
    files: &ModelFiles<'_>,
    inputs: &[NamedTensor],
) -> Result<ParityReport, RuntimeError> {
    let chosen = runtimes.choose(files)?;
    let reference = answers(chosen, files, inputs)?;
    let mut report = ParityReport { reference: chosen.name(), differences: Vec::new(), skipped: Vec::new() };
    for runtime in runtimes.all().filter(|runtime| runtime.name() != chosen.name()) {
        if let Err(error) = runtime.check(files) {
            report.skipped.push((runtime.name(), error.to_string()));
            continue;
        }
        let other = answers(runtime, files, inputs)?;
        report.differences.push(difference(runtime.name(), &reference, &other));
    }
    Ok(report)
}

fn answers(
    runtime: &dyn Runtime,
    files: &ModelFiles<'_>,
    inputs: &[NamedTensor],
) -> Result<Vec<NamedTensor>, RuntimeError> {
    runtime.load(files, &LoadOptions::default())?.session()?.run(inputs)
}

fn difference(runtime: &'static str, reference: &[NamedTensor], other: &[NamedTensor]) -> Difference {
    let mut found = Difference { runtime, absolute_max: 0.0, relative_max: 0.0, scaled_max: 0.0 };
    if reference.len() != other.len() {
        found.has_no_counterpart();
    }
    for a in reference {
        let Some(b) = other.iter().find(|b| b.name == a.name) else {
            found.has_no_counterpart();
            continue;
        };
        let (a_values, b_values) = (numbers(a.tensor.data()), numbers(b.tensor.data()));
        if a.tensor.shape() != b.tensor.shape() || a_values.len() != b_values.len() {
            found.has_no_counterpart();
            continue;
        }
        for (a, b) in a_values.into_iter().zip(b_values) {
            found.widen(a, b);
        }
    }
    found
}

impl Difference {
    /// One gives what the other does not, or not in that shape.
    fn has_no_counterpart(&mut self) {
        self.absolute_max = f64::INFINITY;
        self.scaled_max = f64::INFINITY;
    }

    fn widen(&mut self, a: f64, b: f64) {
        if a == b || (a.is_nan() && b.is_nan()) {
            return;
        }
        let absolute = (a - b).abs();
        let absolute = if absolute.is_nan() { f64::INFINITY } else { absolute };
        self.absolute_max = self.absolute_max.max(absolute);
        self.scaled_max =
            self.scaled_max.max(if a.is_finite() { absolute / (1.0 + a.abs()) } else { f64::INFINITY });
        if a != 0.0 && a.is_finite() {
            self.relative_max = self.relative_max.max(absolute / a.abs());
        }
    }
}

/// The values as numbers; texts are compared by their bytes.
fn numbers(data: &TensorData) -> Vec<f64> {
    match data {
        TensorData::Bool(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
        TensorData::U8(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::U16(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::U32(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::U64(values) => values.iter().map(|&value| value as f64).collect(),
        TensorData::I8(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::I16(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::I32(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::I64(values) => values.iter().map(|&value| value as f64).collect(),
        TensorData::F16(values) => values.iter().map(|&bits| half::f16::from_bits(bits).to_f64()).collect(),
        TensorData::F32(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::F64(values) => values.clone(),
        TensorData::Bytes(values) => values.iter().flatten().map(|&byte| byte.into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use modelyard_types::Tensor;

    use super::*;

    fn check(a: &[f32], b: &[f32], scaled: f64) {
        let named = |values: &[f32]| {
            let tensor = Tensor::new(vec![values.len()], values.to_vec().into()).expect("it fits");
            vec![NamedTensor { name: "y".to_owned(), tensor }]
        };
        let found = difference("rten", &named(a), &named(b));
        assert!((found.scaled_max - scaled).abs() < 1e-9 || found.scaled_max == scaled, "{found:?}");
    }

    #[test]
    fn outputs_that_one_engine_lacks_are_no_agreement() {
        let named = |name: &str, value: f32| {
            let tensor = Tensor::new(vec![1], vec![value].into()).expect("it fits");
            NamedTensor { name: name.to_owned(), tensor }
        };
        let both = [named("a", 1.0), named("b", 2.0)];
        let turned = [named("b", 2.0), named("a", 1.0)];
        let scaled = |a: &[NamedTensor], b: &[NamedTensor]| difference("rten", a, b).scaled_max;
        assert_eq!(scaled(&both, &turned), 0.0);
        assert_eq!(scaled(&both, &both[..1]), f64::INFINITY);
        assert_eq!(scaled(&both[..1], &both), f64::INFINITY);
        assert_eq!(scaled(&both[..1], &[named("c", 1.0)]), f64::INFINITY);
    }

    #[test]
    fn differences_are_measured_and_nan_is_no_agreement() {
        check(&[1.0, f32::NAN], &[1.0, f32::NAN], 0.0);
        check(&[1.0], &[2.0], 0.5);
        check(&[0.0], &[f32::NAN], f64::INFINITY);
        check(&[f32::INFINITY], &[1.0], f64::INFINITY);
        check(&[1.0, 2.0], &[1.0], f64::INFINITY);
    }
}
