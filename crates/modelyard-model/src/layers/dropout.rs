//! Dropout (Srivastava et al. 2014): while training, values are dropped at random and the rest scaled up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit};
use crate::cpu::{self, Arithmetic, Kernel};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Pass, Place, Purpose, Tape};
use crate::rng::mix;

/// Drops each value with probability `rate` while training; does nothing in inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The share of values to drop, at least 0 and below 1.
    pub rate: f32,
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        check_rate("rate", self.rate)?;
        Ok(input.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let width = place.input.iter().product();
        Some(Box::new(DropoutOp(Drop::new(self.rate, width, place, 0)?)))
    }

    fn export(&self, _layer: &ExportedLayer<'_>, _graph: &mut Export) {}
}

/// Checks a share of values to drop, for every layer that has one.
pub(crate) fn check_rate(field: &'static str, rate: f32) -> Result<(), Misfit> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(Misfit::field(field, format!("must be at least 0 and below 1, it is {rate}")))
}

/// What drops values, in a layer of its own or inside a larger operation.
///
/// The mask is a hash of (seed, step, layer, value's place in the mini-batch): it needs no memory and does
/// not depend on how rows are sharded.
#[derive(Clone, Debug)]
pub(crate) struct Drop {
    /// Values of one row.
    width: usize,
    threshold: u32,
    scale: f32,
    stream: u64,
}

impl Drop {
    /// Drops among `width` values of each row; `which` tells apart what one layer drops in several places.
    /// `None` where nothing is dropped.
    pub(crate) fn new(rate: f32, width: usize, place: &Place<'_>, which: u64) -> Option<Self> {
        if place.purpose == Purpose::Inference || rate == 0.0 {
            return None;
        }
        Some(Self {
            width,
            threshold: (f64::from(rate) * f64::from(u32::MAX)) as u32,
            scale: 1.0 / (1.0 - rate),
            stream: (place.index as u64 + 1) | which << 48,
        })
    }

    /// Drops among values that start in this shard's row `row` behind its first `offset` values.
    pub(crate) fn apply(&self, pass: &Pass<'_>, (row, offset): (usize, usize), values: &mut [f32]) {
        let key = mix(pass.key ^ mix(self.stream));
        let start = (pass.first_row + row) * self.width + offset;
        cpu::run(Mask {
            values,
            start: (start as u32).wrapping_add(key as u32),
            salt: (key >> 32) as u32,
            threshold: self.threshold,
            scale: self.scale,
        });
    }
}

struct DropoutOp(Drop);

impl Op for DropoutOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        output.copy_from_slice(input);
        self.0.apply(pass, (0, 0), output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        if let Some(d_input) = tape.d_input {
            d_input.copy_from_slice(tape.d_output);
            self.0.apply(pass, (0, 0), d_input);
        }
    }
}

struct Mask<'a> {
    values: &'a mut [f32],
    start: u32,
    salt: u32,
    threshold: u32,
    scale: f32,
}

impl Kernel for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (i, value) in self.values.iter_mut().enumerate() {
            // A 32-bit finaliser with low bias (C. Wellons, "Prospecting for hash functions", 2018).
            let mut hash = self.start.wrapping_add(i as u32) ^ self.salt;
            hash = (hash ^ (hash >> 16)).wrapping_mul(0x7feb_352d);
            hash = (hash ^ (hash >> 15)).wrapping_mul(0x846c_a68b);
            hash ^= hash >> 16;
            *value = if hash < self.threshold { 0.0 } else { *value * self.scale };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::kernels::product::Parallelism;
    use crate::layers::contract;
    use crate::op::RowShares;

    #[test]
    fn contract() {
        contract::check(&LayerSpec::Dropout(Dropout { rate: 0.4 }), &[50]);
        contract::check(&LayerSpec::Dropout(Dropout { rate: 0.2 }), &[4, 4, 3]);
        contract::check(&LayerSpec::Dropout(Dropout { rate: 0.2 }), &[5, 4]);
    }

    fn mask(key: u64, first_row: usize, rows: usize) -> Vec<f32> {
        let pass = Pass {
            parameters: &[],
            state: &[],
            rows,
            rows_total: 100,
            first_row,
            key,
            shares: RowShares::NONE,
            mask: None,
            memory_mask: None,
            parallelism: Parallelism::Single,
            first_step: 0,
        };
        let place = Place {
            input: &[50],
            inputs: &[vec![50]],
            weights: &[],
            rows_max: 100,
            purpose: Purpose::Training,
            trainable: true,
            pooled: false,
            steps_kept: 0,
            remembers: false,
            index: 2,
        };
        let mut op = Dropout { rate: 0.3 }.plan(&place).expect("a rate above 0");
        let mut output = vec![0.0; rows * 50];
        op.forward(&pass, &vec![1.0; rows * 50], &mut output);
        output
    }

    #[test]
    fn the_share_is_right_and_masks_do_not_depend_on_sharding() {
        let whole = mask(1, 0, 100);
        let dropped = whole.iter().filter(|&&x| x == 0.0).count() as f64 / 5000.0;
        assert!((dropped - 0.3).abs() < 0.02, "{dropped}");
        assert!(whole.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.7).abs() < 1e-6));
        assert_eq!(whole[40 * 50..], mask(1, 40, 60));
        assert_ne!(whole, mask(2, 0, 100));
    }

    #[test]
    fn rates_that_cannot_be_are_said() {
        for rate in [-0.1, 1.0, f32::NAN] {
            contract::check_error(LayerSpec::Dropout(Dropout { rate }), &[3], "rate must be at least 0", "");
        }
    }
}
