//! The rows of one request times a matrix that fits a core's cache: the matrix is read as it lies, where a
//! general product would first pack it.

use pulp::{Arch, Simd, WithSimd};

/// Up to this many rows any matrix is read once for each row; packing pays off from more.
const ROWS_MAX: usize = 3;
/// Rows that share one reading of the matrix: with four vectors of columns, their sums fill the registers.
const TILE_ROWS: usize = 6;
/// Up to this many rows, and values of the matrix (512 KiB), rows are taken in tiles.
const TILED_ROWS_MAX: usize = 64;
const TILED_MATRIX_MAX: usize = 131_072;
/// Columns come in multiples of this: the width of the widest vectors.
const COLUMNS_MULTIPLE: usize = 16;

/// `out = input · matrix`, with `columns` columns; false where this is not the way for these sizes, and nothing
/// was done.
pub(crate) fn multiply(out: &mut [f32], input: &[f32], matrix: &[f32], columns: usize) -> bool {
    let rows = out.len() / columns;
    let tiled = rows <= TILED_ROWS_MAX && matrix.len() <= TILED_MATRIX_MAX;
    if !columns.is_multiple_of(COLUMNS_MULTIPLE) || !(tiled || rows <= ROWS_MAX) {
        return false;
    }
    let arch = Arch::new();
    let input_len = input.len() / rows.max(1);
    let in_tiles = if tiled { rows - rows % TILE_ROWS } else { 0 };
    let (tiles_in, rest_in) = input.split_at(in_tiles * input_len);
    let (tiles_out, rest_out) = out.split_at_mut(in_tiles * columns);
    let tiles = tiles_in.chunks_exact(TILE_ROWS * input_len);
    for (input, out) in tiles.zip(tiles_out.chunks_exact_mut(TILE_ROWS * columns)) {
        arch.dispatch(Tile { out, input, matrix });
    }
    for (input, out) in rest_in.chunks_exact(input_len).zip(rest_out.chunks_exact_mut(columns)) {
        arch.dispatch(Row { out, input, matrix });
    }
    true
}

/// Six rows at once.
struct Tile<'a> {
    out: &'a mut [f32],
    input: &'a [f32],
    matrix: &'a [f32],
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (out, rest) = S::as_mut_simd_f32s(self.out);
        assert!(rest.is_empty(), "columns are a multiple of every vector's length");
        let matrix = S::as_simd_f32s(self.matrix).0;
        let row_len = out.len() / TILE_ROWS;
        let whole = row_len - row_len % 4;
        for first in (0..whole).step_by(4) {
            tile::<S, 4>(simd, &mut out[first..], self.input, &matrix[first..], row_len);
        }
        for first in whole..row_len {
            tile::<S, 1>(simd, &mut out[first..], self.input, &matrix[first..], row_len);
        }
    }
}

/// `V` vectors of the result of six rows.
#[inline(always)]
fn tile<S: Simd, const V: usize>(
    simd: S,
    out: &mut [S::f32s],
    input: &[f32],
    matrix: &[S::f32s],
    row_len: usize,
) {
    let input_len = input.len() / TILE_ROWS;
    let mut rows = input.chunks_exact(input_len);
    let inputs: [&[f32]; TILE_ROWS] = std::array::from_fn(|_| rows.next().unwrap_or_default());
    let mut sums = [[simd.splat_f32s(0.0); V]; TILE_ROWS];
    for (k, weights) in matrix.chunks(row_len).take(input_len).enumerate() {
        for row in 0..TILE_ROWS {
            let value = simd.splat_f32s(inputs[row][k]);
            for v in 0..V {
                sums[row][v] = simd.mul_add_e_f32s(value, weights[v], sums[row][v]);
            }
        }
    }
    for row in 0..TILE_ROWS {
        out[row * row_len..row * row_len + V].copy_from_slice(&sums[row]);
    }
}

struct Row<'a> {
    out: &'a mut [f32],
    input: &'a [f32],
    matrix: &'a [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (out, rest) = S::as_mut_simd_f32s(self.out);
        assert!(rest.is_empty(), "columns are a multiple of every vector's length");
        let matrix = S::as_simd_f32s(self.matrix).0;
        let row_len = out.len();
        let whole = row_len - row_len % 4;
        for first in (0..whole).step_by(4) {
            block::<S, 4>(simd, &mut out[first..first + 4], self.input, &matrix[first..], row_len);
        }
        for first in whole..row_len {
            block::<S, 1>(simd, &mut out[first..=first], self.input, &matrix[first..], row_len);
        }
    }
}

/// `V` vectors of the result; four inputs have sums of their own, so that none waits for the one before.
#[inline(always)]
fn block<S: Simd, const V: usize>(
    simd: S,
    out: &mut [S::f32s],
    input: &[f32],
    matrix: &[S::f32s],
    row_len: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; 4];
    let mut rows = matrix.chunks(row_len);
    let fours = input.chunks_exact(4);
    let rest = fours.remainder();
    for values in fours {
        for four in 0..4 {
            let Some(row) = rows.next() else { return };
            let value = simd.splat_f32s(values[four]);
            for v in 0..V {
                sums[four][v] = simd.mul_add_e_f32s(value, row[v], sums[four][v]);
            }
        }
    }
    for (&value, row) in rest.iter().zip(rows) {
        let value = simd.splat_f32s(value);
        for v in 0..V {
            sums[0][v] = simd.mul_add_e_f32s(value, row[v], sums[0][v]);
        }
    }
    for v in 0..V {
        let left = simd.add_f32s(sums[0][v], sums[1][v]);
        let right = simd.add_f32s(sums[2][v], sums[3][v]);
        out[v] = simd.add_f32s(left, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn answers_as_the_definition_says() {
        let mut rng = Rng::new(3);
        for (rows, inputs, columns) in [(1, 7, 16), (2, 64, 80), (3, 33, 64), (32, 65, 80), (6, 1, 16)] {
            let mut random = |len: usize| (0..len).map(|_| rng.normal()).collect::<Vec<f32>>();
            let (input, matrix) = (random(rows * inputs), random(inputs * columns));
            let mut out = vec![f32::NAN; rows * columns];
            assert!(multiply(&mut out, &input, &matrix, columns));
            for (at, &got) in out.iter().enumerate() {
                let row = &input[at / columns * inputs..][..inputs];
                let products = row.iter().zip(matrix[at % columns..].iter().step_by(columns));
                let wanted: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                assert!((f64::from(got) - wanted).abs() < 1e-4, "{rows}×{inputs}×{columns} at {at}");
            }
        }
        assert!(!multiply(&mut [0.0; 10], &[1.0], &[1.0; 10], 10));
        assert!(!multiply(&mut [0.0; 65 * 16], &[1.0; 65], &[1.0; 16], 16));
    }
}
