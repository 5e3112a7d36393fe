//! `modelyard runs list`: what was trained in a store.

use clap::Args;
use modelyard_registry::Run;
use modelyard_registry::document::{RunFold, RunRecord};
use serde::Serialize;

use super::number;
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::seconds;
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard runs list
  modelyard runs list --limit 500 --store examples/digits/.modelyard

With --json: {\"runs\": [{\"run\": number, \"project\": name, \"status\": \"running\",
  \"finished\", \"failed\", \"stopped\" or \"interrupted\", \"started\": time, \"epochs\":
  count, \"seconds\": number, \"metric\": name, \"score\": number or null, \"version\":
  number or null, \"fold\": of a backtest {\"number\", \"of\", \"origin\"}, else null},
  …]}, newest first; the score is that of the kept epoch on the validation rows";

/// List the newest training runs.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ListArgs {
    /// How many runs to list at most.
    #[arg(long, env = "MODELYARD_LIMIT", default_value_t = 50, value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ListJson {
    runs: Vec<RunJson>,
}

#[derive(Serialize)]
struct RunJson {
    run: u64,
    project: String,
    status: &'static str,
    started: String,
    epochs: usize,
    seconds: f64,
    metric: String,
    score: Option<f64>,
    version: Option<u64>,
    fold: Option<RunFold>,
}

/// Prints the list.
///
/// # Errors
/// A store that cannot be opened.
pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let runs = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.runs(args.limit).await?)
    })?;
    let mut table = Table::new(&[
        ("run", Align::Right),
        ("project", Align::Left),
        ("status", Align::Left),
        ("started", Align::Left),
        ("epochs", Align::Right),
        ("time", Align::Right),
        ("validation", Align::Left),
        ("version", Align::Right),
    ]);
    for run in &runs {
        let record = &run.record;
        table.row([
            run.id.to_string(),
            record.project.clone(),
            record.status.to_string(),
            timestamp(record.started_unix_ms),
            format!("{}/{}", record.epochs.len(), record.epochs_max),
            seconds(record.training_time()),
            score(run).map(|score| format!("{} {}", record.metric, number(Some(score)))).unwrap_or_default(),
            became(record),
        ]);
    }
    output.text(if runs.is_empty() { "no runs yet".to_owned() } else { table.render(0) });
    output.json(&ListJson { runs: runs.iter().map(json).collect() });
    Ok(())
}

/// The version that a run became, or which training of a backtest it was.
fn became(record: &RunRecord) -> String {
    match (record.version, &record.fold) {
        (Some(version), _) => version.to_string(),
        (None, Some(fold)) => format!("backtest {}/{}", fold.number, fold.of),
        (None, None) => String::new(),
    }
}

/// The leading metric of the kept epoch, or of the last one.
fn score(run: &Run) -> Option<f64> {
    let kept = run.record.kept_epoch.unwrap_or(run.record.epochs.len() as u64);
    run.record.epochs.iter().find(|epoch| epoch.epoch as u64 == kept)?.metric
}

fn json(run: &Run) -> RunJson {
    let record = &run.record;
    RunJson {
        run: run.id,
        project: record.project.clone(),
        status: record.status.as_str(),
        started: timestamp(record.started_unix_ms),
        epochs: record.epochs.len(),
        seconds: record.training_time().as_secs_f64(),
        metric: record.metric.clone(),
        score: score(run),
        version: record.version,
        fold: record.fold.clone(),
    }
}
