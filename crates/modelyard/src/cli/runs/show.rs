//! `modelyard runs show`: everything about one run.

use clap::Args;
use modelyard_registry::Run;
use modelyard_registry::document::RunRecord;
use serde::Serialize;

use super::number;
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::{seconds, thousands};
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard runs show 7
  modelyard runs show 7 --json

With --json: {\"run\": number, \"record\": {\"project\", \"status\", \"started_unix_ms\",
  \"ended_unix_ms\", \"error\", \"program\", \"machine\", \"processor\", \"seed\",
  \"data_sha256\", \"project_sha256\", \"rows\", \"parameters\", \"start\": {\"from\",
  \"digest\", \"taken\", \"anew\", \"frozen\"}, \"fold\": {\"number\", \"of\", \"origin\"},
  \"epochs_max\", \"metric\", \"resumed_after\": [epoch, …], \"epochs\": [{\"epoch\",
  \"loss\", \"validation_loss\",
  \"metric\", \"metrics\": {name: value, …}, \"best\", \"learning_rate\",
  \"rows_per_second\", \"seconds\"}, …], \"kept_epoch\", \"test\": {name: value, …},
  \"version\"}}; what is not known is left out or null";

/// Show one run: every epoch, where and on what it ran, and what became of it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ShowArgs {
    /// The run's number.
    run: u64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ShowJson<'a> {
    run: u64,
    record: &'a RunRecord,
}

/// Prints the run.
///
/// # Errors
/// A run that is not there.
pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let run = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.run(args.run).await?)
    })?;
    output.text(heading(&run));
    output.text(format!("\n{}", epochs(&run.record)));
    output.json(&ShowJson { run: run.id, record: &run.record });
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "shown without digits after the point")]
fn heading(run: &Run) -> String {
    let record = &run.record;
    let mut lines = vec![
        format!("run {} of {}: {}", run.id, record.project, record.status),
        format!("  started    {}", timestamp(record.started_unix_ms)),
    ];
    lines.extend(record.ended_unix_ms.map(|ended| format!("  ended      {}", timestamp(ended))));
    lines.extend(record.error.as_ref().map(|error| format!("  error      {error}")));
    let processor = record.processor.as_deref().unwrap_or(&record.machine.arch);
    let threads = record.machine.threads;
    lines.push(format!("  machine    {processor}, {threads} thread{}", if threads == 1 { "" } else { "s" }));
    lines.push(format!("  program    {}", record.program));
    lines.push(format!(
        "  training   {} rows, {} weights, seed {}, {} in epochs",
        thousands(record.rows as f64),
        thousands(record.parameters as f64),
        record.seed,
        seconds(record.training_time()),
    ));
    lines.push(format!("  data       {}", record.data_sha256));
    lines.push(format!("  project    {}", record.project_sha256));
    lines.extend(record.start.as_ref().map(|start| format!("  from       {start}")));
    lines.extend(record.fold.as_ref().map(|fold| format!("  backtest   {fold}")));
    for after in &record.resumed_after {
        lines.push(format!("  resumed    after {after} epochs"));
    }
    lines.extend(record.kept_epoch.map(|kept| format!("  kept       epoch {kept}")));
    lines.extend(record.version.map(|version| format!("  version    {} {version}", record.project)));
    let test = record.test.iter().map(|(name, value)| format!("{name} {value:.4}"));
    let test = test.collect::<Vec<_>>().join(", ");
    if !test.is_empty() {
        lines.push(format!("  test       {test}"));
    }
    lines.join("\n")
}

fn epochs(record: &RunRecord) -> String {
    let metric = format!("validation {}", record.metric);
    let mut table = Table::new(&[
        ("epoch", Align::Right),
        ("loss", Align::Right),
        ("validation loss", Align::Right),
        (&metric, Align::Right),
        ("learning rate", Align::Right),
        ("rows/s", Align::Right),
        ("", Align::Left),
    ]);
    for epoch in &record.epochs {
        table.row([
            epoch.epoch.to_string(),
            number(Some(epoch.loss)),
            number(epoch.validation_loss),
            number(epoch.metric),
            format!("{:.2e}", epoch.learning_rate),
            thousands(epoch.rows_per_second),
            if epoch.best { "best so far" } else { "" }.to_owned(),
        ]);
    }
    table.render(2)
}
