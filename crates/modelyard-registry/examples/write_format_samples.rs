//! Writes one sample of everything the registry stores into the current folder. Run it in
//! `testdata/formats/<n>/` when a format changes, and keep the samples of the older ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use modelyard_registry::document::{
    ClassScore, ConfusionMatrix, GateComparison, GateResult, Lineage, Machine, MetricValue, Scores,
    SignatureDocument, SplitScores, TensorDocument,
};
use modelyard_registry::{GateRule, NewVersion, Origin, Promotion, Registry};
use modelyard_types::{Alias, Caller, Clock, Version};

/// The same moment for ever, so that the samples come out the same.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Instant {
        unreachable!("the registry only asks for the calendar time")
    }
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }
}

fn signature() -> SignatureDocument {
    let tensor = |name: &str, shape: &[i64]| TensorDocument {
        name: name.to_owned(),
        data_type: "FP32".to_owned(),
        shape: shape.to_vec(),
        unit: None,
        categories: Vec::new(),
    };
    let input = TensorDocument { unit: Some("bar".to_owned()), ..tensor("input", &[-1, 3]) };
    let output = tensor("output", &[-1, 2]);
    let output = TensorDocument { categories: vec!["no".to_owned(), "yes".to_owned()], ..output };
    SignatureDocument { inputs: vec![input], outputs: vec![output] }
}

fn scores() -> Scores {
    let accuracy = MetricValue { value: 0.97, interval_95: Some([0.93, 0.99]), baseline: Some(0.58) };
    let log_loss = MetricValue { value: 0.125, interval_95: None, baseline: None };
    let class = |label: &str, rows| ClassScore {
        label: label.to_owned(),
        rows,
        precision: 0.97,
        recall: 0.96,
        f1: 0.965,
    };
    let test = SplitScores {
        rows: 100,
        metrics: BTreeMap::from([("accuracy".to_owned(), accuracy), ("log_loss".to_owned(), log_loss)]),
        classes: vec![class("no", 42), class("yes", 58)],
        confusion: Some(ConfusionMatrix {
            labels: vec!["no".to_owned(), "yes".to_owned()],
            counts: vec![vec![41, 1], vec![2, 56]],
        }),
    };
    let gate = GateResult {
        metric: "accuracy".to_owned(),
        comparison: GateComparison::AtLeast,
        threshold: 0.95,
        split: "test".to_owned(),
        value: Some(0.97),
        passed: true,
    };
    Scores {
        task: "classification".to_owned(),
        splits: BTreeMap::from([("test".to_owned(), test)]),
        gates: vec![gate],
    }
}

fn lineage() -> Lineage {
    Lineage {
        data_sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned()),
        project_sha256: Some("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".to_owned()),
        fingerprint: Some("1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f53".to_owned()),
        source: None,
        seed: Some(7),
        parent: Some(1),
        program: "modelyard 0.1.0".to_owned(),
        machine: Machine { os: "linux".to_owned(), arch: "x86_64".to_owned(), threads: 2 },
        created_unix_ms: 1_700_000_000_000,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scores = scores().to_json()?;
    std::fs::write(SignatureDocument::FILE, signature().to_json())?;
    std::fs::write(Scores::FILE, &scores)?;
    std::fs::write(Lineage::FILE, lineage().to_json())?;

    let store = Path::new("store");
    if store.exists() {
        std::fs::remove_dir_all(store)?;
    }
    let registry = Registry::open(store, Arc::new(Stopped)).await?;
    let mut new = NewVersion {
        name: "sample".parse()?,
        files: BTreeMap::from([("model.onnx".to_owned(), b"not really a network\n".to_vec())]),
        origin: Origin::Imported,
        gates_passed: true,
        summary: serde_json::json!({"accuracy": 0.97}),
        parent: None,
        by: Caller("anna".to_owned()),
    };
    registry.publish(new.clone()).await?;
    new.files.insert(Scores::FILE.to_owned(), scores.into_bytes());
    new.files.insert(Lineage::FILE.to_owned(), lineage().to_json().into_bytes());
    new.origin = Origin::Trained;
    new.parent = Some(Version::FIRST);
    let second = registry.publish(new.clone()).await?.version;
    for version in [Version::FIRST, second] {
        let (name, alias, by) = (new.name.clone(), Alias::live(), new.by.clone());
        let promotion =
            Promotion { name, alias, version, gates: GateRule::MustPass, by, why: "first".to_owned() };
        registry.promote(promotion).await?;
    }
    registry.rollback(&new.name, &Alias::live(), &new.by, "second thoughts").await?;
    registry.close().await;
    for lock in ["open.lock", "publishing.lock"] {
        std::fs::remove_file(store.join(lock))?;
    }
    Ok(())
}
