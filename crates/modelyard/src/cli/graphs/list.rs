//! `modelyard graphs list`: the graphs in force.

use clap::Args;
use serde::Serialize;

use super::change::{self, ChangeJson};
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard graphs list

With --json: {\"graphs\": [as `modelyard graphs set`, …]}";

/// List the graphs in a store.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ListJson<'c> {
    graphs: Vec<ChangeJson<'c>>,
}

/// Prints the list.
///
/// # Errors
/// A store that cannot be opened.
pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let graphs = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.graphs().await?)
    })?;
    let columns = ["graph", "version", "since", "steps"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for (name, change) in &graphs {
        let since = timestamp(change.at_unix_ms);
        let steps = change::in_words(change.graph.as_ref());
        table.row([name.to_string(), change.number.to_string(), since, steps]);
    }
    output.text(if graphs.is_empty() { "no graphs yet".to_owned() } else { table.render(0) });
    let graphs = graphs.iter().map(|(name, change)| ChangeJson::new(name, change)).collect();
    output.json(&ListJson { graphs });
    Ok(())
}
