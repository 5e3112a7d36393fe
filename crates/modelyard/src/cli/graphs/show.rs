//! `modelyard graphs show`: a graph, and what it takes and gives.

use clap::Args;
use modelyard_registry::document::{Graph, SignatureDocument, TensorDocument};
use modelyard_types::ModelName;
use serde::Serialize;

use super::change::ChangeJson;
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring::{self, timestamp};

const HELP: &str = "\
Examples:
  modelyard graphs show diagnosis
  modelyard graphs show diagnosis --json

With --json: as `modelyard graphs set`, with \"inputs\" and \"outputs\": [{\"name\",
  \"data_type\", \"shape\"}, …], or \"problem\" where its steps do not go together any more";

/// Show a graph's steps, and what it takes and gives.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ShowArgs {
    /// The graph's name.
    name: ModelName,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ShowJson<'c> {
    #[serde(flatten)]
    change: ChangeJson<'c>,
    #[serde(flatten)]
    signature: Option<SignatureDocument>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Prints the graph; where its models do not go together any more, its steps and the reason.
///
/// # Errors
/// A graph that is not there, or a store that cannot be read.
pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let (change, fitted) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let change = registry.graph(&args.name).await?;
        let graph = change.graph.clone().unwrap_or_default();
        Ok((change, registry.fit_graph(&args.name, &graph).await?))
    })?;
    let (signature, graph, problem) = match fitted {
        Ok(wired) => (Some(SignatureDocument::from(&wired.signature)), Some(wired.graph), None),
        Err(why) => (None, change.graph.clone(), Some(why)),
    };
    let (number, since) = (change.number, timestamp(change.at_unix_ms));
    output.text(format!("{} version {number}, since {since} by {}", args.name, change.by));
    if let Some(signature) = &signature {
        output.text(format!("takes {}", in_words(&signature.inputs)));
    }
    for step in graph.iter().flat_map(Graph::in_order) {
        let from: Vec<String> = step.sources().into_iter().map(ToString::to_string).collect();
        output.text(format!("  {} from {}", super::change::step_in_words(step), from.join(", ")));
    }
    if let Some(signature) = &signature {
        output.text(format!("gives {}", in_words(&signature.outputs)));
    }
    if let Some(why) = &problem {
        output.text(format!("its steps do not go together: {why}"));
    }
    output.json(&ShowJson { change: ChangeJson::new(&args.name, &change), signature, problem });
    Ok(())
}

fn in_words(tensors: &[TensorDocument]) -> String {
    let one = |tensor: &TensorDocument| format!("{} {} {:?}", tensor.name, tensor.data_type, tensor.shape);
    tensors.iter().map(one).collect::<Vec<_>>().join(", ")
}
