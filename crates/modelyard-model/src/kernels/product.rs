//! Matrix products: the one door to the `gemm` crate.

/// How many threads one product may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parallelism {
    /// The caller's only.
    Single,
    /// This many of the rayon pool that the caller runs in.
    Threads(usize),
}

/// What happens to the values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Replace,
    Add,
}

/// A matrix over a slice, row by row or transposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Values from one stored row to the next.
    pub(super) stride: usize,
    pub(super) transposed: bool,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows lie one after the other.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows}×{columns}");
        Self { values, rows, columns, stride: columns, transposed: false }
    }

    /// A matrix whose rows start `stride` values apart.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check_reach(values.len(), rows, columns, stride);
        Self { values, rows, columns, stride, transposed: false }
    }

    /// The same rows, of each only the columns from `first` on.
    pub(crate) fn columns(self, first: usize, columns: usize) -> Self {
        assert!(!self.transposed && first + columns <= self.columns, "columns of a matrix");
        let values = if self.values.is_empty() { self.values } else { &self.values[first..] };
        Self { values, columns, ..self }
    }

    /// The same values with rows and columns swapped.
    pub(crate) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Row stride and column stride.
    fn strides(&self) -> (isize, isize) {
        let stride = self.stride.cast_signed();
        if self.transposed { (1, stride) } else { (stride, 1) }
    }
}

/// Where a product is written: rows that start `stride` values apart.
#[derive(Debug)]
pub(crate) struct MatrixMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows start `stride` values apart.
    pub(crate) fn strided(values: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        check_reach(values.len(), rows, columns, stride);
        Self { values, rows, columns, stride }
    }
}

fn check_reach(len: usize, rows: usize, columns: usize, stride: usize) {
    let reach = rows.checked_sub(1).map_or(0, |last| last * stride + columns);
    assert!(
        columns <= stride && reach <= len,
        "a matrix of {rows}×{columns}, {stride} apart, in {len} values"
    );
}

/// `out = a · b` or `out += a · b`, with `out` row by row.
pub(crate) fn multiply(
    out: &mut [f32],
    write: Write,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallelism: Parallelism,
) {
    assert_eq!(out.len(), a.rows * b.columns, "result of {}×{}", a.rows, b.columns);
    multiply_into(MatrixMut::strided(out, a.rows, b.columns, b.columns), write, a, b, parallelism);
}

/// As [`multiply`], with `out` anywhere.
pub(crate) fn multiply_into(
    out: MatrixMut<'_>,
    write: Write,
    a: Matrix<'_>,
    b: Matrix<'_>,
    parallelism: Parallelism,
) {
    assert_eq!(a.columns, b.rows, "inner dimensions");
    assert_eq!((out.rows, out.columns), (a.rows, b.columns), "result of {}×{}", a.rows, b.columns);
    let parallelism = match parallelism {
        Parallelism::Single => gemm::Parallelism::None,
        Parallelism::Threads(threads) => gemm::Parallelism::Rayon(threads),
    };
    let (a_strides, b_strides) = (a.strides(), b.strides());
    // SAFETY: the assertions here and where the matrices were made let every element that these dimensions
    // and strides reach lie inside its slice, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.values.as_mut_ptr(),
            1,
            out.stride.cast_signed(),
            write == Write::Add,
            a.values.as_ptr(),
            a_strides.1,
            a_strides.0,
            b.values.as_ptr(),
            b_strides.1,
            b_strides.0,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
