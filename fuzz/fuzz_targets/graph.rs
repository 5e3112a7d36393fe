//! A graph of models, as a registry keeps it and as its file declares it: what can be read is written the same, and
//! held against models.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use modelyard_registry::document::Graph;
use modelyard_types::{DataType, Dim, Signature, TensorSpec};

fuzz_target!(|data: &[u8]| {
    if let Ok(graph) = Graph::from_json(data) {
        use_graph(graph);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(declared) = toml::from_str::<Graph>(text) {
        // Reading checks the steps, as the order to put a declared graph in force does.
        if let Ok(graph) = Graph::from_json(declared.to_json().as_bytes()) {
            use_graph(graph);
        }
    }
});

fn use_graph(graph: Graph) {
    assert_eq!(Graph::from_json(graph.to_json().as_bytes()).ok().as_ref(), Some(&graph));
    assert_eq!(graph.in_order().len(), graph.steps.len(), "every step has its turn");
    let tensor = |name: &str| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: vec![Dim::Any, Dim::Fixed(2)],
    };
    let simple = Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] };
    let signatures: Result<BTreeMap<String, Signature>, String> = graph
        .model_steps()
        .map(|(name, step)| Ok((name.to_owned(), step.remote_signature()?.unwrap_or_else(|| simple.clone()))))
        .collect();
    if let Ok(signatures) = signatures {
        drop(graph.wire(&signatures));
    }
}
