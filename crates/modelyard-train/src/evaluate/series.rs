//! Samples over series: forecasts beside the seasonal naive one, lives that remain, anomalies beside what is known
//! of them. Each wraps the plain sample that the usual metrics look at.

use modelyard_data::{Calibration, Dataset, OutputKind, Pipeline, Task, Windows};

use super::{Sample, TaskKind};
use crate::error::TrainError;

/// A plain sample, and what is known of it as a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the usual metrics look at; none where no answers are known.
    pub plain: Option<Sample>,
    /// What else there is.
    pub detail: Detail,
}

/// What is known of a sample over a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// A forecast.
    Forecast(Box<Forecast>),
    /// What remains of lives.
    Remaining,
    /// Rows flagged as anomalous.
    Anomaly(Alarms),
}

/// Forecasts of some rows, each several steps ahead; every list is rows × steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// The value one season before each forecast one.
    pub naive: Vec<f32>,
    /// The lower and upper ends of the intervals; empty before they are calibrated.
    pub intervals: Vec<(f32, f32)>,
    /// The quantiles that the network gives; empty where it gives one number.
    pub quantiles: Vec<f64>,
    /// What it gave for them, rows × steps × quantiles.
    pub said: Vec<f32>,
    /// The mean absolute error of the seasonal naive forecast one season ahead on the training rows.
    pub naive_error: Option<f64>,
}

/// Rows in the order of time, and which of them were flagged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alarms {
    /// Whether each was flagged.
    pub flagged: Vec<bool>,
    /// Whether each truly was anomalous; none where nothing is known.
    pub truth: Option<Vec<bool>>,
    /// The stretch of the series that each row is in.
    pub stretches: Vec<usize>,
    /// Flagged rows with fewer than this many others between them are one alarm.
    pub apart: usize,
}

impl Alarms {
    /// The alarms, each from its first to behind its last row.
    pub fn groups(&self) -> Vec<std::ops::Range<usize>> {
        self.join(&self.flagged, self.apart)
    }

    /// The labelled events, likewise.
    pub fn events(&self) -> Vec<std::ops::Range<usize>> {
        self.truth.as_ref().map(|truth| self.join(truth, 1)).unwrap_or_default()
    }

    fn join(&self, marked: &[bool], apart: usize) -> Vec<std::ops::Range<usize>> {
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        for row in (0..marked.len()).filter(|&row| marked[row]) {
            match groups.last_mut() {
                Some(last)
                    if row < last.end + apart && self.stretches[row] == self.stretches[last.end - 1] =>
                {
                    last.end = row + 1;
                }
                _ => groups.push(row..row + 1),
            }
        }
        groups
    }
}

impl Series {
    /// What kind of answer this is.
    pub fn task(&self) -> TaskKind {
        match self.detail {
            Detail::Forecast(_) => TaskKind::Forecast,
            Detail::Remaining => TaskKind::Remaining,
            Detail::Anomaly(_) => TaskKind::Anomaly,
        }
    }
}

/// Wraps a plain sample of these rows where the task is one over series. `outputs` are the network's raw outputs.
pub(super) fn wrap(
    pipeline: &Pipeline,
    dataset: &Dataset,
    rows: &[usize],
    outputs: &[f32],
    plain: Sample,
) -> Result<Sample, TrainError> {
    let series = match pipeline.task() {
        Task::Forecast { output, horizon, quantiles } => {
            let forecast = Forecast {
                naive: naive(pipeline, dataset, rows, output, *horizon),
                intervals: intervals(pipeline, outputs),
                quantiles: quantiles.clone(),
                said: said(pipeline, outputs, *horizon, quantiles.len()),
                naive_error: match pipeline.calibration() {
                    Some(Calibration::Intervals { naive_error, .. }) => Some(*naive_error),
                    _ => None,
                },
            };
            Series { plain: Some(plain), detail: Detail::Forecast(Box::new(forecast)) }
        }
        Task::Anomaly { .. } => anomalies(pipeline, dataset, rows, outputs)?,
        _ if is_remaining(pipeline) => Series { plain: Some(plain), detail: Detail::Remaining },
        _ => return Ok(plain),
    };
    Ok(Sample::Series(Box::new(series)))
}

fn is_remaining(pipeline: &Pipeline) -> bool {
    pipeline.spec().outputs.iter().any(|output| output.kind == OutputKind::Remaining)
}

/// The kind of task of a fitted pipeline, those over series told apart.
pub fn task_of(pipeline: &Pipeline) -> TaskKind {
    if is_remaining(pipeline) { TaskKind::Remaining } else { super::task_kind(pipeline.task()) }
}

fn naive(pipeline: &Pipeline, data: &Dataset, rows: &[usize], output: &str, horizon: usize) -> Vec<f32> {
    let (Some(windows), Some(declared)) = (data.windows(), &pipeline.spec().windows) else {
        return Vec::new();
    };
    let season = declared.season.unwrap_or(1);
    let value = |row: usize| match data.column(output) {
        Some(modelyard_data::ColumnData::Numbers(numbers)) => numbers.get(row) as f32,
        _ => f32::NAN,
    };
    let at = |row, step| value(season_before(windows, row, step, season));
    rows.iter().flat_map(|&row| (1..=horizon).map(move |step| at(row, step))).collect()
}

/// The last row up to `row` that is a whole number of seasons before `step` rows behind it.
fn season_before(windows: &Windows, row: usize, step: usize, season: usize) -> usize {
    let back = step.div_ceil(season) * season;
    match (row + step).checked_sub(back) {
        Some(before) if before >= windows.stretch(row).start => before,
        _ => row,
    }
}

fn intervals(pipeline: &Pipeline, outputs: &[f32]) -> Vec<(f32, f32)> {
    let steps = outputs.chunks_exact(pipeline.output_width()).flat_map(|row| pipeline.forecast(row));
    steps.filter_map(|step| step.interval).map(|(low, high)| (low as f32, high as f32)).collect()
}

fn said(pipeline: &Pipeline, outputs: &[f32], horizon: usize, quantiles: usize) -> Vec<f32> {
    if quantiles == 0 {
        return Vec::new();
    }
    let rows = outputs.chunks_exact(pipeline.output_width());
    rows.flat_map(|row| (0..horizon).flat_map(move |step| pipeline.quantiles_at(row, step)))
        .map(|value| value as f32)
        .collect()
}

fn anomalies(
    pipeline: &Pipeline,
    dataset: &Dataset,
    rows: &[usize],
    outputs: &[f32],
) -> Result<Series, TrainError> {
    let scores = pipeline.decode_values(outputs);
    let threshold = match pipeline.calibration() {
        Some(Calibration::Threshold { score, .. }) => *score as f32,
        _ => f32::INFINITY,
    };
    let truth = pipeline.known_anomalies(dataset, rows)?;
    // A score as far above the threshold as the threshold is above 0 has the probability 2/3.
    let probability = |score: f32| if threshold.is_finite() { score / (score + threshold) } else { 0.0 };
    // Where every row is healthy there is nothing to be right about; the share that was flagged tells enough.
    let plain = truth.as_ref().filter(|truth| truth.contains(&true)).map(|truth| Sample::Classes {
        truth: truth.iter().map(|anomalous| u32::from(*anomalous)).collect(),
        probabilities: scores.iter().flat_map(|s| [1.0 - probability(*s), probability(*s)]).collect(),
        classes: 2,
    });
    let windows = dataset.windows();
    let alarms = Alarms {
        flagged: scores.iter().map(|score| *score > threshold).collect(),
        truth,
        stretches: rows
            .iter()
            .map(|&row| windows.map_or(row, |windows| windows.stretch(row).start))
            .collect(),
        apart: windows.map_or(1, Windows::length),
    };
    Ok(Series { plain, detail: Detail::Anomaly(alarms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flagged_rows_near_each_other_are_one_alarm() {
        let alarms = Alarms {
            flagged: [1, 1, 0, 1, 0, 0, 0, 1, 1].map(|flag| flag == 1).to_vec(),
            truth: Some([0, 1, 1, 0, 0, 0, 0, 0, 0].map(|flag| flag == 1).to_vec()),
            stretches: vec![0, 0, 0, 0, 0, 0, 0, 0, 8],
            apart: 3,
        };
        assert_eq!(alarms.groups(), [0..4, 7..8, 8..9]);
        assert_eq!(alarms.events(), vec![1..3; 1]);
    }
}
