//! The rows on which the network was most wrong, as people can look at them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelyard_data::{ColumnData, Dataset};

use crate::evaluate::Sample;
use crate::prepare::Prepared;
use crate::project::Project;

use super::html::{escape, number, section};
use super::likeliest;

/// How many rows are shown.
const ROWS_SHOWN: usize = 12;
/// How many numbers of a vector are shown.
const NUMBERS_SHOWN: usize = 8;
/// How many letters of a text are shown.
const LETTERS_SHOWN: usize = 200;

/// A row with what was answered.
struct Wrong {
    row: usize,
    /// How wrong it is: the larger the worse.
    error: f64,
    truth: String,
    answer: String,
}

pub(super) fn errors(
    project: &Project,
    prepared: &Prepared,
    rows: &[usize],
    sample: &Sample,
    labels: &[String],
) -> String {
    let mut wrong = match sample {
        Sample::Classes { truth, probabilities, classes } => {
            wrong_classes(rows, truth, probabilities.chunks_exact((*classes).max(1)), labels)
        }
        Sample::Series(_) => Vec::new(),
        Sample::Labels { truth, probabilities, labels: width } => {
            let width = (*width).max(1);
            wrong_labels(rows, truth.chunks_exact(width).zip(probabilities.chunks_exact(width)), labels)
        }
        Sample::Tokens { .. } => Vec::new(),
        Sample::Values { truth, predicted, outputs } => {
            let outputs = (*outputs).max(1);
            wrong_numbers(rows, truth.chunks_exact(outputs).zip(predicted.chunks_exact(outputs)))
        }
    };
    wrong.sort_by(|a, b| b.error.total_cmp(&a.error));
    if wrong.is_empty() {
        return section("Where it is most wrong", "<p>Nowhere: every answer on these rows is right.</p>");
    }
    let mut html = "<ul class=\"errors\">".to_owned();
    for wrong in wrong.iter().take(ROWS_SHOWN) {
        let _ = write!(
            html,
            "<li>{}<strong>{}</strong> <span class=\"quiet\">instead of</span> <strong>{}</strong>{}</li>",
            pictures(project, &prepared.dataset, wrong.row),
            escape(&wrong.answer),
            escape(&wrong.truth),
            fields(project, &prepared.dataset, wrong.row)
        );
    }
    section("Where it is most wrong", &(html + "</ul>"))
}

/// The texts that cost most a character.
pub(super) fn least_expected(
    project: &Project,
    prepared: &Prepared,
    rows: &[usize],
    sample: &Sample,
) -> String {
    let Sample::Tokens { losses, characters, .. } = sample else { return String::new() };
    let mut costs: Vec<(f64, usize)> = losses
        .iter()
        .zip(characters)
        .zip(rows)
        .map(|((loss, characters), &row)| {
            (loss / std::f64::consts::LN_2 / f64::from(*characters).max(1.0), row)
        })
        .collect();
    costs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut html = "<ul class=\"errors\">".to_owned();
    for (bits, row) in costs.into_iter().take(ROWS_SHOWN) {
        let fields = fields(project, &prepared.dataset, row);
        let _ = write!(html, "<li><strong>{bits:.2} bits a character</strong>{fields}</li>");
    }
    section("What it expects least", &(html + "</ul>"))
}

/// Rows with a label too many or too few.
fn wrong_labels<'a>(
    rows: &[usize],
    answers: impl Iterator<Item = (&'a [f32], &'a [f32])>,
    labels: &[String],
) -> Vec<Wrong> {
    let given = |values: &[f32]| {
        let given = labels.iter().zip(values).filter(|(_, value)| **value >= 0.5);
        given.map(|(label, _)| label.as_str()).collect::<Vec<_>>().join("; ")
    };
    let wrong = rows.iter().zip(answers).map(|(&row, (truth, probabilities))| Wrong {
        row,
        error: truth.iter().zip(probabilities).map(|(t, p)| f64::from((t - p).abs())).sum(),
        truth: given(truth),
        answer: given(probabilities),
    });
    wrong.filter(|wrong| wrong.truth != wrong.answer).collect()
}

/// Wrong answers, the surest first.
fn wrong_classes<'a>(
    rows: &[usize],
    truth: &[u32],
    probabilities: impl Iterator<Item = &'a [f32]>,
    labels: &[String],
) -> Vec<Wrong> {
    let label = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
    let answers = rows.iter().zip(truth).zip(probabilities);
    let wrong = answers.filter_map(|((&row, &truth), probabilities)| {
        let (answer, probability) = likeliest(probabilities);
        (answer != truth as usize).then(|| Wrong {
            row,
            error: probability,
            truth: label(truth as usize),
            answer: format!("{} ({:.0} %)", label(answer), probability * 100.0),
        })
    });
    wrong.collect()
}

fn wrong_numbers<'a>(rows: &[usize], answers: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Vec<Wrong> {
    let list = |values: &[f32]| {
        let shown = values.iter().take(NUMBERS_SHOWN).map(|value| number(f64::from(*value)));
        shown.collect::<Vec<_>>().join(", ")
    };
    let wrong = rows.iter().zip(answers).map(|(&row, (truth, answer))| Wrong {
        row,
        error: truth.iter().zip(answer).map(|(t, a)| f64::from((t - a).abs())).sum(),
        truth: list(truth),
        answer: list(answer),
    });
    wrong.collect()
}

fn pictures(project: &Project, dataset: &Dataset, row: usize) -> String {
    let mut html = String::new();
    for input in project.pipeline().inputs {
        if let Some(ColumnData::Images(images)) = dataset.column(&input.name)
            && let Some(png) = images.png(row)
        {
            let (name, data) = (escape(&input.name), STANDARD.encode(png));
            let _ = write!(html, "<img alt=\"{name} of this row\" src=\"data:image/png;base64,{data}\">");
        }
    }
    html
}

/// The row's other inputs by name.
fn fields(project: &Project, dataset: &Dataset, row: usize) -> String {
    let mut html = String::new();
    for input in project.pipeline().inputs {
        if let Some(text) = dataset.column(&input.name).and_then(|column| cell(column, row)) {
            let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(&input.name), escape(&text));
        }
    }
    if html.is_empty() { html } else { format!("<dl>{html}</dl>") }
}

/// A value as text; none for what is shown otherwise.
fn cell(column: &ColumnData, row: usize) -> Option<String> {
    Some(match column {
        ColumnData::Images(_) => return None,
        ColumnData::Numbers(numbers) => number(numbers.get(row)),
        ColumnData::Categories(categories) => {
            let label = categories.dictionary.label(categories.codes[row]).unwrap_or("–");
            label.chars().take(LETTERS_SHOWN).collect()
        }
        ColumnData::Vectors(vectors) => {
            let values = &vectors.values[row * vectors.width..(row + 1) * vectors.width];
            let shown = values.iter().take(NUMBERS_SHOWN).map(|value| number(f64::from(*value)));
            let shown = shown.collect::<Vec<_>>().join(", ");
            if values.len() > NUMBERS_SHOWN {
                format!("{shown}, … ({} numbers)", values.len())
            } else {
                shown
            }
        }
        ColumnData::Texts(texts) => texts.get(row).chars().take(LETTERS_SHOWN).collect(),
        other => format!("({})", other.kind()),
    })
}
