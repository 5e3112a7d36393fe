//! Rows times a matrix that is used again and again, as at every step of a sequence: the matrix is cut into
//! panels once, and each panel stays in a core's first-level cache while all rows pass.

use pulp::{Arch, Simd, WithSimd};

/// Columns of one block: the width of the widest vectors.
pub(crate) const BLOCK: usize = 16;
/// The most blocks that one panel takes from the matrix.
const BLOCKS_MAX: usize = 4;
/// Rows that share one reading of a panel where there are registers for their sums.
const TILE_ROWS: usize = 6;

/// The next multiple of a block: rows of values are padded to it with zeros.
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(BLOCK)
}

/// Which blocks of columns stand together in one panel.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Blocks of a panel, 1 to 4.
    blocks: usize,
    /// From a panel's block to its next one, in columns.
    block_stride: usize,
    /// From a panel's first column to the next panel's.
    panel_stride: usize,
    panels: usize,
}

/// Where the blocks of a matrix lie in memory, in values.
#[derive(Clone, Copy, Debug)]
struct Strides {
    row: usize,
    block: usize,
    panel: usize,
}

/// How a matrix of `rows` × `columns` is cut, and the place for its panels: [panel, row, block, 16].
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    cut: Cut,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

/// A matrix ready to be multiplied with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts<'a> {
    cut: Cut,
    strides: Strides,
    rows: usize,
    values: &'a [f32],
    backwards: bool,
}

/// Rows of values that lie `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl Panels {
    /// For a matrix of `rows` rows whose columns are `gates` (at most 4) times `units`: each panel holds the
    /// same units of all gates. `units` is a multiple of [`BLOCK`].
    pub(crate) fn new(rows: usize, gates: usize, units: usize) -> Self {
        assert!(gates <= BLOCKS_MAX && units.is_multiple_of(BLOCK), "gates of whole blocks");
        let blocks = units / BLOCK;
        let cut = match gates {
            // Nothing must stand together: as many blocks as one panel can have.
            1 => {
                let blocks = [4, 3, 2, 1].into_iter().find(|&n| blocks.is_multiple_of(n)).unwrap_or(1);
                let panel_stride = blocks * BLOCK;
                Cut { blocks, block_stride: BLOCK, panel_stride, panels: units / panel_stride }
            }
            _ => Cut { blocks: gates, block_stride: units, panel_stride: BLOCK, panels: blocks },
        };
        Self { cut, rows, columns: gates * units, values: Vec::new() }
    }

    /// Copies the matrix: `source(row, column)` gives the [`BLOCK`] values of a row from that column on, fewer
    /// where the matrix ends, for columns that are multiples of a block.
    pub(crate) fn pack<'a>(&mut self, source: impl Fn(usize, usize) -> &'a [f32]) -> Cuts<'_> {
        let Cut { blocks, block_stride, panel_stride, panels } = self.cut;
        self.values.resize(self.rows * self.columns, 0.0);
        let mut to = self.values.chunks_exact_mut(BLOCK);
        for panel in 0..panels {
            for row in 0..self.rows {
                for (block, to) in (0..blocks).zip(&mut to) {
                    let from = source(row, panel * panel_stride + block * block_stride);
                    to[..from.len()].copy_from_slice(from);
                }
            }
        }
        let row = blocks * BLOCK;
        let strides = Strides { row, block: BLOCK, panel: self.rows * row };
        Cuts { cut: self.cut, strides, rows: self.rows, values: &self.values, backwards: false }
    }

    /// The matrix as it lies, row by row: for so few rows that copying it would cost more than it gains.
    pub(crate) fn as_it_lies<'a>(&self, values: &'a [f32]) -> Cuts<'a> {
        assert_eq!(values.len(), self.rows * self.columns, "a whole matrix");
        let Cut { block_stride, panel_stride, .. } = self.cut;
        let strides = Strides { row: self.columns, block: block_stride, panel: panel_stride };
        Cuts { cut: self.cut, strides, rows: self.rows, values, backwards: false }
    }
}

impl Cuts<'_> {
    /// Lets a single row take the matrix from its last row to its first. A matrix somewhat larger than the
    /// first-level cache is read from there for the most part, if every other call takes it backwards.
    pub(crate) fn backwards(self, backwards: bool) -> Self {
        Self { backwards, ..self }
    }

    /// `out += input · matrix`, row by row. `out` has as many rows as fit, `out_stride` apart.
    pub(crate) fn add_product(self, out: &mut [f32], out_stride: usize, input: Rows<'_>) {
        if self.rows > 0 && !out.is_empty() {
            Arch::new().dispatch(AddProduct { cuts: self, out, out_stride, input });
        }
    }
}

struct AddProduct<'a> {
    cuts: Cuts<'a>,
    out: &'a mut [f32],
    out_stride: usize,
    input: Rows<'a>,
}

impl WithSimd for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.cuts.cut.blocks {
            1 => self.panels::<S, 1>(simd),
            2 => self.panels::<S, 2>(simd),
            3 => self.panels::<S, 3>(simd),
            _ => self.panels::<S, 4>(simd),
        }
    }
}

impl AddProduct<'_> {
    #[inline(always)]
    fn panels<S: Simd, const B: usize>(self, simd: S) {
        // One row alone has too few sums to keep a core busy, so it takes several panels at once.
        let alone = self.out.len() <= self.out_stride;
        match self.cuts.cut.panels {
            n if alone && n.is_multiple_of(4) && S::REGISTER_COUNT >= 32 => self.walk::<S, B, 4>(simd),
            n if alone && n.is_multiple_of(2) => self.walk::<S, B, 2>(simd),
            _ => self.walk::<S, B, 1>(simd),
        }
    }

    /// `P` panels at once.
    #[inline(always)]
    fn walk<S: Simd, const B: usize, const P: usize>(self, simd: S) {
        let Self { cuts, out, out_stride, input } = self;
        let (matrix, _) = S::as_simd_f32s(cuts.values);
        let (out, _) = S::as_mut_simd_f32s(out);
        let lanes = S::F32_LANES;
        for panel in (0..cuts.cut.panels).step_by(P) {
            for part in 0..BLOCK / lanes {
                let tile = Tile {
                    simd,
                    matrix: &matrix[panel * cuts.strides.panel / lanes + part..],
                    row_stride: cuts.strides.row / lanes,
                    block_stride: cuts.strides.block / lanes,
                    panel_stride: cuts.strides.panel / lanes,
                    inner: cuts.rows,
                    backwards: cuts.backwards,
                    out_stride: out_stride / lanes,
                    out_block_stride: cuts.cut.block_stride / lanes,
                    out_panel_stride: cuts.cut.panel_stride / lanes,
                };
                tile.all_rows::<B, P>(&mut out[panel * cuts.cut.panel_stride / lanes + part..], input);
            }
        }
    }
}

/// One vector of each block of some panels.
#[derive(Clone, Copy)]
struct Tile<'a, S: Simd> {
    simd: S,
    matrix: &'a [S::f32s],
    row_stride: usize,
    block_stride: usize,
    panel_stride: usize,
    inner: usize,
    backwards: bool,
    out_stride: usize,
    out_block_stride: usize,
    out_panel_stride: usize,
}

impl<S: Simd> Tile<'_, S> {
    /// By as many rows at once as there are registers for their sums.
    #[inline(always)]
    fn all_rows<const B: usize, const P: usize>(self, out: &mut [S::f32s], input: Rows<'_>) {
        if P > 1 {
            self.rows::<1, B, P>(out, input);
            return;
        }
        let rows = out.len().div_ceil(self.out_stride);
        let mut row = 0;
        while row < rows {
            let out = &mut out[row * self.out_stride..];
            let input = Rows { values: &input.values[row * input.stride..], ..input };
            row += match rows - row {
                TILE_ROWS.. if S::REGISTER_COUNT >= 32 => self.rows::<TILE_ROWS, B, P>(out, input),
                4.. if S::REGISTER_COUNT >= 32 => self.rows::<4, B, P>(out, input),
                2.. => self.rows::<2, B, P>(out, input),
                _ => self.rows::<1, B, P>(out, input),
            };
        }
    }

    /// `R` rows of `P` panels; gives `R` back.
    // Loops over sums count, so that the compiler unrolls them early and keeps the sums in registers.
    #[inline(always)]
    fn rows<const R: usize, const B: usize, const P: usize>(
        self,
        out: &mut [S::f32s],
        input: Rows<'_>,
    ) -> usize {
        let place = |r: usize, b: usize, p: usize| {
            r * self.out_stride + b * self.out_block_stride + p * self.out_panel_stride
        };
        let mut inputs = [&input.values[..0]; R];
        let mut sums = [[[self.simd.splat_f32s(0.0); P]; B]; R];
        for r in 0..R {
            inputs[r] = &input.values[r * input.stride..][..self.inner];
            for b in 0..B {
                for p in 0..P {
                    sums[r][b][p] = out[place(r, b, p)];
                }
            }
        }
        for at in 0..self.inner {
            let k = if R == 1 && self.backwards { self.inner - 1 - at } else { at };
            let row = &self.matrix[k * self.row_stride..];
            let mut weights = [[self.simd.splat_f32s(0.0); P]; B];
            for b in 0..B {
                for p in 0..P {
                    weights[b][p] = row[b * self.block_stride + p * self.panel_stride];
                }
            }
            for r in 0..R {
                let value = self.simd.splat_f32s(inputs[r][k]);
                for b in 0..B {
                    for p in 0..P {
                        sums[r][b][p] = self.simd.mul_add_e_f32s(value, weights[b][p], sums[r][b][p]);
                    }
                }
            }
        }
        for r in 0..R {
            for b in 0..B {
                for p in 0..P {
                    out[place(r, b, p)] = sums[r][b][p];
                }
            }
        }
        R
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn check(rows: usize, inner: usize, gates: usize, units: usize) {
        let mut rng = Rng::new(7);
        let mut random = |len: usize| (0..len).map(|_| rng.normal()).collect::<Vec<f32>>();
        let columns = gates * units;
        let (input, matrix) = (random(rows * (inner + 3)), random(inner * columns));
        let start = random(rows * columns);
        let mut panels = Panels::new(inner, gates, units);
        let input_rows = Rows { values: &input, stride: inner + 3 };
        let (mut packed, mut direct) = (start.clone(), start.clone());
        let cuts = panels.pack(|row, column| &matrix[row * columns + column..][..BLOCK]);
        cuts.add_product(&mut packed, columns, input_rows);
        panels.as_it_lies(&matrix).add_product(&mut direct, columns, input_rows);
        assert_eq!(packed, direct, "{rows}×{inner}×{gates}×{units}");
        let mut backwards = start.clone();
        panels.as_it_lies(&matrix).backwards(true).add_product(&mut backwards, columns, input_rows);
        for (a, b) in backwards.iter().zip(&direct) {
            assert!((a - b).abs() < 1e-4, "{rows}×{inner}×{gates}×{units}: {a}, not {b}");
        }
        for (at, &got) in packed.iter().enumerate() {
            let row = &input[at / columns * (inner + 3)..][..inner];
            let products = row.iter().zip(matrix[at % columns..].iter().step_by(columns));
            let sum: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let wanted = f64::from(start[at]) + sum;
            assert!((f64::from(got) - wanted).abs() < 1e-4, "{rows}×{inner}×{gates}×{units} at {at}");
        }
    }

    #[test]
    fn answers_as_the_definition_says() {
        for rows in [1, 2, 3, 5, 6, 11, 13] {
            for (gates, units) in
                [(1, 16), (1, 48), (1, 64), (1, 80), (3, 32), (4, 16), (4, 48), (4, 64), (3, 96)]
            {
                check(rows, 1, gates, units);
                check(rows, 21, gates, units);
            }
        }
    }
}
