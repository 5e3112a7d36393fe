//! One step of a recurrent layer for all rows: what each kind of cell computes, vector by vector, and the loops
//! around it.

use pulp::{Simd, WithSimd};

/// What happens within one step, for as many units of one row as a vector holds.
pub(crate) trait Cell: Copy + Send + 'static {
    /// Gates: arrays of units in the kernel.
    const GATES: usize;
    /// Sums kept for each unit: as many as gates, or one more where the candidate's share of the state stands
    /// apart.
    const SUMS: usize;
    /// Whether the cell has a carry beside its state.
    const CARRY: bool;

    /// From the sums to the new state.
    fn forward<S: Simd>(self, simd: S, sums: [S::f32s; 4], before: Before<S::f32s>) -> After<S::f32s>;

    /// From the derivative by the new state to those by the sums and, where it flows around them, by the old
    /// state.
    fn backward<S: Simd>(self, simd: S, step: StepBack<S::f32s>) -> Back<S::f32s>;
}

/// State and carry before a step.
#[derive(Clone, Copy)]
pub(crate) struct Before<V> {
    pub(crate) state: V,
    pub(crate) carry: V,
}

/// What comes out of a step.
pub(crate) struct After<V> {
    /// In place of the sums: what the way back needs.
    pub(crate) kept: [V; 4],
    pub(crate) state: V,
    pub(crate) carry: V,
    /// The carry's hyperbolic tangent.
    pub(crate) carry_tanh: V,
}

/// What the way back through a step starts from.
pub(crate) struct StepBack<V> {
    pub(crate) kept: [V; 4],
    pub(crate) before: Before<V>,
    pub(crate) carry_tanh: V,
    /// The derivative by the new state.
    pub(crate) d_state: V,
    /// The derivative by the new carry, from later steps.
    pub(crate) d_carry: V,
}

/// The derivatives by what went into a step.
pub(crate) struct Back<V> {
    pub(crate) d_sums: [V; 4],
    /// By the old state: the part that does not go through the sums.
    pub(crate) d_state: V,
    pub(crate) d_carry: V,
}

/// The mask's values of one time, one for each row.
#[derive(Clone, Copy)]
pub(super) struct StepMask<'a> {
    pub(super) values: Option<&'a [f32]>,
    pub(super) steps: usize,
}

impl StepMask<'_> {
    /// Whether this row is padding.
    #[inline(always)]
    fn hides(&self, row: usize) -> bool {
        self.values.is_some_and(|values| values[row * self.steps] == 0.0)
    }
}

/// One vector of a row, 0 where the cell has no such values.
#[inline(always)]
fn at<S: Simd>(simd: S, values: &[S::f32s], place: usize) -> S::f32s {
    values.get(place).copied().unwrap_or(simd.splat_f32s(0.0))
}

/// The sums of one vector of units.
#[inline(always)]
fn sums_at<S: Simd, C: Cell>(simd: S, sums: &[S::f32s], vectors: usize, unit: usize) -> [S::f32s; 4] {
    let mut all = [simd.splat_f32s(0.0); 4];
    for (sum, value) in all.iter_mut().enumerate().take(C::SUMS) {
        *value = sums[sum * vectors + unit];
    }
    all
}

/// One step forward of all rows.
pub(super) struct Forward<'a, C> {
    pub(super) cell: C,
    pub(super) width: usize,
    pub(super) mask: StepMask<'a>,
    pub(super) sums: &'a mut [f32],
    pub(super) state_before: &'a [f32],
    pub(super) state: &'a mut [f32],
    pub(super) carry_before: &'a [f32],
    pub(super) carry: &'a mut [f32],
    pub(super) carry_tanh: &'a mut [f32],
}

impl<C: Cell> WithSimd for Forward<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = self.width / S::F32_LANES;
        let (sums, state) = (S::as_mut_simd_f32s(self.sums).0, S::as_mut_simd_f32s(self.state).0);
        let (carry, tanh) = (S::as_mut_simd_f32s(self.carry).0, S::as_mut_simd_f32s(self.carry_tanh).0);
        let (state_before, carry_before) =
            (S::as_simd_f32s(self.state_before).0, S::as_simd_f32s(self.carry_before).0);
        for (row, sums) in sums.chunks_exact_mut(C::SUMS * vectors).enumerate() {
            let hidden = self.mask.hides(row);
            for unit in 0..vectors {
                let place = row * vectors + unit;
                let before = Before { state: state_before[place], carry: at(simd, carry_before, place) };
                if hidden {
                    state[place] = before.state;
                    if C::CARRY {
                        carry[place] = before.carry;
                    }
                    continue;
                }
                let after = self.cell.forward(simd, sums_at::<S, C>(simd, sums, vectors, unit), before);
                for (sum, kept) in after.kept.into_iter().enumerate().take(C::SUMS) {
                    sums[sum * vectors + unit] = kept;
                }
                state[place] = after.state;
                if C::CARRY {
                    carry[place] = after.carry;
                    tanh[place] = after.carry_tanh;
                }
            }
        }
    }
}

/// One step back of all rows.
pub(super) struct Backward<'a, C> {
    pub(super) cell: C,
    pub(super) width: usize,
    pub(super) mask: StepMask<'a>,
    pub(super) sums: &'a mut [f32],
    pub(super) state_before: &'a [f32],
    pub(super) carry_before: &'a [f32],
    pub(super) carry_tanh: &'a [f32],
    pub(super) d_state: &'a mut [f32],
    pub(super) d_carry: &'a mut [f32],
}

impl<C: Cell> WithSimd for Backward<'_, C> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = self.width / S::F32_LANES;
        let (sums, d_state) = (S::as_mut_simd_f32s(self.sums).0, S::as_mut_simd_f32s(self.d_state).0);
        let d_carry = S::as_mut_simd_f32s(self.d_carry).0;
        let (state_before, carry_before) =
            (S::as_simd_f32s(self.state_before).0, S::as_simd_f32s(self.carry_before).0);
        let carry_tanh = S::as_simd_f32s(self.carry_tanh).0;
        for (row, sums) in sums.chunks_exact_mut(C::SUMS * vectors).enumerate() {
            if self.mask.hides(row) {
                // State and carry were handed on: so are their derivatives, as they are.
                sums.fill(simd.splat_f32s(0.0));
                continue;
            }
            for unit in 0..vectors {
                let place = row * vectors + unit;
                let back = self.cell.backward(
                    simd,
                    StepBack {
                        kept: sums_at::<S, C>(simd, sums, vectors, unit),
                        before: Before { state: state_before[place], carry: at(simd, carry_before, place) },
                        carry_tanh: at(simd, carry_tanh, place),
                        d_state: d_state[place],
                        d_carry: at(simd, d_carry, place),
                    },
                );
                for (sum, d_sum) in back.d_sums.into_iter().enumerate().take(C::SUMS) {
                    sums[sum * vectors + unit] = d_sum;
                }
                d_state[place] = back.d_state;
                if C::CARRY {
                    d_carry[place] = back.d_carry;
                }
            }
        }
    }
}
