//! From rows as they were read to windows: sorted by unit and time, duplicates refused, gaps refused, split or
//! filled, and the rows found at which a window ends.

use std::collections::HashMap;
use std::ops::Range;

use super::Windows;
use super::arrange::{Origin, arrange};
use crate::dataset::{Categories, Column, ColumnData, Dataset, MISSING};
use crate::datetime;
use crate::error::DataError;
use crate::spec::{Duplicates, Gaps, Short, WindowSpec};

/// More rows than this are not put into gaps, all together, for each row that is there.
const FILLED_PER_ROW_MAX: usize = 16;

/// Rows as they were read.
pub(crate) struct Rows {
    pub(crate) columns: Vec<Column>,
    pub(crate) split: Option<ColumnData>,
    pub(crate) test_from: Option<usize>,
    pub(crate) times: Vec<f64>,
    /// Whether the times are seconds since 1970 UTC.
    pub(crate) are_datetimes: bool,
    pub(crate) units: Option<Categories>,
}

/// Lays windows over rows; a sample reaches `ahead` rows behind its window.
///
/// # Errors
/// [`DataError::Series`] for rows without a time or unit, times that come twice, gaps that are refused, and
/// series without a window.
pub(crate) fn lay(spec: &WindowSpec, ahead: usize, rows: Rows) -> Result<Dataset, DataError> {
    let mut laying = Laying { spec, ahead, warnings: Vec::new(), rows };
    let sorted = laying.sort()?;
    let line = laying.fill_gaps(&sorted)?;
    let windows = laying.windows(line)?;
    let Laying { rows, warnings, .. } = laying;
    let (windows, line) = windows;
    let columns = rows.columns.iter().map(|column| Column {
        name: column.name.clone(),
        data: arrange(&column.data, &line.origins),
        members: column.members.clone(),
    });
    let split = rows.split.as_ref().map(|split| arrange(split, &line.origins));
    let test_from = rows.test_from.map(|from| line.test_from(from));
    let dataset = Dataset::new(columns.collect(), test_from).with_split_column(split);
    Ok(dataset.with_windows(windows, warnings))
}

struct Laying<'a> {
    spec: &'a WindowSpec,
    ahead: usize,
    rows: Rows,
    warnings: Vec<String>,
}

/// The rows in their new order.
struct Line {
    origins: Vec<Origin>,
    times: Vec<f64>,
    units: Vec<u32>,
    /// The row at which each stretch begins.
    starts: Vec<usize>,
}

impl Line {
    /// The first row of the separate test source; its units come last.
    fn test_from(&self, from: usize) -> usize {
        let is_test = |origin: &Origin| matches!(origin, Origin::Row(row) if *row >= from);
        self.origins.iter().position(is_test).unwrap_or(self.origins.len())
    }

    fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.starts.iter().skip(1).copied().chain([self.origins.len()]);
        self.starts.iter().copied().zip(ends).map(|(start, end)| start..end)
    }
}

impl Laying<'_> {
    fn is_test(&self, row: usize) -> bool {
        self.rows.test_from.is_some_and(|from| row >= from)
    }

    fn unit(&self, row: usize) -> u32 {
        self.rows.units.as_ref().map_or(0, |units| units.codes[row])
    }

    /// The rows by series and time.
    fn sort(&mut self) -> Result<Vec<usize>, DataError> {
        if let Some(row) = self.rows.times.iter().position(|time| time.is_nan()) {
            return Err(series(format!("row {row} has no time in the column {:?}", self.spec.time))
                .with_hint("remove the rows without a time; rows are counted from 0"));
        }
        if let Some(units) = &self.rows.units
            && let Some(row) = units.codes.iter().position(|code| *code == MISSING)
        {
            return Err(series(format!("row {row} has no unit"))
                .with_hint("remove the rows without a unit; rows are counted from 0"));
        }
        let series = self.series();
        let times = &self.rows.times;
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by(|&a, &b| series[a].cmp(&series[b]).then_with(|| times[a].total_cmp(&times[b])));
        let order = self.without_duplicates(order)?;
        let moved =
            order.windows(2).filter(|pair| pair[1] < pair[0] && self.same_series(pair[0], pair[1])).count();
        if moved > 0 {
            self.warnings.push(format!(
                "the rows were not in the order of {:?} (at {moved} places); they were sorted",
                self.spec.time
            ));
        }
        Ok(order)
    }

    /// For each row the number of its series: one for each unit of each source, in the order in which they come up.
    fn series(&self) -> Vec<usize> {
        let mut known = HashMap::new();
        let number = |row| {
            let next = known.len();
            *known.entry((self.is_test(row), self.unit(row))).or_insert(next)
        };
        (0..self.rows.times.len()).map(number).collect()
    }

    /// Of sorted rows those that are kept; rows of the same time stand in the order of the file.
    fn without_duplicates(&mut self, order: Vec<usize>) -> Result<Vec<usize>, DataError> {
        let mut kept: Vec<usize> = Vec::with_capacity(order.len());
        let count = order.len();
        for row in order {
            match kept.last_mut() {
                Some(last)
                    if self.same_series(*last, row) && self.rows.times[*last] == self.rows.times[row] =>
                {
                    match self.spec.duplicates {
                        Duplicates::Refuse => return Err(self.duplicate(*last, row)),
                        Duplicates::KeepFirst => {}
                        Duplicates::KeepLast => *last = row,
                    }
                }
                _ => kept.push(row),
            }
        }
        if kept.len() < count {
            let left_out = count - kept.len();
            self.warnings.push(format!("{left_out} rows have the time of another and were left out"));
        }
        Ok(kept)
    }

    fn duplicate(&self, a: usize, b: usize) -> DataError {
        let (unit, time) = (self.of_unit(a), self.show(self.rows.times[a]));
        series(format!("rows {a} and {b}{unit} have the same time, {time}")).with_hint(
            "name the column that tells them apart as unit under [data.windows], or set \
             duplicates = \"keep_last\" there; rows are counted from 0",
        )
    }

    fn same_series(&self, a: usize, b: usize) -> bool {
        self.is_test(a) == self.is_test(b) && self.unit(a) == self.unit(b)
    }

    fn of_unit(&self, row: usize) -> String {
        let units = self.rows.units.as_ref();
        let label = units.and_then(|units| units.dictionary.label(units.codes[row]));
        label.map(|label| format!(" of unit {label:?}")).unwrap_or_default()
    }

    fn show(&self, time: f64) -> String {
        let shown = if self.rows.are_datetimes { datetime::show(time) } else { None };
        shown.unwrap_or_else(|| time.to_string())
    }

    /// Puts the rows in line: gaps are refused, end a stretch, or are filled.
    fn fill_gaps(&mut self, sorted: &[usize]) -> Result<Line, DataError> {
        let every = self.spec.every.as_ref().and_then(|every| every.value());
        let mut line = Line { origins: Vec::new(), times: Vec::new(), units: Vec::new(), starts: Vec::new() };
        let (mut unit, mut splits, mut filled) = (0, 0usize, 0usize);
        for (at, &row) in sorted.iter().enumerate() {
            let before = at.checked_sub(1).map(|at| sorted[at]);
            match before {
                Some(before) if self.same_series(before, row) => {
                    let added = match every {
                        Some(every) => self.gap(before, row, every)?,
                        None => Some(0),
                    };
                    match added {
                        Some(count) => {
                            filled += count;
                            if filled > sorted.len() * FILLED_PER_ROW_MAX {
                                let problem = "the gaps are far larger than what lies between them";
                                return Err(
                                    series(problem).with_hint("use gaps = \"split\", or a larger every")
                                );
                            }
                            self.put_between(before, row, count, &mut line);
                        }
                        None => {
                            splits += 1;
                            line.starts.push(line.origins.len());
                        }
                    }
                }
                Some(_) => {
                    unit += 1;
                    line.starts.push(line.origins.len());
                }
                None => line.starts.push(0),
            }
            line.origins.push(Origin::Row(row));
            line.times.push(self.rows.times[row]);
            line.units.push(unit);
        }
        if splits > 0 {
            self.warnings.push(format!("{splits} gaps in the series: no window reaches over them"));
        }
        if filled > 0 {
            self.warnings.push(format!("{filled} rows were put into gaps of the series, in proportion"));
        }
        Ok(line)
    }

    /// How many rows to put between two that follow each other; none where the series is split there.
    fn gap(&self, before: usize, row: usize, every: f64) -> Result<Option<usize>, DataError> {
        let times = &self.rows.times;
        let steps = (times[row] - times[before]) / every;
        let between = || {
            let unit = self.of_unit(row);
            format!("between {} and {}{unit}", self.show(times[before]), self.show(times[row]))
        };
        match self.spec.gaps {
            Gaps::Refuse if steps > 1.5 => {
                let missing = (steps.round() as usize).saturating_sub(1);
                Err(series(format!("there is a gap of {missing} rows {}", between()))
                    .with_hint("set gaps = \"split\" or \"fill\" under [data.windows], or mend the data"))
            }
            Gaps::Refuse if steps < 0.5 => Err(series(format!("{} lies less than half of every", between()))
                .with_hint("set every under [data.windows] to the time between two rows, or leave it out")),
            Gaps::Split if steps > 1.5 => Ok(None),
            Gaps::Fill if steps.round() > self.spec.length as f64 => Ok(None),
            Gaps::Fill => Ok(Some((steps.round() as usize).saturating_sub(1))),
            Gaps::Refuse | Gaps::Split => Ok(Some(0)),
        }
    }

    fn put_between(&self, before: usize, row: usize, count: usize, line: &mut Line) {
        let unit = line.units.last().copied().unwrap_or_default();
        let times = &self.rows.times;
        for at in 1..=count {
            let share = at as f64 / (count + 1) as f64;
            line.origins.push(Origin::Between(before, row, share));
            line.times.push(times[before] * (1.0 - share) + times[row] * share);
            line.units.push(unit);
        }
    }

    /// The rows at which a window ends.
    fn windows(&mut self, line: Line) -> Result<(Windows, Line), DataError> {
        let needed = self.spec.length + self.ahead;
        let mut ends = Vec::new();
        let mut stretches = Vec::with_capacity(line.origins.len());
        let mut left_out = 0usize;
        for stretch in line.stretches() {
            stretches.extend(std::iter::repeat_n(stretch.clone(), stretch.len()));
            if stretch.len() >= needed {
                // Counted from the end, so that the stretch's last window is there whatever the stride.
                let may_end = stretch.start + self.spec.length - 1..stretch.end - self.ahead;
                let may_end = may_end.rev().step_by(self.spec.stride);
                let begin = ends.len();
                ends.extend(may_end.filter(|&end| is_known(&line, end, self.ahead)));
                ends[begin..].reverse();
            } else if self.spec.short == Short::Pad && stretch.len() > self.ahead {
                ends.push(stretch.end - 1 - self.ahead);
            } else if self.spec.short == Short::Refuse && is_whole_unit(&line, &stretch) {
                return Err(self.too_short(&line, &stretch, needed));
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.warnings.push(format!(
                "{left_out} stretches of the series are shorter than a window ({needed} rows) and were left out"
            ));
        }
        if ends.is_empty() {
            return Err(series(format!("no stretch of the series has the {needed} rows of a window"))
                .with_hint("a smaller length under [data.windows], or more rows"));
        }
        let origins = line.origins.iter().map(|origin| match origin {
            Origin::Row(row) => Some(*row),
            Origin::Between(..) => None,
        });
        let windows = Windows {
            length: self.spec.length,
            ahead: self.ahead,
            stretches,
            times: line.times.clone(),
            are_datetimes: self.rows.are_datetimes,
            units: line.units.clone(),
            origins: origins.collect(),
            ends,
            request_span: None,
        };
        Ok((windows, line))
    }

    fn too_short(&self, line: &Line, stretch: &Range<usize>, needed: usize) -> DataError {
        let unit = match line.origins[stretch.start] {
            Origin::Row(row) => self.of_unit(row),
            Origin::Between(..) => String::new(),
        };
        let ahead = if self.ahead > 0 { format!(" and {} rows ahead", self.ahead) } else { String::new() };
        let rows = stretch.len();
        series(format!("the series{unit} has {rows} rows, and a window{ahead} needs {needed}"))
            .with_hint("a smaller length under [data.windows], or short = \"pad\" or \"skip\"")
    }
}

/// Whether a window's last row, and what it has to forecast, were in the files.
fn is_known(line: &Line, end: usize, ahead: usize) -> bool {
    line.origins[end..=end + ahead].iter().all(|origin| matches!(origin, Origin::Row(_)))
}

/// Whether nothing else of the unit lies beside the stretch: then it is not a gap that made it short.
fn is_whole_unit(line: &Line, stretch: &Range<usize>) -> bool {
    let unit = line.units[stretch.start];
    let other = |row: usize| line.units.get(row).is_some_and(|other| *other == unit);
    !stretch.start.checked_sub(1).is_some_and(other) && !other(stretch.end)
}

fn series(problem: impl Into<String>) -> DataError {
    DataError::Series { problem: problem.into(), hint: None }
}
