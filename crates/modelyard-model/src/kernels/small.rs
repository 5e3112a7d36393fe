//! Products of small matrices that lie anywhere, by tiles that stay in registers: neither side is packed, which
//! would cost as much as the product itself.

use pulp::{Arch, Simd, WithSimd};

use super::product::{Matrix, MatrixMut, Parallelism, Write, multiply_into};

/// Columns and strides come in multiples of this: the width of the widest vectors.
pub(crate) const COLUMNS_MULTIPLE: usize = 16;
/// A right side of more values than this (256 KiB) does not stay in cache while tiles go by.
const RIGHT_VALUES_MAX: usize = 1 << 16;

/// `out = a · b` on one thread, by tiles where these fit.
pub(crate) fn multiply(out: MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>) {
    let multiples = [out.columns, out.stride, b.stride];
    let fits = !b.transposed
        && multiples.iter().all(|n| n.is_multiple_of(COLUMNS_MULTIPLE))
        && b.rows * b.columns <= RIGHT_VALUES_MAX;
    if !fits {
        return multiply_into(out, Write::Replace, a, b, Parallelism::Single);
    }
    assert_eq!(a.columns, b.rows, "inner dimensions");
    assert_eq!((out.rows, out.columns), (a.rows, b.columns), "result of {}×{}", a.rows, b.columns);
    Arch::new().dispatch(Product { out, a, b });
}

/// Writes a matrix transposed, with rows `stride` values apart; what lies beyond its columns stays.
pub(crate) fn transpose(matrix: Matrix<'_>, to: &mut [f32], stride: usize) {
    for (column, to) in to.chunks_mut(stride).take(matrix.columns).enumerate() {
        let values = matrix.values[column..].iter().step_by(matrix.stride);
        for (to, &value) in to.iter_mut().zip(values.take(matrix.rows)) {
            *to = value;
        }
    }
}

struct Product<'a> {
    out: MatrixMut<'a>,
    a: Matrix<'a>,
    b: Matrix<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { out, a, b } = self;
        let tiles = Tiles::<S> {
            simd,
            a,
            b: S::as_simd_f32s(b.values).0,
            b_stride: b.stride / S::F32_LANES,
            inner: b.rows,
            out_stride: out.stride / S::F32_LANES,
        };
        let columns = out.columns / S::F32_LANES;
        let rows = out.rows;
        let out = S::as_mut_simd_f32s(out.values).0;
        if tiles.a.transposed {
            tiles.run::<true>(out, rows, columns);
        } else {
            tiles.run::<false>(out, rows, columns);
        }
    }
}

/// Both sides, the right one as vectors along its columns.
struct Tiles<'a, S: Simd> {
    simd: S,
    a: Matrix<'a>,
    b: &'a [S::f32s],
    b_stride: usize,
    inner: usize,
    out_stride: usize,
}

// As in `tiles`: the compiler keeps the sums in registers only where loops over them are plain.
#[expect(clippy::needless_range_loop, reason = "as said above")]
impl<S: Simd> Tiles<'_, S> {
    /// Walks over all tiles; `TURNED` where the left side is transposed.
    #[inline(always)]
    fn run<const TURNED: bool>(&self, out: &mut [S::f32s], rows: usize, columns: usize) {
        let many = S::REGISTER_COUNT >= 32;
        let mut column = 0;
        while column < columns {
            column += match columns - column {
                4.. if many => self.columns::<TURNED, 4>(out, rows, column),
                2.. => self.columns::<TURNED, 2>(out, rows, column),
                _ => self.columns::<TURNED, 1>(out, rows, column),
            };
        }
    }

    #[inline(always)]
    fn columns<const TURNED: bool, const V: usize>(
        &self,
        out: &mut [S::f32s],
        rows: usize,
        column: usize,
    ) -> usize {
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                6.. => self.tile::<TURNED, 6, V>(out, row, column),
                4.. => self.tile::<TURNED, 4, V>(out, row, column),
                _ => self.tile::<TURNED, 1, V>(out, row, column),
            };
        }
        V
    }

    /// Computes `R` rows of `V` vectors; gives `R` back.
    #[inline(always)]
    fn tile<const TURNED: bool, const R: usize, const V: usize>(
        &self,
        out: &mut [S::f32s],
        row: usize,
        column: usize,
    ) -> usize {
        let sums =
            if TURNED { self.sums_turned::<R, V>(row, column) } else { self.sums::<R, V>(row, column) };
        for r in 0..R {
            out[(row + r) * self.out_stride + column..][..V].copy_from_slice(&sums[r]);
        }
        R
    }

    #[inline(always)]
    fn sums<const R: usize, const V: usize>(&self, row: usize, column: usize) -> [[S::f32s; V]; R] {
        let simd = self.simd;
        let mut lines = [&self.a.values[..0]; R];
        for r in 0..R {
            lines[r] = &self.a.values[(row + r) * self.a.stride..][..self.inner];
        }
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for (k, right) in (0..self.inner).zip(self.b[column..].chunks(self.b_stride)) {
            let right = &right[..V];
            for r in 0..R {
                let left = simd.splat_f32s(lines[r][k]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(left, right[v], sums[r][v]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn sums_turned<const R: usize, const V: usize>(&self, row: usize, column: usize) -> [[S::f32s; V]; R] {
        let simd = self.simd;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        let lines = self.a.values[row..].chunks(self.a.stride).take(self.inner);
        for (left, right) in lines.zip(self.b[column..].chunks(self.b_stride)) {
            let (left, right) = (&left[..R], &right[..V]);
            for r in 0..R {
                let left = simd.splat_f32s(left[r]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(left, right[v], sums[r][v]);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Compares with the definition, on matrices that lie among other values.
    fn check([rows, inner, columns]: [usize; 3], turned: bool) {
        let mut rng = Rng::new(3);
        let mut random = |len: usize| (0..len).map(|_| rng.normal()).collect::<Vec<f32>>();
        let (a_stride, b_stride, out_stride) =
            (if turned { rows } else { inner } + 3, 2 * columns, columns + 16);
        let a = random(if turned { inner } else { rows } * a_stride);
        let b = random(inner * b_stride);
        let mut out = vec![0.25; rows * out_stride];
        let left = if turned {
            Matrix::strided(&a, inner, rows, a_stride).transposed()
        } else {
            Matrix::strided(&a, rows, inner, a_stride)
        };
        let right = Matrix::strided(&b, inner, columns, b_stride);
        multiply(MatrixMut::strided(&mut out, rows, columns, out_stride), left, right);
        for (at, &got) in out.iter().enumerate() {
            let (row, column) = (at / out_stride, at % out_stride);
            let product = |k: usize| {
                let a = a[if turned { k * a_stride + row } else { row * a_stride + k }];
                f64::from(a) * f64::from(b[k * b_stride + column])
            };
            let wanted = if column < columns { (0..inner).map(product).sum() } else { 0.25 };
            assert!((f64::from(got) - wanted).abs() < 1e-4, "{rows}×{inner}×{columns} at {at}");
        }
    }

    #[test]
    fn answers_as_the_definition_says() {
        for sizes in [[64, 32, 64], [17, 5, 32], [3, 1, 16], [10, 9, 112], [4, 7, 5], [1, 3, 48]] {
            check(sizes, false);
            check(sizes, true);
        }
    }

    #[test]
    fn transposing_leaves_what_lies_beyond() {
        let mut to = [9.0; 8];
        let values = [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 5.0, 6.0];
        transpose(Matrix::strided(&values, 3, 2, 3), &mut to, 4);
        assert_eq!(to, [1.0, 3.0, 5.0, 9.0, 2.0, 4.0, 6.0, 9.0]);
    }
}
