//! Raw columns to the network's numbers, a few hundred rows at a time: every row is computed alone, so one
//! row in serving gives the very numbers it gave in training.

use std::borrow::Cow;

use super::input::Scratch;
use super::parts::Cells;
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
        let done = self.seen(data, rows).and_then(|seen| self.apply_into(data, &seen, &mut out[start..]));
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Whether an input is known ahead of time.
    pub(super) fn knows_future(&self) -> bool {
        self.spec.inputs.iter().any(|input| input.known_future)
    }

    /// The rows that these samples look at.
    fn seen<'a>(&self, data: &'a Dataset, rows: &'a [usize]) -> Result<Seen<'a>, DataError> {
        let Some(declared) = &self.spec.windows else {
            return Ok(Seen { samples: Cow::Borrowed(rows), now: Vec::new(), later: None });
        };
        let windows = data
            .windows()
            .ok_or_else(|| DataError::spec("data.windows", "the data set was read without windows"))?;
        let steps = |shift| rows.iter().flat_map(|&end| windows.rows_of(end, shift)).collect();
        Ok(Seen {
            samples: rows.iter().map(|&end| windows.whole_row(end)).collect(),
            now: steps(0),
            later: self.knows_future().then(|| steps(declared.horizon)),
        })
    }

    /// Fills `out` input by input.
    fn apply_into(&self, data: &Dataset, seen: &Seen<'_>, out: &mut [f32]) -> Result<(), DataError> {
        let mut scratch = Scratch::default();
        let width = out.len() / seen.samples.len().max(1);
        for (place, (input, declared)) in self.inputs.iter().zip(&self.spec.inputs).enumerate() {
            let column = column_of(data, place, &input.name)?;
            input.check_members(column)?;
            let column = &column.data;
            let cells = self.layout.cells[place];
            let is_of_steps = self.spec.steps_of(declared).is_some();
            let target = Target { data, input, column, is_of_steps, width };
            let rows = if is_of_steps { &seen.now } else { &*seen.samples };
            target.fill(rows, cells, &mut scratch, out)?;
            if let (true, Some(later)) = (declared.known_future, &seen.later) {
                let cells = Cells { first: cells.first + input.width(), ..cells };
                target.fill(later, cells, &mut scratch, out)?;
            }
        }
        Ok(())
    }
}

/// The rows that samples look at.
struct Seen<'a> {
    /// One for each sample: the row itself, or the one that holds what is given once a window.
    samples: Cow<'a, [usize]>,
    /// Those of every window, one behind the other.
    now: Vec<usize>,
    /// The same `horizon` rows later, where an input is known ahead of time.
    later: Option<Vec<usize>>,
}

/// One input on its way into the network's rows.
struct Target<'a> {
    data: &'a Dataset,
    input: &'a FittedInput,
    column: &'a ColumnData,
    is_of_steps: bool,
    /// Numbers of a sample, all inputs together.
    width: usize,
}

impl Target<'_> {
    /// Fills the input's cells in `out`, where `rows` holds a row for each of them.
    fn fill(
        &self,
        rows: &[usize],
        cells: Cells,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let width = self.input.width();
        let coding = self.input.coding(self.column)?;
        // Where the next cell begins, and which step of its sample it is.
        let (mut at, mut step) = (cells.first, 0);
        for rows in rows.chunks(BLOCK_ROWS) {
            scratch.gather(self.input, self.column, &coding, rows);
            self.input.run(&mut scratch.block);
            let mut sound = true;
            for values in scratch.block.floats.chunks_exact(width) {
                for (slot, &value) in out[at..at + width].iter_mut().zip(values) {
                    *slot = value as f32;
                    sound &= slot.is_finite();
                }
                step += 1;
                at += cells.stride;
                if step == cells.steps {
                    at += self.width - cells.steps * cells.stride;
                    step = 0;
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
    let row = match data.windows() {
        Some(windows) if target.is_of_steps => windows.origin(row).unwrap_or(row),
        Some(windows) => windows.origin_of_whole(row),
        None => row,
    };
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
