//! `modelyard models history`: who moved which alias when.

use clap::Args;
use modelyard_registry::AliasMove;
use modelyard_types::ModelName;
use serde::Serialize;

use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard models history digits

With --json: {\"model\": name, \"moves\": [{\"model\": name, \"alias\": alias, \"kind\":
  \"promote\" or \"rollback\", \"from\": number or null, \"to\": number, \"at\": time,
  \"by\": who, \"why\": text}, …]}, newest first";

/// Show who moved which alias of a model when, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct HistoryArgs {
    /// The model's name.
    model: ModelName,
    #[command(flatten)]
    store: StoreArgs,
}

/// One move, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct MoveJson {
    model: String,
    alias: String,
    kind: &'static str,
    from: Option<u64>,
    to: u64,
    at: String,
    by: String,
    why: String,
}

impl MoveJson {
    pub(super) fn new(model: &ModelName, moved: &AliasMove) -> Self {
        Self {
            model: model.to_string(),
            alias: moved.alias.to_string(),
            kind: moved.kind.as_str(),
            from: moved.from.map(|from| from.get()),
            to: moved.to.get(),
            at: timestamp(moved.at_unix_ms),
            by: moved.by.clone(),
            why: moved.why.clone(),
        }
    }
}

#[derive(Serialize)]
struct HistoryJson {
    model: String,
    moves: Vec<MoveJson>,
}

/// Prints the history.
///
/// # Errors
/// A model that is not there, or a store that cannot be opened.
pub(crate) fn run(args: &HistoryArgs, output: &mut Output) -> Result<(), Failure> {
    let moves = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.history(&args.model).await?)
    })?;
    let mut table = Table::new(&[
        ("when", Align::Left),
        ("alias", Align::Left),
        ("what", Align::Left),
        ("from", Align::Right),
        ("to", Align::Right),
        ("by", Align::Left),
        ("why", Align::Left),
    ]);
    for moved in &moves {
        table.row([
            timestamp(moved.at_unix_ms),
            moved.alias.to_string(),
            moved.kind.as_str().to_owned(),
            moved.from.map_or_else(|| "–".to_owned(), |from| from.to_string()),
            moved.to.to_string(),
            moved.by.clone(),
            moved.why.clone(),
        ]);
    }
    output.text(if moves.is_empty() { "no alias was moved yet".to_owned() } else { table.render(0) });
    output.json(&HistoryJson {
        model: args.model.to_string(),
        moves: moves.iter().map(|moved| MoveJson::new(&args.model, moved)).collect(),
    });
    Ok(())
}
