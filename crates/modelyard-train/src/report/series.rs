//! Series in the report: anomaly scores in the order of time, and forecasts beside what came.

use modelyard_data::{Calibration, Dataset, Pipeline};

use super::html::section;
use super::svg::{Chart, Guide, Mark, Series};
use crate::error::TrainError;
use crate::evaluate::{Detail, Forecast, Sample};

/// How many windows are shown, evenly spread.
const WINDOWS_SHOWN: usize = 3;

/// The scores of these rows, the threshold, and what is known. `outputs` is what the network left of its input.
pub(super) fn scores(
    pipeline: &Pipeline,
    dataset: &Dataset,
    rows: &[usize],
    outputs: &[f32],
) -> Result<String, TrainError> {
    let scores = pipeline.decode_values(outputs);
    let points = || scores.iter().enumerate().map(|(at, score)| (at as f64, f64::from(*score)));
    let line = |name: &str, mark, points| Series { name: name.to_owned(), mark, points };
    let mut series = vec![line("score", Mark::Line, points().collect())];
    if let Some(Calibration::Threshold { score, .. }) = pipeline.calibration() {
        let last = scores.len().saturating_sub(1) as f64;
        series.push(line("threshold", Mark::Line, vec![(0.0, *score), (last, *score)]));
    }
    if let Some(known) = pipeline.known_anomalies(dataset, rows)? {
        let known = points().zip(known).filter(|(_, anomalous)| *anomalous).map(|(point, _)| point).collect();
        series.push(line("known to be anomalous", Mark::Dots, known));
    }
    let chart = Chart {
        title: "Scores in the order of time: above the threshold is anomalous",
        x: "window or row",
        y: "score",
        guide: Guide::Zero,
        series,
    };
    Ok(section("What it found unusual", &format!("<div class=\"charts\">{}</div>", chart.figure())))
}

/// Some forecasts with their intervals, what came, and what was one season before; nothing for other samples.
pub(super) fn forecasts(sample: &Sample) -> String {
    let Sample::Series(series) = sample else { return String::new() };
    let (Detail::Forecast(forecast), Some(Sample::Values { truth, predicted, outputs })) =
        (&series.detail, &series.plain)
    else {
        return String::new();
    };
    let windows = truth.len() / outputs.max(&1);
    let shown = WINDOWS_SHOWN.min(windows);
    let charts = (1..=shown).map(|at| {
        let window = windows * at / shown - 1;
        one_forecast(forecast, (truth, predicted), window * outputs..(window + 1) * outputs)
    });
    section("What it forecast", &format!("<div class=\"charts\">{}</div>", charts.collect::<String>()))
}

fn one_forecast(
    forecast: &Forecast,
    (truth, predicted): (&[f32], &[f32]),
    steps: std::ops::Range<usize>,
) -> String {
    let line = |name: &str, mark, values: Vec<f32>| Series {
        name: name.to_owned(),
        mark,
        points: values.iter().enumerate().map(|(at, value)| (at as f64 + 1.0, f64::from(*value))).collect(),
    };
    let mut series = vec![
        line("what came", Mark::Dots, truth[steps.clone()].to_vec()),
        line("forecast", Mark::Line, predicted[steps.clone()].to_vec()),
    ];
    if let Some(intervals) = forecast.intervals.get(steps.clone()) {
        series.push(line("lower end", Mark::Line, intervals.iter().map(|ends| ends.0).collect()));
        series.push(line("upper end", Mark::Line, intervals.iter().map(|ends| ends.1).collect()));
    }
    let title = "A forecast with its interval, beside what came";
    Chart { title, x: "rows ahead", y: "value", guide: Guide::None, series }.figure()
}
