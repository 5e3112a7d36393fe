//! Raw columns to the network's numbers, a few hundred rows at a time: every row is computed alone, so one
//! row in serving gives the very numbers it gave in training.

use super::input::Scratch;
use super::{FittedInput, Pipeline, column_of};
use crate::dataset::{ColumnData, Dataset};
use crate::error::{DataError, Problem};

/// Rows a block: enough to amortise the calls, few enough to stay in cache.
const BLOCK_ROWS: usize = 128;

impl Pipeline {
    /// Appends the network's numbers for these rows, row by row, each of [`Pipeline::input_shape`].
    ///
    /// # Errors
    /// [`DataError::Row`] where a value is missing that no transform fills in, or is too large for float32;
    /// [`DataError::Spec`] where the data set lacks a column. `out` is then as it was.
    pub fn apply(&self, data: &Dataset, rows: &[usize], out: &mut Vec<f32>) -> Result<(), DataError> {
        let stride: usize = self.input_shape.iter().product();
        let start = out.len();
        out.resize(start + rows.len() * stride, 0.0);
        let done = self.apply_into(data, rows, &mut out[start..], stride);
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    fn apply_into(
        &self,
        data: &Dataset,
        rows: &[usize],
        out: &mut [f32],
        stride: usize,
    ) -> Result<(), DataError> {
        let mut scratch = Scratch::default();
        for (place, input) in self.inputs.iter().enumerate() {
            let column = column_of(data, place, &input.name)?;
            let (width, offset) = (input.width(), self.layout.offsets[place]);
            let coding = input.coding(column)?;
            for (block_rows, block_out) in
                rows.chunks(BLOCK_ROWS).zip(out.chunks_mut(BLOCK_ROWS * stride.max(1)))
            {
                scratch.gather(input, column, &coding, block_rows);
                input.run(&mut scratch.block);
                let mut sound = true;
                for (row_out, values) in
                    block_out.chunks_exact_mut(stride).zip(scratch.block.floats.chunks_exact(width))
                {
                    for (slot, &value) in row_out[offset..offset + width].iter_mut().zip(values) {
                        *slot = value as f32;
                        sound &= slot.is_finite();
                    }
                }
                if !sound {
                    return Err(unsound(input, column, block_rows, &scratch.block.floats));
                }
            }
        }
        Ok(())
    }
}

/// Finds the value that is no finite float32, and says which row it is in.
fn unsound(input: &FittedInput, column: &ColumnData, rows: &[usize], floats: &[f64]) -> DataError {
    let at = floats.iter().position(|value| !(*value as f32).is_finite()).unwrap_or(0);
    let (row, component) = (rows[at / input.width()], at % input.width());
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
