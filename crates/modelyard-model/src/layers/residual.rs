//! What stands around each part of a Transformer's block: a way past it, dropout, and layer normalisation.

use std::ops::Range;

use super::dropout::Drop;
use super::layer_norm::Norm;
use crate::kernels::rows;
use crate::op::{Pass, Place};

/// `norm(x + branch(x))` (Vaswani et al. 2017), or with the norm first `x + branch(norm(x))` (Xiong et al. 2020).
pub(crate) struct Residual {
    norm: Norm,
    norm_first: bool,
    drop: Option<Drop>,
    /// With the norm first the normalised input, otherwise the sum before the norm.
    kept: Vec<f32>,
}

/// How all residuals of a block are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidualConfig {
    pub(crate) norm_first: bool,
    /// Share of the branch's values that are dropped.
    pub(crate) dropout: f32,
    pub(crate) epsilon: f32,
    /// Steps and features.
    pub(crate) shape: [usize; 2],
}

impl Residual {
    /// Takes the next two places, gamma's and beta's; `which` tells dropouts of one layer apart.
    pub(crate) fn take(
        places: &mut std::slice::Iter<'_, Range<usize>>,
        config: ResidualConfig,
        place: &Place<'_>,
        which: u64,
    ) -> Self {
        let [steps, features] = config.shape;
        Self {
            norm: Norm::take(places, config.epsilon, place.rows_max * steps),
            norm_first: config.norm_first,
            drop: Drop::new(config.dropout, steps * features, place, which),
            kept: vec![0.0; place.rows_max * steps * features],
        }
    }

    /// What the branch takes.
    pub(crate) fn inlet<'a>(&'a mut self, pass: &Pass<'_>, input: &'a [f32]) -> &'a [f32] {
        if self.norm_first {
            self.norm.run(pass, input, &mut self.kept[..input.len()]);
        }
        self.taken(input)
    }

    /// What the branch took, for the way back.
    pub(crate) fn taken<'a>(&'a self, input: &'a [f32]) -> &'a [f32] {
        if self.norm_first { &self.kept[..input.len()] } else { input }
    }

    /// Joins the way past and what the branch gave, which is overwritten.
    pub(crate) fn join(&mut self, pass: &Pass<'_>, input: &[f32], branch: &mut [f32], output: &mut [f32]) {
        if let Some(drop) = &self.drop {
            drop.apply(pass, (0, 0), branch);
        }
        if self.norm_first {
            return rows::sum(output, input, branch);
        }
        let kept = &mut self.kept[..input.len()];
        rows::sum(kept, input, branch);
        self.norm.run(pass, kept, output);
    }

    /// Turns the derivative by the output into that by the way past, in place, and writes the one by what the
    /// branch gave.
    pub(crate) fn back_join(
        &mut self,
        pass: &Pass<'_>,
        delta: &mut [f32],
        branch: &mut [f32],
        gradients: &mut [f32],
    ) {
        if !self.norm_first {
            self.norm.back(pass, &self.kept[..delta.len()], delta, gradients);
        }
        branch.copy_from_slice(delta);
        if let Some(drop) = &self.drop {
            drop.apply(pass, (0, 0), branch);
        }
    }

    /// Adds to the derivative by the way past what comes back from the branch's inlet, [input, derivative]; the
    /// latter is overwritten.
    pub(crate) fn back_inlet(
        &mut self,
        pass: &Pass<'_>,
        (input, d_inlet): (&[f32], &mut [f32]),
        delta: &mut [f32],
        gradients: &mut [f32],
    ) {
        if self.norm_first {
            self.norm.back(pass, input, d_inlet, gradients);
        }
        rows::add(delta, d_inlet);
    }
}
