//! The report of a run: one HTML page that needs no server, no script and nothing beside it.
//!
//! It shows rows of the data, so it stays with the run and does not travel with the version.

mod classes;
mod curves;
mod errors;
mod html;
mod numbers;
mod series;
mod svg;

use std::fmt::Write as _;
use std::sync::Arc;

use modelyard_data::Task;
use modelyard_registry::document::{ClassScore, SplitScores};

use self::html::{escape, number, section, table};
use crate::error::TrainError;
use crate::evaluate::metric::METRICS;
use crate::evaluate::{self, Sample, label_names};
use crate::fit::Trained;
use crate::gates::gate_sentence;
use crate::prepare::Prepared;
use crate::project::{Project, Split};
use crate::scores::{Scorer, baseline_answers};

/// Writes the page about a run.
///
/// # Errors
/// Only what training has told already.
pub fn report(project: &Project, prepared: &Prepared, trained: &Trained) -> Result<String, TrainError> {
    let name = escape(project.name().as_str());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Training report: {name}</title><style>\n{}</style></head><body><main>\n<h1>{name}</h1>\n<p>{}</p>\n",
        include_str!("report.css"),
        escape(project.description().trim()),
    );
    let task = evaluate::task_kind(prepared.pipeline.task());
    let shown = [Split::Test, Split::Validation].into_iter().find_map(|split| {
        let scores = trained.scores.splits.get(split.as_str())?;
        Some((split, scores))
    });
    if let Some((split, scores)) = shown {
        page += &reached(split, scores, trained);
    }
    let metric = evaluate::leading_metric(task);
    page += &curves::curves(trained, metric.name());
    if let Some((split, scores)) = shown {
        page += &answers(project, prepared, trained, (split, scores))?;
    }
    page += &made_from(project, prepared, trained);
    page.push_str("</main></body></html>\n");
    Ok(page)
}

/// Scores beside the baseline, and the gates.
fn reached(split: Split, scores: &SplitScores, trained: &Trained) -> String {
    let metrics =
        METRICS.iter().filter_map(|metric| Some((metric.name(), scores.metrics.get(metric.name())?)));
    let rows = metrics.map(|(name, found)| {
        let interval = found.interval_95.map(|[low, high]| format!("{} to {}", number(low), number(high)));
        let dash = || "–".to_owned();
        let baseline = found.baseline.map_or_else(dash, number);
        vec![name.to_owned(), number(found.value), interval.unwrap_or_else(dash), baseline]
    });
    let caption = format!(
        "On {} {} rows. The baseline {}.",
        scores.rows,
        split.as_str(),
        baseline_answers(trained.pipeline.task())
    );
    let mut body = table(&caption, &["metric", "score", "95 % interval", "baseline"], rows);
    if !trained.scores.gates.is_empty() {
        body.push_str("<ul>");
        for gate in &trained.scores.gates {
            let class = if gate.passed { "passed" } else { "missed" };
            let _ = write!(body, "<li class=\"{class}\">Gate {}</li>", escape(&gate_sentence(gate)));
        }
        body.push_str("</ul>");
    }
    section("What it reached", &body)
}

/// What the answers on a part of the rows tell.
fn answers(
    project: &Project,
    prepared: &Prepared,
    trained: &Trained,
    (split, scores): (Split, &SplitScores),
) -> Result<String, TrainError> {
    let rows = prepared.rows(split);
    let pipeline = &trained.pipeline;
    let scorer = Scorer { network: Arc::new(trained.network.clone()), pipeline, threads: trained.threads };
    let truth = pipeline.targets(&prepared.dataset, rows)?;
    if pipeline.gives_input_back() {
        return series::scores(pipeline, &prepared.dataset, rows, &scorer.outputs(&prepared.dataset, rows)?);
    }
    let sample = scorer.sample(&prepared.dataset, rows, &truth)?;
    let forecasts = series::forecasts(&sample);
    let Some(sample) = sample.into_plain() else { return Ok(forecasts) };
    let labels = label_names(pipeline.task());
    let html = match &sample {
        Sample::Classes { truth, probabilities, classes } => {
            classes::classes(scores, truth, probabilities, *classes)
        }
        Sample::Labels { .. } => by_label(scores),
        Sample::Tokens { .. } => return Ok(errors::least_expected(project, prepared, rows, &sample)),
        Sample::Values { truth, predicted, outputs } => {
            let names = match pipeline.task() {
                Task::Regression { outputs } => outputs.clone(),
                Task::Forecast { output, horizon, .. } => {
                    (1..=*horizon).map(|step| format!("{output}, {step} ahead")).collect()
                }
                _ => Vec::new(),
            };
            numbers::residuals(&names, truth, predicted, *outputs)
        }
        Sample::Series(_) => String::new(),
    };
    Ok(forecasts + &html + &errors::errors(project, prepared, rows, &sample, labels))
}

/// The scores of each label.
fn by_label(scores: &SplitScores) -> String {
    let row = |label: &ClassScore| {
        let shares = [label.precision, label.recall, label.f1].map(|share| format!("{share:.3}"));
        [vec![label.label.clone(), label.rows.to_string()], shares.to_vec()].concat()
    };
    let rows = scores.classes.iter().map(row);
    section("Its labels", &table("", &["label", "rows", "precision", "recall", "F1"], rows))
}

/// What went in.
fn made_from(project: &Project, prepared: &Prepared, trained: &Trained) -> String {
    let parts = Split::ALL.map(|split| format!("{} {}", prepared.rows(split).len(), split.as_str()));
    let rows = [
        ("rows", parts.join(", ")),
        ("weights", trained.network.parameter_count().to_string()),
        ("loss", prepared.loss.name().to_owned()),
        ("seed", project.training().seed.to_string()),
        ("SHA-256 of the data", prepared.data_sha256.clone()),
    ];
    let facts = table("", &["", ""], rows.map(|(name, value)| vec![name.to_owned(), value]));
    let file = escape(project.text());
    let file = format!("<details><summary>The project file</summary><pre>{file}</pre></details>");
    section("What it was made from", &(facts + &file))
}

/// The place and the value of the largest probability; the first where several are as large.
fn likeliest(probabilities: &[f32]) -> (usize, f64) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &probability) in probabilities.iter().enumerate() {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    (best.0, f64::from(best.1))
}
