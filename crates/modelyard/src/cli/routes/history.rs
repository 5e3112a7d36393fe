//! `modelyard routes history`: who changed a model's route when, and which canaries were withdrawn why.

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
  modelyard routes history digits

With --json: {\"model\": name, \"changes\": [{\"model\": name, \"kind\": \"set\",
  \"rollback\" or \"withdrawal\", \"live\": number, \"canary\": {…}, \"shadow\": {…},
  \"at\": time, \"by\": who, \"why\": text}, …]}, newest first";

/// Show who changed a model's route when, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct HistoryArgs {
    /// The model's name.
    model: ModelName,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct HistoryJson<'c> {
    model: &'c str,
    changes: Vec<ChangeJson<'c>>,
}

/// Prints the history.
///
/// # Errors
/// A model that is not there, or a store that cannot be opened.
pub(crate) fn run(args: &HistoryArgs, output: &mut Output) -> Result<(), Failure> {
    let changes = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.route_history(&args.model).await?)
    })?;
    let mut table = Table::new(&[
        ("when", Align::Left),
        ("what", Align::Left),
        ("route", Align::Left),
        ("by", Align::Left),
        ("why", Align::Left),
    ]);
    for change in &changes {
        table.row([
            timestamp(change.at_unix_ms),
            change.kind.as_str().to_owned(),
            change::in_words(&change.route),
            change.by.clone(),
            change.why.clone(),
        ]);
    }
    let none = "its route was never changed".to_owned();
    output.text(if changes.is_empty() { none } else { table.render(0) });
    output.json(&HistoryJson {
        model: args.model.as_str(),
        changes: changes.iter().map(|change| ChangeJson::new(&args.model, change)).collect(),
    });
    Ok(())
}
