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

With --json: {\"routes\": [{\"model\": name, \"kind\": …, \"canary\": {…}, \"shadow\":
  {…}, \"at\": time, \"by\": who, \"why\": text}, …]}; models without a route are left out";

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
}

/// Prints the routes.
///
/// # Errors
/// A model that is not there, or a store that cannot be opened.
pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let routes: Vec<(ModelName, Option<RouteChange>)> = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let names = match &args.model {
            Some(name) => vec![name.clone()],
            None => registry.models().await?.into_iter().map(|model| model.name).collect(),
        };
        let mut routes = Vec::new();
        for name in names {
            let change = registry.route(&name).await?;
            routes.push((name, change));
        }
        Ok(routes)
    })?;
    for (name, change) in &routes {
        let route = change.as_ref().map_or_else(Route::default, |change| change.route.clone());
        output.text(format!("{name}: {}", change::in_words(&route)));
    }
    let routes = routes.iter().filter_map(|(name, change)| Some(ChangeJson::new(name, change.as_ref()?)));
    output.json(&ShowJson { routes: routes.collect() });
    Ok(())
}
