//! `modelyard graphs history`: who changed a graph when.

use clap::Args;
use modelyard_types::ModelName;
use serde::Serialize;

use super::change::{self, ChangeJson};
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard graphs history diagnosis

With --json: {\"graph\": name, \"changes\": [as `modelyard graphs set`, …]}, newest first;
  kinds are \"set\", \"rollback\" and \"deletion\"";

/// Show who changed a graph when, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct HistoryArgs {
    /// The graph's name.
    name: ModelName,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct HistoryJson<'c> {
    graph: &'c str,
    changes: Vec<ChangeJson<'c>>,
}

/// Prints the history.
///
/// # Errors
/// A graph that never was, or a store that cannot be opened.
pub(crate) fn run(args: &HistoryArgs, output: &mut Output) -> Result<(), Failure> {
    let changes = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.graph_history(&args.name).await?)
    })?;
    let columns = ["version", "when", "what", "steps", "by", "why"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for change in &changes {
        table.row([
            change.number.to_string(),
            timestamp(change.at_unix_ms),
            change.kind.as_str().to_owned(),
            change::in_words(change.graph.as_ref()),
            change.by.clone(),
            change.why.clone(),
        ]);
    }
    output.text(table.render(0));
    let changes = changes.iter().map(|change| ChangeJson::new(&args.name, change)).collect();
    output.json(&HistoryJson { graph: args.name.as_str(), changes });
    Ok(())
}
