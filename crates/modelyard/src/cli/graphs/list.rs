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

A graph whose record is damaged is named with the reason; the others are listed.

With --json: {\"graphs\": [as `modelyard graphs set`, …], \"damaged\": [{\"graph\":
  name, \"problem\": text}, …]}";

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
    damaged: Vec<DamagedJson<'c>>,
}

#[derive(Serialize)]
struct DamagedJson<'c> {
    graph: &'c str,
    problem: &'c str,
}

/// Prints the list.
///
/// # Errors
/// A store that cannot be opened.
pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let graphs = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let each = registry.graphs_each().await?.into_iter();
        each.map(|(name, change)| Ok((name, wiring::whole_or_damaged(change)?)))
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let columns = ["graph", "version", "since", "steps"].map(|title| (title, Align::Left));
    let mut table = Table::new(&columns);
    for (name, change) in &graphs {
        table.row(match change {
            Ok(change) => {
                let (version, since) = (change.number.to_string(), timestamp(change.at_unix_ms));
                [name.to_string(), version, since, change::in_words(change.graph.as_ref())]
            }
            Err(problem) => [name.to_string(), "-".to_owned(), "-".to_owned(), problem.clone()],
        });
    }
    output.text(if graphs.is_empty() { "no graphs yet".to_owned() } else { table.render(0) });
    let whole = graphs.iter().filter_map(|(name, change)| Some(ChangeJson::new(name, change.as_ref().ok()?)));
    let damaged = graphs.iter().filter_map(|(name, change)| {
        Some(DamagedJson { graph: name.as_str(), problem: change.as_ref().err()? })
    });
    output.json(&ListJson { graphs: whole.collect(), damaged: damaged.collect() });
    Ok(())
}
