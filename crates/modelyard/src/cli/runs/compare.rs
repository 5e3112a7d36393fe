//! `modelyard runs compare`: two runs side by side.

use std::collections::BTreeSet;

use clap::Args;
use modelyard_registry::Run;
use serde::Serialize;

use super::number;
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::seconds;
use crate::table::{Align, Table};
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard runs compare 6 7

With --json: {\"first\": number, \"second\": number, \"made_from\": [{\"field\", \"first\":
  text, \"second\": text}, …] (what differs), \"test\": [{\"metric\", \"first\": value
  or null, \"second\": value or null}, …], \"epochs\": [{\"epoch\", \"first\": validation
  loss or null, \"second\": the same}, …]}";

/// Compare two runs: what went into them, how they learned, what they reached.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct CompareArgs {
    /// A run's number.
    first: u64,
    /// The run to hold beside it.
    second: u64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct CompareJson {
    first: u64,
    second: u64,
    made_from: Vec<FieldJson>,
    test: Vec<ScoreJson>,
    epochs: Vec<EpochJson>,
}

#[derive(Serialize)]
struct FieldJson {
    field: &'static str,
    first: String,
    second: String,
}

#[derive(Serialize)]
struct ScoreJson {
    metric: String,
    first: Option<f64>,
    second: Option<f64>,
}

#[derive(Serialize)]
struct EpochJson {
    epoch: usize,
    first: Option<f64>,
    second: Option<f64>,
}

/// Prints both runs side by side.
///
/// # Errors
/// A run that is not there.
pub(crate) fn run(args: &CompareArgs, output: &mut Output) -> Result<(), Failure> {
    let (first, second) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok((registry.run(args.first).await?, registry.run(args.second).await?))
    })?;
    let found = compare(&first, &second);
    output.text(text(&found));
    output.json(&found);
    Ok(())
}

/// What went into a run and what came of it, in words.
fn fields(run: &Run) -> [(&'static str, String); 10] {
    let record = &run.record;
    [
        ("project", record.project.clone()),
        ("status", record.status.to_string()),
        ("project file", record.project_sha256.clone()),
        ("data", record.data_sha256.clone()),
        ("seed", record.seed.to_string()),
        ("first weights", record.start.as_ref().map_or("drawn", |start| &start.from).to_owned()),
        ("weights", record.parameters.to_string()),
        ("threads", record.machine.threads.to_string()),
        ("epochs", record.epochs.len().to_string()),
        ("time in epochs", seconds(record.training_time())),
    ]
}

fn compare(first: &Run, second: &Run) -> CompareJson {
    let fields = fields(first).into_iter().zip(fields(second));
    let differing = fields.filter(|((_, first), (_, second))| first != second);
    let metrics: BTreeSet<&String> = first.record.test.keys().chain(second.record.test.keys()).collect();
    let loss = |run: &Run, at: usize| run.record.epochs.get(at).and_then(|epoch| epoch.validation_loss);
    CompareJson {
        first: first.id,
        second: second.id,
        made_from: differing
            .map(|((field, first), (_, second))| FieldJson { field, first, second })
            .collect(),
        test: metrics
            .into_iter()
            .map(|metric| ScoreJson {
                metric: metric.clone(),
                first: first.record.test.get(metric).copied(),
                second: second.record.test.get(metric).copied(),
            })
            .collect(),
        epochs: (0..first.record.epochs.len().max(second.record.epochs.len()))
            .map(|at| EpochJson { epoch: at + 1, first: loss(first, at), second: loss(second, at) })
            .collect(),
    }
}

fn text(found: &CompareJson) -> String {
    let (first, second) = (format!("run {}", found.first), format!("run {}", found.second));
    let mut made = Table::new(&[("", Align::Left), (&first, Align::Left), (&second, Align::Left)]);
    for field in &found.made_from {
        made.row([field.field.to_owned(), field.first.clone(), field.second.clone()]);
    }
    let columns =
        |name| [(name, Align::Left), (first.as_str(), Align::Right), (second.as_str(), Align::Right)];
    let mut test = Table::new(&columns("test"));
    for score in &found.test {
        test.row([score.metric.clone(), number(score.first), number(score.second)]);
    }
    let mut epochs = Table::new(&columns("validation loss after epoch"));
    for epoch in &found.epochs {
        epochs.row([epoch.epoch.to_string(), number(epoch.first), number(epoch.second)]);
    }
    let made = if found.made_from.is_empty() { "  made from the same".to_owned() } else { made.render(2) };
    [made, test.render(2), epochs.render(2)].join("\n\n")
}
