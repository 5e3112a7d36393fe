//! Windows over the rows of a data set: which rows belong together, in which order, and at which of them a window
//! ends. A sample is named by the row at which its window ends.

mod anomalous;
mod arrange;
mod check;
mod lay;
mod remaining;
mod side;

pub(crate) use check::check;
pub(crate) use lay::{Rows, lay};
pub(crate) use side::Side;

use std::ops::Range;

use crate::dataset::{Column, ColumnData, Dataset};
use crate::datetime;
use crate::error::DataError;
use crate::spec::{OutputKind, PipelineSpec};

/// The windows of a data set whose rows are sorted by unit and time.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Rows of a window.
    length: usize,
    /// Rows behind the window's last that a sample reaches to.
    ahead: usize,
    /// For each row, the first and the last row of the stretch without a gap that it is in.
    stretches: Vec<Range<usize>>,
    /// For each row, its time.
    times: Vec<f64>,
    /// Whether the times are seconds since 1970 UTC.
    are_datetimes: bool,
    /// For each row, the number of its unit.
    units: Vec<u32>,
    /// For each row, its place in the files; none where it was put into a gap.
    origins: Vec<Option<usize>>,
    /// The rows at which a window ends, ascending.
    ends: Vec<usize>,
    /// Of a request: how many rows each of its windows has. What is given once a window has one value for each
    /// window then, not one for each row.
    request_span: Option<usize>,
}

impl Windows {
    /// The windows of a request: one a row, each of `length` steps and `ahead` more.
    pub(crate) fn of_request(rows: usize, length: usize, ahead: usize) -> Self {
        let span = length + ahead;
        let count = rows * span;
        let stretch = |row: usize| row / span * span..(row / span + 1) * span;
        Self {
            length,
            ahead,
            stretches: (0..count).map(stretch).collect(),
            times: (0..count).map(|row| (row % span) as f64).collect(),
            are_datetimes: false,
            units: (0..count).map(|row| (row / span) as u32).collect(),
            origins: (0..count).map(|row| Some(row / span)).collect(),
            ends: (0..rows).map(|row| row * span + length - 1).collect(),
            request_span: Some(span),
        }
    }

    /// How many rows there are, those put into gaps included.
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// How many rows a window has.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many rows behind its window a sample reaches to.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// The rows at which a window ends, ascending.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// The time of a row, as a number or in seconds since 1970 UTC.
    pub fn time(&self, row: usize) -> f64 {
        self.times[row]
    }

    /// The time of a row for people: RFC 3339, or a number where times are numbers.
    pub fn time_text(&self, row: usize) -> String {
        let shown = if self.are_datetimes { datetime::show(self.times[row]) } else { None };
        shown.unwrap_or_else(|| self.times[row].to_string())
    }

    /// The number of a row's unit.
    pub fn unit(&self, row: usize) -> u32 {
        self.units[row]
    }

    /// The rows without a gap between them that a row is among.
    pub fn stretch(&self, row: usize) -> Range<usize> {
        self.stretches[row].clone()
    }

    /// The row's place in the files that were read, from 0; none where it was put into a gap.
    pub fn origin(&self, row: usize) -> Option<usize> {
        self.origins[row]
    }

    /// Where the value of a window that ends at a row lies in a column that has one a window.
    pub(crate) fn whole_row(&self, end: usize) -> usize {
        self.request_span.map_or(end, |span| end / span)
    }

    /// The place in the files, or in the request, of what lies there.
    pub(crate) fn origin_of_whole(&self, row: usize) -> usize {
        match self.request_span {
            Some(_) => row,
            None => self.origins[row].unwrap_or(row),
        }
    }

    /// The rows of the window that ends at a row, the earliest first.
    pub fn window(&self, end: usize) -> impl Iterator<Item = usize> + '_ {
        self.rows_of(end, 0)
    }

    /// The rows of the window that ends at a row, moved `shift` rows on. What would lie before the first row
    /// of a stretch repeats that row.
    pub(crate) fn rows_of(&self, end: usize, shift: usize) -> impl Iterator<Item = usize> + '_ {
        let first = self.stretches[end].start;
        (0..self.length).map(move |step| (end + shift + step + 1).saturating_sub(self.length).max(first))
    }

    /// Every row that these samples look at or ahead to, each once, ascending.
    pub(crate) fn rows_seen(&self, ends: &[usize]) -> Vec<usize> {
        self.marked(ends, |end| self.rows_seen_by(end))
    }

    fn rows_seen_by(&self, end: usize) -> Range<usize> {
        let first = self.stretches[end].start;
        (end + 1).saturating_sub(self.length).max(first)..end + self.ahead + 1
    }

    /// Every row that these samples are to forecast, each once, ascending; their own rows where there is no
    /// horizon.
    pub(crate) fn rows_forecast(&self, ends: &[usize], horizon: usize) -> Vec<usize> {
        match horizon {
            0 => ends.to_vec(),
            _ => self.marked(ends, |end| end + 1..end + horizon + 1),
        }
    }

    fn marked(&self, ends: &[usize], range: impl Fn(usize) -> Range<usize>) -> Vec<usize> {
        let mut seen = vec![false; self.times.len()];
        for &end in ends {
            seen[range(end)].fill(true);
        }
        (0..seen.len()).filter(|&row| seen[row]).collect()
    }

    /// Whether a row is looked at, or ahead to, by samples of both lists.
    pub(crate) fn overlap(&self, a: &[usize], b: &[usize]) -> bool {
        let mut of_a = vec![false; self.times.len()];
        self.rows_seen(a).into_iter().for_each(|row| of_a[row] = true);
        self.rows_seen(b).into_iter().any(|row| of_a[row])
    }

    /// Whether two of these samples look at, or ahead to, the same row: what is counted of them is not independent.
    pub fn share_rows(&self, samples: &[usize]) -> bool {
        let looked_at: usize = samples.iter().map(|&end| self.rows_seen_by(end).len()).sum();
        looked_at > self.rows_seen(samples).len()
    }

    /// Removes the samples that touch a row which these others look at or ahead to; gives how many they were.
    pub(crate) fn keep_apart(&self, samples: &mut Vec<usize>, others: &[usize]) -> usize {
        let mut seen = vec![false; self.times.len()];
        self.rows_seen(others).into_iter().for_each(|row| seen[row] = true);
        let before = samples.len();
        samples.retain(|&end| !self.rows_seen_by(end).any(|row| seen[row]));
        before - samples.len()
    }

    /// Keeps only the windows that end at the last row of their unit, from `row` on. Gives how many units there
    /// are from there on, and how many of them have such a window.
    pub(crate) fn keep_last_of_each_unit(&mut self, row: usize) -> (usize, usize) {
        let units = &self.units;
        let is_last = |end: usize| end + 1 == units.len() || units[end + 1] != units[end];
        self.ends.retain(|&end| end < row || is_last(end));
        let judged = self.ends.iter().filter(|&&end| end >= row).count();
        ((row..units.len()).filter(|&row| is_last(row)).count(), judged)
    }
}

/// Adds the outputs that are no column of the files: what is left of a unit's life, and which rows were anomalous.
///
/// # Errors
/// Where files of labels do not fit the rows.
pub(crate) fn derive(spec: &PipelineSpec, side: &Side, mut data: Dataset) -> Result<Dataset, DataError> {
    for output in &spec.outputs {
        match output.kind {
            OutputKind::Remaining => {
                let (Some(declared), Some(windows)) = (&spec.windows, data.windows()) else { continue };
                let test_from = data.test_rows().map(|rows| rows.start);
                let lives = side.lives.as_deref().zip(test_from);
                let column = remaining::remaining(&output.name, output.cap, declared, windows, lives)?;
                data = data.with_column(column);
                if let Some((_, from)) = lives {
                    data.keep_last_of_each_unit(from);
                }
            }
            OutputKind::Anomaly => {
                if let Some(spans) = &side.spans {
                    let column = anomalous::by_time(&output.name, spans, data.windows())?;
                    data = data.with_column(column);
                } else if let Some(ColumnData::Categories(labels)) = data.column(&output.name) {
                    let known = anomalous::by_label(labels, output.healthy.as_deref());
                    data = data.with_column(Column {
                        name: output.name.as_str().into(),
                        data: known,
                        members: Vec::new(),
                    });
                }
            }
            OutputKind::Number | OutputKind::Category | OutputKind::Labels | OutputKind::NextToken => {}
        }
    }
    Ok(data)
}
