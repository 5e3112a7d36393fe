//! The guide's tables of series, held against what a server tells to which everything happened that is counted.

use std::collections::BTreeSet;
use std::time::Duration;

use modelyard_api::ApiConfig;
use modelyard_registry::document::{Canary, Guard, Route};
use modelyard_registry::{GateRule, NewRoute};
use modelyard_serve::ServeConfig;
use modelyard_types::{Caller, Version};
use serde_json::json;

use crate::graphs::{far, set_graph};
use crate::support::{Running, Store, infer_body, native};

const GUIDE: &str = include_str!("../../../../docs/guides/watching-a-server.md");

/// The names in the first column of the tables about metrics.
fn named() -> BTreeSet<String> {
    let (_, behind) = GUIDE.split_once("\n## Metrics\n").expect("the guide tells of metrics");
    let (section, _) = behind.split_once("\n## ").expect("something follows");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split(['`', ',', ' '])).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The names that the server tells. A series of models or graphs is told from its first event on.
async fn told(running: &Running) -> BTreeSet<String> {
    let page = running.get("/metrics").await;
    let types = page.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

/// A model whose canary never agrees with it, and a graph whose one server is not there.
async fn serve() -> Running {
    let store = Store::new().await;
    store.publish("m", native(2, 2, 1)).await;
    store.publish("m", native(2, 2, 2)).await;
    store.promote("m", Version::FIRST).await;
    let guard =
        Guard { requests_min: 1, disagreement_max: Some(0.0), tolerance: Some(1e-6), ..Guard::default() };
    let canary = Canary { version: Version::FIRST.next(), percent: 50.0, sticky: None, guard };
    let new = NewRoute {
        name: "m".parse().expect("a name"),
        route: Route { canary: Some(canary), ..Route::default() },
        gates: GateRule::Override,
        by: Caller::default(),
        why: String::new(),
    };
    store.registry.set_route(new).await.expect("it is a route");
    set_graph(&store, "joined", json!([far("m", "127.0.0.1:1", "request.input")]), "far").await;
    let api = ApiConfig { triton_metrics: true, ..ApiConfig::default() };
    store.serve_with(ServeConfig::default(), api).await
}

#[tokio::test]
async fn the_guide_names_every_series_that_is_told_and_no_other() {
    let running = serve().await;
    // Five failures in a row, retries among them, and the server rests.
    for _ in 0..2 {
        assert_eq!(running.post("/v2/models/joined/infer", infer_body(2, 1.0)).await.status, 503);
    }
    let asking = async {
        while !told(&running).await.contains("modelyard_canaries_withdrawn_total") {
            assert_eq!(running.post("/v2/models/m/infer", infer_body(2, 1.0)).await.status, 200);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("the canary is withdrawn");
    assert_eq!(told(&running).await, named(), "told by the server, and named in the guide");
    running.stop().await;
}
