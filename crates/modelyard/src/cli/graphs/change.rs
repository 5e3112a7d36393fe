//! A change of a graph as people and scripts read it.

use modelyard_registry::GraphChange;
use modelyard_registry::document::{Combine, Graph, Step, Work};
use modelyard_types::ModelName;
use serde::Serialize;

use crate::output::Output;
use crate::wiring::timestamp;

/// One change, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct ChangeJson<'c> {
    graph: &'c str,
    version: u64,
    kind: &'static str,
    declared: Option<&'c Graph>,
    at: String,
    by: &'c str,
    why: &'c str,
}

impl<'c> ChangeJson<'c> {
    pub(super) fn new(name: &'c ModelName, change: &'c GraphChange) -> Self {
        Self {
            graph: name.as_str(),
            version: change.number.get(),
            kind: change.kind.as_str(),
            declared: change.graph.as_ref(),
            at: timestamp(change.at_unix_ms),
            by: &change.by,
            why: &change.why,
        }
    }
}

/// The models of a graph in one line.
pub(super) fn in_words(graph: Option<&Graph>) -> String {
    let Some(graph) = graph else { return "not there".to_owned() };
    let steps: Vec<String> = graph.in_order().into_iter().map(step_in_words).collect();
    steps.join(", ")
}

/// One step, by what it does.
pub(super) fn step_in_words(step: &Step) -> String {
    let name = &step.name;
    match &step.work {
        Work::Model(model) => {
            let version = model.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
            let at = match model.servers.as_slice() {
                [] => String::new(),
                servers => format!(" at {}", servers.join(" and ")),
            };
            format!("{name}: {}{version}{at}", model.model)
        }
        Work::Combine(combine) => {
            let how = match combine.combine {
                Combine::Mean => "mean",
                Combine::Weighted => "weighted mean",
                Combine::Vote => "vote",
            };
            format!("{name}: {how} of {}", combine.of.len())
        }
        Work::Switch(switch) => format!("{name}: switch on {}", switch.on),
    }
}

/// Prints a change that was just made.
pub(super) fn print(name: &ModelName, change: &GraphChange, output: &mut Output) {
    match &change.graph {
        Some(graph) => {
            output.text(format!("{name} version {}: {}", change.number, in_words(Some(graph))));
        }
        None => output
            .text(format!("{name} is not served any more; `modelyard graphs rollback {name}` undoes it")),
    }
    output.json(&ChangeJson::new(name, change));
}
