//! A change of a route as people and scripts read it.

use modelyard_registry::RouteChange;
use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_types::ModelName;
use serde::Serialize;

use crate::output::Output;
use crate::wiring::timestamp;

/// One change, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct ChangeJson<'c> {
    model: &'c str,
    kind: &'static str,
    #[serde(flatten)]
    route: &'c Route,
    at: String,
    by: &'c str,
    why: &'c str,
}

impl<'c> ChangeJson<'c> {
    pub(super) fn new(model: &'c ModelName, change: &'c RouteChange) -> Self {
        Self {
            model: model.as_str(),
            kind: change.kind.as_str(),
            route: &change.route,
            at: timestamp(change.at_unix_ms),
            by: &change.by,
            why: &change.why,
        }
    }
}

/// A route in one line.
pub(super) fn in_words(route: &Route) -> String {
    let live = route.live.map(|version| format!("live: version {version}"));
    let canary = route.canary.as_ref().map(|Canary { version, percent, sticky, guard }| {
        let by = sticky.as_ref().map(|header| format!(" by {header}")).unwrap_or_default();
        let limits = limits(guard);
        format!("canary: version {version} answers {percent} %{by}{limits}")
    });
    let shadow = route.shadow.as_ref().map(|Shadow { version, percent, .. }| {
        format!("shadow: version {version} gets copies of {percent} %")
    });
    let parts: Vec<String> = live.into_iter().chain(canary).chain(shadow).collect();
    if parts.is_empty() { "every request goes to the live version".to_owned() } else { parts.join("; ") }
}

fn limits(guard: &Guard) -> String {
    let percent = |what: &str, max: Option<f64>| max.map(|max| format!("{what} over {} %", max * 100.0));
    let slow = guard.latency_ratio_max.map(|max| format!("latency over {max} times the live version's"));
    let all =
        [percent("errors", guard.error_rate_max), slow, percent("disagreement", guard.disagreement_max)];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(", withdrawn at {}", all.join(", or ")) }
}

/// Prints a change that was just made; none means that nothing was to be changed.
pub(super) fn print(model: &ModelName, change: Option<&RouteChange>, output: &mut Output) {
    match change {
        Some(change) => {
            output.text(format!("{model}: {}", in_words(&change.route)));
            output.json(&ChangeJson::new(model, change));
        }
        None => {
            output.text(format!("{model}: {}", in_words(&Route::default())));
            output.json(&serde_json::json!({ "model": model.as_str(), "kind": null }));
        }
    }
}
