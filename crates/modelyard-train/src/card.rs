//! The model card: what a person who meets the model later needs to know, in the manner of Mitchell et al. 2019.

use std::fmt::Write as _;

use modelyard_data::{FieldInfo, Kind, SplitKind, Task};
use modelyard_registry::document::{MetricValue, SplitScores};
use modelyard_runtime::ParityReport;
use serde_json::{Map, Value, json};

use crate::error::TrainError;
use crate::evaluate::class_names;
use crate::evaluate::metric::METRICS;
use crate::fit::Trained;
use crate::gates::gate_sentence;
use crate::prepare::Prepared;
use crate::project::{Project, Split};
use crate::scores::baseline_answers;

/// How many classes a card shows one by one.
const CLASSES_SHOWN_MAX: usize = 50;

/// How many characters an example request in the card may have.
const EXAMPLE_CHARS_MAX: usize = 2_000;

/// Writes the card as Markdown.
///
/// # Errors
/// Only what training has told already.
pub(crate) fn card(
    project: &Project,
    prepared: &Prepared,
    trained: &Trained,
    parity: &ParityReport,
) -> Result<String, TrainError> {
    let mut text = format!("# {}\n", project.name().as_str());
    if !project.description().trim().is_empty() {
        let _ = write!(text, "\n{}\n", project.description().trim());
    }
    let _ = write!(text, "\n{}\n", purpose(prepared.pipeline.task()));
    for part in [
        scores(trained),
        data(project, prepared),
        inputs(prepared),
        network(prepared, trained)?,
        training(project, prepared, trained),
        engines(parity),
        limits(prepared),
        call(project, prepared),
    ] {
        text.push('\n');
        text.push_str(&part);
    }
    Ok(text)
}

fn purpose(task: &Task) -> String {
    match task {
        Task::Classification { output, classes } => {
            format!("Tells `{output}`: one of {} classes ({}).", classes.len(), shorten(classes))
        }
        Task::Binary { output, classes: [no, yes] } => {
            format!("Tells `{output}`: `{no}` or `{yes}`. `{yes}` is the positive class.")
        }
        Task::Labels { output, classes } => {
            format!("Tells `{output}`: any of {} labels ({}).", classes.len(), shorten(classes))
        }
        Task::NextToken { steps, tokens, .. } => {
            format!("Continues texts: knows {tokens} tokens and looks at the last {steps} of them.")
        }
        Task::Regression { outputs } => format!("Estimates {}.", names(outputs)),
        Task::Forecast { output, horizon, .. } => format!("Forecasts `{output}`, {horizon} rows ahead."),
        Task::Anomaly { output, .. } => {
            format!(
                "Tells `{output}`: how unlike healthy rows a row or window is, and whether that is too much."
            )
        }
    }
}

fn names(list: &[String]) -> String {
    list.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn shorten(list: &[String]) -> String {
    match list.get(..12) {
        Some(first) if list.len() > 12 => format!("{}, …", names(first)),
        _ => names(list),
    }
}

fn scores(trained: &Trained) -> String {
    let mut text = "## How good it is\n".to_owned();
    let shown = [Split::Test, Split::Validation]
        .into_iter()
        .find_map(|split| trained.scores.splits.get(split.as_str()).map(|scores| (split, scores)));
    match shown {
        Some((split, scores)) => {
            score_table(&mut text, split, scores, baseline_answers(trained.pipeline.task()));
        }
        None => text.push_str("\nNobody knows: no rows were kept away from training.\n"),
    }
    if let (Some((Split::Test, test)), Some(train)) = (shown, trained.scores.splits.get("train")) {
        let pair = METRICS.iter().find_map(|metric| {
            let of = |scores: &SplitScores| scores.metrics.get(metric.name()).map(|found| found.value);
            Some((metric.name(), of(train)?, of(test)?))
        });
        if let Some((name, train, test)) = pair {
            let _ = write!(text, "\nOn its own training rows, {name} is {train:.4} (test: {test:.4}).\n");
        }
    }
    if !trained.scores.gates.is_empty() {
        text.push_str("\nGates:\n\n");
        for gate in &trained.scores.gates {
            let _ = writeln!(text, "- {}", gate_sentence(gate));
        }
    }
    text
}

fn score_table(text: &mut String, split: Split, scores: &SplitScores, baseline: &str) {
    let kept = match split {
        Split::Test => "that were kept away from training",
        _ => "that decided when to stop, so these scores are flattering",
    };
    let _ = write!(
        text,
        "\nOn {} {} rows {kept}. The baseline {baseline}.\n\n\
         | metric | score | 95 % interval | baseline |\n| --- | --- | --- | --- |\n",
        scores.rows,
        split.as_str()
    );
    for metric in METRICS {
        if let Some(found) = scores.metrics.get(metric.name()) {
            let _ = writeln!(text, "{}", score_row(metric.name(), found));
        }
    }
    if !scores.classes.is_empty() && scores.classes.len() <= CLASSES_SHOWN_MAX {
        text.push_str("\n| class | rows | precision | recall | f1 |\n| --- | --- | --- | --- | --- |\n");
        for class in &scores.classes {
            let label = class.label.replace('|', "\\|");
            let (precision, recall, f1) = (class.precision, class.recall, class.f1);
            let _ = writeln!(text, "| {label} | {} | {precision:.4} | {recall:.4} | {f1:.4} |", class.rows);
        }
    }
}

fn score_row(name: &str, found: &MetricValue) -> String {
    let interval = found.interval_95.map_or("–".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}"));
    let baseline = found.baseline.map_or("–".to_owned(), |score| format!("{score:.4}"));
    format!("| {name} | {:.4} | {interval} | {baseline} |", found.value)
}

fn data(project: &Project, prepared: &Prepared) -> String {
    let source: Vec<String> = project.data().source.iter().map(str::to_owned).collect();
    let split = match project.data().split.kind {
        SplitKind::Random => "by chance",
        SplitKind::Stratified => "by chance, with the same share of each class in every part",
        SplitKind::Time => "by time, the latest rows for testing",
        SplitKind::Group => "by group, no group in two parts",
    };
    let mut text = format!("## What it learned from\n\nData: {}, divided {split}.\n\n", names(&source));
    for split in Split::ALL {
        let _ = writeln!(text, "- {}: {} rows", split.as_str(), prepared.rows(split).len());
    }
    let _ = write!(text, "\nSHA-256 of the data: `{}`\n", prepared.data_sha256);
    text
}

fn inputs(prepared: &Prepared) -> String {
    let mut text = "## What it takes\n\n| input | kind | details |\n| --- | --- | --- |\n".to_owned();
    for field in prepared.pipeline.input_fields() {
        let details = match (&field.shape, field.categories.len()) {
            (None, 0) if field.steps.is_some() => {
                format!("a list of {} values", field.steps.unwrap_or_default())
            }
            (Some([height, width, channels]), _) => format!("{height}×{width}, {channels} channels"),
            (None, 0) if field.width > 1 => format!("{} numbers", field.width),
            (None, 0) => String::new(),
            (None, _) => shorten(&field.categories),
        };
        let optional = if field.optional { " (may be missing)" } else { "" };
        let _ = writeln!(text, "| `{}` | {}{optional} | {details} |", field.name, field.kind);
    }
    text
}

fn network(prepared: &Prepared, trained: &Trained) -> Result<String, TrainError> {
    let mut text = format!(
        "## The network\n\nInput {:?}, {} weights.\n\n| layer | output | weights |\n| --- | --- | --- |\n",
        prepared.network.input,
        trained.network.parameter_count()
    );
    for layer in prepared.network.summary()? {
        let _ = writeln!(text, "| {} | {:?} | {} |", layer.name, layer.output_shape, layer.parameters);
    }
    Ok(text)
}

fn training(project: &Project, prepared: &Prepared, trained: &Trained) -> String {
    let training = project.training();
    let optimizer = serde_json::to_string(&training.optimizer).unwrap_or_default();
    let start =
        prepared.start.as_ref().map(|start| format!("\n- started from {}", start.record)).unwrap_or_default();
    format!(
        "## How it was trained\n\n- loss: {}\n- optimizer: `{optimizer}`\n- mini-batches of {} rows, seed {}, {} \
         thread{}\n- {} epochs of at most {}, the weights of epoch {} kept\n- {:.1} s{start}\n",
        prepared.loss.name(),
        training.batch_size,
        training.seed,
        trained.threads,
        if trained.threads == 1 { "" } else { "s" },
        trained.history.len(),
        training.epochs,
        trained.kept_epoch,
        trained.elapsed.as_secs_f64(),
    )
}

fn engines(parity: &ParityReport) -> String {
    let mut text = "## Where it runs\n\n".to_owned();
    if parity.differences.is_empty() {
        text.push_str("No other engine was at hand to compare `model.onnx` with the trained network.\n");
    }
    for other in &parity.differences {
        let _ = writeln!(
            text,
            "- `model.onnx` on {}: within {:.1e} of the trained network on real rows",
            other.runtime, other.scaled_max
        );
    }
    for (runtime, why) in &parity.skipped {
        let _ = writeln!(text, "- {runtime}: not compared ({why})");
    }
    text
}

fn limits(prepared: &Prepared) -> String {
    let mut text = "## Limits\n\n\
        - The scores hold for rows like those it was tested on. Other sources, times or instruments can do worse.\n\
        - The intervals tell how far chance in the choice of test rows reaches, not how data may change.\n"
        .to_owned();
    if !class_names(prepared.pipeline.task()).is_empty() {
        text.push_str("- It knows no other class than those above, and answers with one of them whatever it is shown.\n");
    }
    for warning in &prepared.warnings {
        let _ = writeln!(text, "- {warning}");
    }
    text
}

fn call(project: &Project, prepared: &Prepared) -> String {
    let name = project.name().as_str();
    let body = json!({ "instances": [example(&prepared.pipeline.input_fields())] }).to_string();
    let mut text = "## How to call it\n\n".to_owned();
    if body.chars().count() <= EXAMPLE_CHARS_MAX {
        let body = body.replace('\'', "'\\''");
        let _ = write!(
            text,
            "```sh\ncurl -s http://127.0.0.1:8080/v1/models/{name}:predict \\\n  -H 'content-type: application/json' \
             \\\n  -d '{body}'\n```\n"
        );
    } else {
        let _ = writeln!(
            text,
            "`POST /v1/models/{name}:predict` with `{{\"instances\": [{{…}}]}}`, one object per row."
        );
    }
    text
}

/// A row as a request gives it.
fn example(fields: &[FieldInfo]) -> Value {
    let mut row = Map::new();
    for field in fields {
        let value = match (&field.example, field.kind) {
            (Some(value), _) => value.to_json(),
            (None, Kind::Image) => json!("(a PNG or JPEG file in base64)"),
            (None, Kind::Audio) => json!("(a WAV file in base64)"),
            (None, _) => Value::Null,
        };
        row.insert(field.name.clone(), value);
    }
    Value::Object(row)
}
