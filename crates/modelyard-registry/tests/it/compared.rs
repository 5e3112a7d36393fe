//! Two versions side by side.

use std::collections::BTreeMap;

use modelyard_registry::document::{Lineage, MetricValue, Scores, SplitScores};
use modelyard_registry::{FileChange, NewVersion};

use crate::support::{name, new, number, store};

fn trained(accuracy: f64, seed: u64, extra: Option<&str>) -> NewVersion {
    let metrics = BTreeMap::from([(
        "accuracy".to_owned(),
        MetricValue { value: accuracy, interval_95: None, baseline: None },
    )]);
    let split = SplitScores { rows: 360, metrics, ..SplitScores::default() };
    let scores = Scores {
        task: "classification".to_owned(),
        splits: BTreeMap::from([("test".to_owned(), split)]),
        gates: Vec::new(),
    };
    let lineage = Lineage { seed: Some(seed), program: "modelyard 0.1.0".to_owned(), ..Lineage::default() };
    let mut new = new("digits", &[("pipeline.json", b"{}")]);
    new.files.insert(Scores::FILE.to_owned(), scores.to_json().expect("finite").into_bytes());
    new.files.insert(Lineage::FILE.to_owned(), lineage.to_json().into_bytes());
    new.files.extend(extra.map(|file| (file.to_owned(), Vec::new())));
    new
}

#[tokio::test]
async fn files_scores_and_lineage_stand_side_by_side() {
    let (_folder, registry) = store().await;
    registry.publish(trained(0.97, 1, None)).await.expect("published");
    registry.publish(trained(0.98, 2, Some("card.md"))).await.expect("published");
    let both = registry.compare(&name("digits"), &number(1), &number(2)).await.expect("compared");
    let files: Vec<_> = both.files.iter().map(|file| (file.name.as_str(), file.change)).collect();
    assert_eq!(
        files,
        [
            ("card.md", FileChange::OnlySecond),
            ("lineage.json", FileChange::Changed),
            ("pipeline.json", FileChange::Same),
            ("scores.json", FileChange::Changed),
        ]
    );
    let scores: Vec<_> =
        both.scores.iter().map(|s| (s.split.as_str(), s.metric.as_str(), s.first, s.second)).collect();
    assert_eq!(scores, [("test", "accuracy", Some(0.97), Some(0.98))]);
    let lineage: Vec<_> =
        both.lineage.iter().map(|f| (f.field, f.first.as_deref(), f.second.as_deref())).collect();
    assert_eq!(lineage, [("seed", Some("1"), Some("2"))]);
    let back = registry.compare(&name("digits"), &number(2), &number(1)).await.expect("compared");
    assert_eq!(back.files[0].change, FileChange::OnlyFirst);
}

#[tokio::test]
async fn imported_versions_compare_by_what_they_have() {
    let (_folder, registry) = store().await;
    registry.publish(new("digits", &[("model.onnx", b"1")])).await.expect("published");
    registry.publish(trained(0.98, 2, None)).await.expect("published");
    let both = registry.compare(&name("digits"), &number(1), &number(2)).await.expect("compared");
    assert_eq!((both.scores.len(), both.scores[0].first), (1, None));
    assert!(both.lineage.iter().all(|field| field.first.is_none()));
}
