//! `modelyard routes show`: the routes in force.

use clap::Args;
use modelyard_registry::RouteChange;
use modelyard_registry::document::Route;
use modelyard_types::ModelName;
use serde::Serialize;

use super::change::{self, ChangeJson};
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard routes show
  modelyard routes show digits

With --json: {\"routes\": [{\"model\": name, \"kind\": …, \"live\": number,
  \"canary\": {…}, \"shadow\": {…}, \"at\": time, \"by\": who, \"why\": text}, …],
  \"damaged\": [{\"model\": name, \"problem\": text}, …]}; models without a route
  are left out, and where all are shown, a damaged record hides no other";

/// Show which versions answer beside the live one.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ShowArgs {
    /// The model's name; all models without it.
    model: Option<ModelName>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ShowJson<'c> {
    routes: Vec<ChangeJson<'c>>,
    damaged: Vec<DamagedJson<'c>>,
}

#[derive(Serialize)]
struct DamagedJson<'c> {
    model: &'c str,
    problem: &'c str,
}

/// A model's route, none where it never had one, or what is wrong with its record.
type Shown = (ModelName, Result<Option<RouteChange>, String>);

/// Prints the routes.
///
/// # Errors
/// A model that is not there or whose route alone is asked for and damaged, or a store that cannot be opened.
pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let routes: Vec<Shown> = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        if let Some(name) = &args.model {
            return Ok(vec![(name.clone(), Ok(registry.route(name).await?))]);
        }
        let mut routes = Vec::new();
        for model in registry.models().await? {
            let change = wiring::whole_or_damaged(registry.route(&model.name).await)?;
            routes.push((model.name, change));
        }
        for (name, change) in registry.routes_elsewhere().await? {
            routes.push((name, wiring::whole_or_damaged(change.map(Some))?));
        }
        Ok(routes)
    })?;
    for (name, change) in &routes {
        let told = match change {
            Ok(Some(change)) => change::in_words(&change.route),
            Ok(None) => change::in_words(&Route::default()),
            Err(problem) => problem.clone(),
        };
        output.text(format!("{name}: {told}"));
    }
    let whole = routes.iter().filter_map(|(name, change)| {
        let change = change.as_ref().ok()?.as_ref()?;
        Some(ChangeJson::new(name, change))
    });
    let damaged = routes.iter().filter_map(|(name, change)| {
        Some(DamagedJson { model: name.as_str(), problem: change.as_ref().err()? })
    });
    output.json(&ShowJson { routes: whole.collect(), damaged: damaged.collect() });
    Ok(())
}
