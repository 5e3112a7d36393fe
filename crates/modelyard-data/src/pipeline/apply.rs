//! Raw columns to the network's numbers, a few hundred rows at a time: every row is computed alone, so one
//! row in serving gives the very numbers it gave in training.

use super::input::Scratch;
use super::{FittedInput, Pipeline, column_of};
use crate::dataset::{ColumnData, Dataset};
use crate::error::{DataError, Problem};

/// Rows a block: enough to amortise the calls, few enough to stay in cache.
const BLOCK_ROWS: usize = 128;

impl Pipeline {
    /// Appends the network's numbers for these rows, row by row, each of [`Pipeline::input_shape`]. Where the data
    /// set has windows, a row stands for the window that ends at it.
    ///
    /// # Errors
    /// [`DataError::Row`] where a value is missing that no transform fills in, or is too large for float32;
    /// [`DataError::Spec`] where the data set lacks a column. `out` is then as it was.
    pub fn apply(&self, data: &Dataset, rows: &[usize], out: &mut Vec<f32>) -> Result<(), DataError> {
        let start = out.len();
        out.resize(start + rows.len() * self.input_shape.iter().product::<usize>(), 0.0);
        let done = match (&self.spec.windows, data.windows()) {
            (None, _) => self.apply_into(data, &[rows], &mut out[start..]),
            (Some(declared), Some(windows)) => {
                let steps = |shift| -> Vec<usize> {
                    rows.iter().flat_map(|&end| windows.rows_of(end, shift)).collect()
                };
                let ahead = if self.knows_future() { declared.horizon } else { 0 };
                let (now, later) = (steps(0), if ahead > 0 { steps(ahead) } else { Vec::new() });
                let seen: &[&[usize]] = if ahead > 0 { &[&now, &later] } else { &[&now] };
                self.apply_into(data, seen, &mut out[start..])
            }
            (Some(_), None) => Err(DataError::spec("data.windows", "the data set was read without windows")),
        };
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Whether an input is known ahead of time.
    pub(super) fn knows_future(&self) -> bool {
        self.spec.inputs.iter().any(|input| input.known_future)
    }

    /// Fills `out` for the rows of `seen[0]`; inputs that are known ahead are given for those of `seen[1]` too.
    fn apply_into(&self, data: &Dataset, seen: &[&[usize]], out: &mut [f32]) -> Result<(), DataError> {
        let stride = out.len() / seen[0].len().max(1);
        let mut scratch = Scratch::default();
        for (place, (input, declared)) in self.inputs.iter().zip(&self.spec.inputs).enumerate() {
            let column = column_of(data, place, &input.name)?;
            let target = Target { data, input, column, stride };
            let offset = self.layout.offsets[place];
            for (again, rows) in seen[..if declared.known_future { seen.len() } else { 1 }].iter().enumerate()
            {
                target.fill(rows, offset + again * input.width(), &mut scratch, out)?;
            }
        }
        Ok(())
    }
}

/// One input on its way into the network's rows.
struct Target<'a> {
    data: &'a Dataset,
    input: &'a FittedInput,
    column: &'a ColumnData,
    /// Numbers a row, all inputs together.
    stride: usize,
}

impl Target<'_> {
    /// Fills the input's place in the rows of `out`.
    fn fill(
        &self,
        rows: &[usize],
        offset: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let (width, stride) = (self.input.width(), self.stride);
        let coding = self.input.coding(self.column)?;
        for (rows, out) in rows.chunks(BLOCK_ROWS).zip(out.chunks_mut(BLOCK_ROWS * stride.max(1))) {
            scratch.gather(self.input, self.column, &coding, rows);
            self.input.run(&mut scratch.block);
            let mut sound = true;
            for (row_out, values) in
                out.chunks_exact_mut(stride).zip(scratch.block.floats.chunks_exact(width))
            {
                for (slot, &value) in row_out[offset..offset + width].iter_mut().zip(values) {
                    *slot = value as f32;
                    sound &= slot.is_finite();
                }
            }
            if !sound {
                return Err(unsound(self, rows, &scratch.block.floats));
            }
        }
        Ok(())
    }
}

/// Finds the value that is no finite float32, and says which row it is in: as the files or the request count.
fn unsound(target: &Target<'_>, rows: &[usize], floats: &[f64]) -> DataError {
    let Target { data, input, column, .. } = target;
    let at = floats.iter().position(|value| !(*value as f32).is_finite()).unwrap_or(0);
    let (row, component) = (rows[at / input.width()], at % input.width());
    let row = data.windows().and_then(|windows| windows.origin(row)).unwrap_or(row);
    let part = match column {
        ColumnData::Vectors(_) => format!(" at place {component} of the vector"),
        _ => String::new(),
    };
    let problem = if floats[at].is_nan() {
        Problem::new(format!("the value{part} is missing, and no transform fills it in"))
            .hint("declare transforms that begin with impute, or give the value")
    } else {
        Problem::new(format!("the value{part} is too large for a network of float32"))
            .hint("put clip or log1p before the scaling")
    };
    problem.in_row(row, &input.name)
}
