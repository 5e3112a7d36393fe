//! What every test here needs: a store, a clock that only moves when it is read, and versions to publish.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modelyard_registry::{GateRule, NewVersion, Origin, Promotion, Registry};
use modelyard_types::{Alias, Caller, Clock, ModelName, Version, VersionSelector};

/// Each reading is one second later than the one before.
pub(crate) struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> Instant {
        unreachable!("the registry only asks for the calendar time")
    }
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(TickingClock(AtomicU64::new(0)))
}

pub(crate) async fn open(path: &Path) -> Registry {
    Registry::open(path, clock()).await.expect("the store opens")
}

/// A store in a folder that goes when the test ends.
pub(crate) async fn store() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = open(folder.path()).await;
    (folder, registry)
}

pub(crate) fn name(text: &str) -> ModelName {
    text.parse().expect("a good name")
}

pub(crate) fn number(version: u64) -> VersionSelector {
    VersionSelector::Number(v(version))
}

pub(crate) fn v(version: u64) -> Version {
    Version::new(version).expect("not zero")
}

pub(crate) fn live() -> VersionSelector {
    VersionSelector::Alias(Alias::live())
}

pub(crate) fn anna() -> Caller {
    Caller("anna".to_owned())
}

/// A version of `model` with these files.
pub(crate) fn new(model: &str, files: &[(&str, &[u8])]) -> NewVersion {
    NewVersion {
        name: name(model),
        files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect(),
        origin: Origin::Trained,
        gates_passed: true,
        summary: serde_json::json!({"accuracy": 0.98}),
        parent: None,
        by: anna(),
    }
}

/// A version of `digits` whose content this text decides.
pub(crate) fn digits(text: &str) -> NewVersion {
    new("digits", &[("card.md", text.as_bytes()), ("model.onnx", b"same in all")])
}

/// Publishes `count` versions of `digits` and returns the store.
pub(crate) async fn store_with(count: u64) -> (tempfile::TempDir, Registry) {
    let (folder, registry) = store().await;
    for number in 1..=count {
        let published = registry.publish(digits(&format!("version {number}"))).await.expect("published");
        assert_eq!(published.version, v(number));
    }
    (folder, registry)
}

pub(crate) fn promotion(alias: &str, version: u64) -> Promotion {
    Promotion {
        name: name("digits"),
        alias: alias.parse().expect("a good alias"),
        version: v(version),
        gates: GateRule::MustPass,
        by: anna(),
        why: format!("version {version} is better"),
    }
}

/// The folders below `versions/`, as `model/folder`.
pub(crate) fn folders(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for model in std::fs::read_dir(store.join("versions")).expect("versions/ is there") {
        let model = model.expect("readable").path();
        for folder in std::fs::read_dir(&model).expect("a model's folder") {
            let folder = folder.expect("readable").path();
            let parts = folder.strip_prefix(store.join("versions")).expect("below it");
            found.push(parts.to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

/// Every version verifies, numbers are consecutive, and no folder is without a version.
pub(crate) async fn assert_whole(registry: &Registry, context: &str) {
    let mut expected = BTreeMap::new();
    for model in registry.models().await.expect("listed") {
        let versions = registry.versions(&model.name).await.expect("listed");
        for (version, wanted) in versions.iter().zip(1..) {
            assert_eq!(version.version, v(wanted), "{context}");
            let report = registry.verify(&model.name, &number(wanted)).await.expect("readable");
            assert!(report.is_intact(), "{context}: {report:?}");
            assert!(report.files > 0, "{context}: {report:?}");
        }
        expected.insert(model.name.to_string(), versions.len());
    }
    let on_disk = folders(registry.path());
    assert_eq!(on_disk.len(), expected.values().sum::<usize>(), "{context}: {expected:?}, {on_disk:?}");
}
