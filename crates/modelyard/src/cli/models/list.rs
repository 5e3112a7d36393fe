//! `modelyard models list`: what a store holds.

use clap::Args;
use serde::Serialize;

use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard models list
  modelyard models list --store examples/digits/.modelyard

With --json: {\"models\": [{\"model\": name, \"versions\": count, \"latest\": number,
  \"latest_created\": time, \"aliases\": {alias: number, …}}, …]}";

/// List the models in a store, with their aliases.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ListJson {
    models: Vec<ModelJson>,
}

#[derive(Serialize)]
struct ModelJson {
    model: String,
    versions: u64,
    latest: u64,
    latest_created: String,
    aliases: std::collections::BTreeMap<String, u64>,
}

/// Prints the list.
///
/// # Errors
/// A store that cannot be opened.
pub(crate) fn run(args: &ListArgs, output: &mut Output) -> Result<(), Failure> {
    let models = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.models().await?)
    })?;
    let mut table = Table::new(&[
        ("model", Align::Left),
        ("versions", Align::Right),
        ("latest", Align::Right),
        ("published", Align::Left),
        ("aliases", Align::Left),
    ]);
    for model in &models {
        let aliases: Vec<String> =
            model.aliases.iter().map(|(alias, to)| format!("{alias} → {to}")).collect();
        table.row([
            model.name.to_string(),
            model.versions.to_string(),
            model.latest.to_string(),
            timestamp(model.latest_created_unix_ms),
            aliases.join(", "),
        ]);
    }
    output.text(if models.is_empty() { "no models yet".to_owned() } else { table.render(0) });
    output.json(&ListJson {
        models: models
            .into_iter()
            .map(|model| ModelJson {
                model: model.name.to_string(),
                versions: model.versions,
                latest: model.latest.get(),
                latest_created: timestamp(model.latest_created_unix_ms),
                aliases: model.aliases.into_iter().map(|(alias, to)| (alias.to_string(), to.get())).collect(),
            })
            .collect(),
    });
    Ok(())
}
