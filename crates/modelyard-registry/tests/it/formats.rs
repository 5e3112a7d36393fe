//! Samples of every format that was ever written still load. See `examples/write_format_samples.rs`.

use std::path::{Path, PathBuf};

use modelyard_registry::MoveKind;
use modelyard_registry::document::{Graph, Lineage, Scores, SignatureDocument};

use crate::support::{assert_whole, live, name, number, open};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/formats/1")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(samples().join(file)).expect("the sample is in the repository")
}

#[test]
fn documents_of_format_1_load_and_are_written_the_same() {
    let text = read(SignatureDocument::FILE);
    let signature = SignatureDocument::from_json(text.as_bytes()).expect("format 1");
    assert_eq!(signature.to_json(), text);
    let text = read(Scores::FILE);
    let scores = Scores::from_json(text.as_bytes()).expect("format 1");
    assert_eq!(scores.to_json().expect("finite"), text);
    let text = read(Lineage::FILE);
    let lineage = Lineage::from_json(text.as_bytes()).expect("format 1");
    assert_eq!(lineage.to_json(), text);
    let text = read("graph.json");
    let graph = Graph::from_json(text.as_bytes()).expect("format 1");
    assert_eq!(graph.to_json(), text);
}

#[tokio::test]
async fn a_store_of_format_1_opens() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = folder.path().join("store");
    copy(&samples().join("store"), &store);
    let registry = open(&store).await;
    assert_whole(&registry, "the sample of format 1").await;
    assert_eq!(registry.find(&name("sample"), &live()).await.expect("found").version.get(), 1);
    let history = registry.history(&name("sample")).await.expect("listed");
    assert_eq!(history.iter().map(|m| m.kind).filter(|kind| *kind == MoveKind::Rollback).count(), 1);
    let both = registry.compare(&name("sample"), &number(1), &number(2)).await.expect("compared");
    assert_eq!(both.scores.len(), 2);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("the sample is in the repository") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}
