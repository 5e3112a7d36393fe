//! Graphs of models: held against their models, changed at once, undone like an undo.

use modelyard_registry::document::{Graph, SignatureDocument, TensorDocument};
use modelyard_registry::{GraphChange, GraphChangeKind, NewGraph, Registry, RegistryError};
use modelyard_types::ErrorKind;
use serde_json::{Value, json};

use crate::support::{anna, name, new, open, store};

fn tensor(name: &str, width: i64) -> TensorDocument {
    let (name, data_type, shape) = (name.to_owned(), "FP32".to_owned(), vec![-1, width]);
    TensorDocument { name, data_type, shape, unit: None, categories: Vec::new() }
}

/// A model that takes `x` of one width and gives `y` of another.
async fn publish(registry: &Registry, model: &str, takes: i64, gives: i64) {
    let signature = SignatureDocument { inputs: vec![tensor("x", takes)], outputs: vec![tensor("y", gives)] };
    let files = [(SignatureDocument::FILE, signature.to_json())];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    registry.publish(new(model, &files)).await.expect("published");
}

fn graph(steps: Value, outputs: Value) -> Graph {
    let text = json!({ "format_version": 1, "steps": steps, "outputs": outputs }).to_string();
    Graph::from_json(text.as_bytes()).expect("a good graph")
}

fn chain(first: &str, second: &str) -> Graph {
    let steps = json!([
        { "name": "a", "model": first, "inputs": { "x": "request.x" } },
        { "name": "b", "model": second, "inputs": { "x": "a" } }
    ]);
    graph(steps, json!({ "y": "b" }))
}

async fn set(registry: &Registry, graph: Graph) -> Result<GraphChange, RegistryError> {
    let (by, why) = (anna(), "a try".to_owned());
    registry.set_graph(NewGraph { name: name("joined"), graph, by, why }).await
}

#[tokio::test]
async fn a_graph_is_changed_deleted_and_undone_step_by_step() {
    let (folder, registry) = store().await;
    publish(&registry, "wide", 4, 2).await;
    publish(&registry, "small", 2, 1).await;
    publish(&registry, "other", 2, 1).await;
    let joined = name("joined");
    let missing = registry.graph(&joined).await.expect_err("there is none");
    assert_eq!(missing.kind(), ErrorKind::NotFound);

    let revision = registry.revision().await.expect("read");
    let first = set(&registry, chain("wide", "small")).await.expect("set");
    assert!(registry.revision().await.expect("read") > revision, "running servers see it");
    assert_eq!((first.number.get(), first.kind), (1, GraphChangeKind::Set));
    assert_eq!(set(&registry, chain("wide", "small")).await.expect("the same"), first, "nothing changes");
    let second = set(&registry, chain("wide", "other")).await.expect("set");
    assert_eq!(second.number.get(), 2);
    let deleted = registry.delete_graph(&joined, &anna(), "").await.expect("deleted");
    assert_eq!((deleted.kind, &deleted.graph), (GraphChangeKind::Deletion, &None));
    assert!(registry.graphs().await.expect("listed").is_empty());
    let again = registry.delete_graph(&joined, &anna(), "").await.expect_err("it is gone");
    assert_eq!(again.kind(), ErrorKind::NotFound);

    for want in [Some(chain("wide", "other")), Some(chain("wide", "small")), None] {
        let undone = registry.rollback_graph(&joined, &anna(), "a mistake").await.expect("undone");
        assert_eq!((undone.kind, undone.graph), (GraphChangeKind::Rollback, want));
    }
    let end = registry.rollback_graph(&joined, &anna(), "").await.expect_err("no further");
    assert_eq!(end.kind(), ErrorKind::FailedPrecondition);
    registry.close().await;

    let registry = open(folder.path()).await;
    let history = registry.graph_history(&joined).await.expect("listed");
    let kinds: Vec<&str> = history.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(kinds, ["rollback", "rollback", "rollback", "deletion", "set", "set"]);
    assert_eq!((history[0].by.as_str(), history[0].why.as_str()), ("anna", "a mistake"));
}

#[tokio::test]
async fn a_graph_that_its_models_do_not_make_is_refused() {
    let (_folder, registry) = store().await;
    publish(&registry, "wide", 4, 2).await;
    publish(&registry, "small", 2, 1).await;
    set(&registry, chain("wide", "small")).await.expect("set");
    let cycle = json!([
        { "name": "a", "model": "wide", "inputs": { "x": "b" } },
        { "name": "b", "model": "small", "inputs": { "x": "a" } }
    ]);
    let text = json!({ "format_version": 1, "steps": cycle, "outputs": { "y": "b" } }).to_string();
    let cycle = Graph::from_json(text.as_bytes()).expect_err("a cycle");
    assert!(cycle.to_string().ends_with("its steps wait for each other: a → b → a"), "{cycle}");
    let far = graph(
        json!([{ "name": "a", "model": "m", "inputs": { "x": "request.x" }, "servers": ["there:1"] }]),
        json!({ "y": "a" }),
    );
    for (graph, want) in [
        (chain("wide", "smal"), "step \"b\": no model named \"smal\" is registered; did you mean \"small\"?"),
        (chain("small", "wide"), "step \"b\": a.y is FP32 [-1, 1], the input \"x\" must be FP32 [-1, 4]"),
        (chain("wide", "joined"), "step \"b\": joined is a graph; a step runs a model"),
        (far, "step \"a\": what its model takes and gives is not known"),
    ] {
        let error = set(&registry, graph).await.expect_err(want);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(want), "{error}");
    }
    assert_eq!(registry.graph(&name("joined")).await.expect("unchanged").number.get(), 1);
}

#[tokio::test]
async fn a_model_and_a_graph_never_share_a_name() {
    let (_folder, registry) = store().await;
    publish(&registry, "wide", 4, 2).await;
    publish(&registry, "small", 2, 1).await;
    let (by, why) = (anna(), String::new());
    let wish = NewGraph { name: name("wide"), graph: chain("wide", "small"), by, why };
    let taken = registry.set_graph(wish).await.expect_err("a model has the name");
    assert!(matches!(taken, RegistryError::NameTaken { by: "model", .. }), "{taken}");
    set(&registry, chain("wide", "small")).await.expect("set");
    let taken = registry.publish(new("joined", &[("a", b"b")])).await.expect_err("a graph has the name");
    assert!(matches!(taken, RegistryError::NameTaken { by: "graph", .. }), "{taken}");
    registry.delete_graph(&name("joined"), &anna(), "").await.expect("deleted");
    registry.publish(new("joined", &[("a", b"b")])).await.expect("the name is free");
    let back = registry.rollback_graph(&name("joined"), &anna(), "").await.expect_err("not any more");
    assert!(matches!(back, RegistryError::NameTaken { .. }), "{back}");
}

#[tokio::test]
async fn a_damaged_graph_hides_no_other() {
    let (folder, registry) = store().await;
    publish(&registry, "wide", 4, 2).await;
    publish(&registry, "small", 2, 1).await;
    set(&registry, chain("wide", "small")).await.expect("set");
    let (by, why) = (anna(), String::new());
    let other = NewGraph { name: name("other"), graph: chain("wide", "small"), by, why };
    registry.set_graph(other).await.expect("set");
    registry.close().await;
    let tables = modelyard_storage::Tables::open(&folder.path().join("store.db")).await.expect("opens");
    let damage = sqlx::query("UPDATE graph_changes SET graph = '{' WHERE name = 'joined'");
    damage.execute(tables.pool()).await.expect("changed");
    tables.close().await;

    let registry = open(folder.path()).await;
    let graphs = registry.graphs_each().await.expect("the store is readable");
    let whole: Vec<(&str, bool)> =
        graphs.iter().map(|(name, graph)| (name.as_str(), graph.is_ok())).collect();
    assert_eq!(whole, [("joined", false), ("other", true)]);
    let error = registry.graphs().await.expect_err("one is damaged");
    assert!(error.damage().is_ok_and(|what| what.contains("graph")));
}
