//! Scores for people: every metric beside its interval and the baseline, who was taken for whom, the gates.

use std::collections::BTreeSet;

use modelyard_registry::RegistryError;
use modelyard_registry::document::{ConfusionMatrix, GateResult, Scores, SplitScores};
use modelyard_train::gate_sentence;

use crate::failure::Failure;
use crate::table::{Align, Table};

/// The splits in the order in which they are shown.
const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// The split that counts: the rows that were kept away until the end.
const TEST: &str = "test";

/// A confusion matrix of more classes than this is left to `scores.json`.
const CLASSES_MAX: usize = 12;

/// The report of a version's `scores.json`.
///
/// # Errors
/// Bytes that are no scores.
pub(crate) fn stored_scores(bytes: &[u8]) -> Result<String, Failure> {
    let scores = Scores::from_json(bytes).map_err(RegistryError::from)?;
    Ok(report(&scores))
}

/// The whole report, without a line end after the last.
pub(crate) fn report(scores: &Scores) -> String {
    let mut parts = vec![metrics(scores)];
    if let Some(test) = scores.splits.get(TEST) {
        parts.extend(test.confusion.as_ref().filter(|c| c.labels.len() <= CLASSES_MAX).map(confusion));
    }
    if !scores.gates.is_empty() {
        parts.push(scores.gates.iter().map(gate).collect::<Vec<_>>().join("\n"));
    }
    parts.join("\n\n")
}

/// A row for each metric, a column for each split; the interval and baseline of the test rows.
fn metrics(scores: &Scores) -> String {
    let splits: Vec<(&str, &SplitScores)> =
        SPLITS.iter().filter_map(|name| Some((*name, scores.splits.get(*name)?))).collect();
    let headings: Vec<String> =
        splits.iter().map(|(name, split)| format!("{name} ({})", split.rows)).collect();
    let mut columns = vec![("metric", Align::Left)];
    columns.extend(headings.iter().map(|heading| (heading.as_str(), Align::Right)));
    columns.extend([("95 % interval", Align::Right), ("baseline", Align::Right)]);
    let mut table = Table::new(&columns);
    let names: BTreeSet<&String> = splits.iter().flat_map(|(_, split)| split.metrics.keys()).collect();
    for name in names {
        let mut cells = vec![name.clone()];
        cells.extend(splits.iter().map(|(_, split)| number(split.metrics.get(name).map(|m| m.value))));
        let shown = scores.splits.get(TEST).and_then(|test| test.metrics.get(name));
        let interval = shown.and_then(|metric| metric.interval_95);
        cells.push(interval.map_or_else(dash, |[low, high]| format!("{} to {}", short(low), short(high))));
        cells.push(number(shown.and_then(|metric| metric.baseline)));
        table.row(cells);
    }
    table.render(2)
}

fn dash() -> String {
    "–".to_owned()
}

/// The same, or a dash where there is none.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, short)
}

/// Four digits that matter: 0.9852, 12.35, 1234.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.4}"),
        10.0..1000.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// True classes down, predicted ones across, on the test rows.
fn confusion(matrix: &ConfusionMatrix) -> String {
    let mut columns = vec![("truth \\ answer", Align::Left)];
    columns.extend(matrix.labels.iter().map(|label| (label.as_str(), Align::Right)));
    let mut table = Table::new(&columns);
    for (label, counts) in matrix.labels.iter().zip(&matrix.counts) {
        let cell = |count: &u64| if *count == 0 { "·".to_owned() } else { count.to_string() };
        table.row(std::iter::once(label.clone()).chain(counts.iter().map(cell)));
    }
    table.render(2)
}

fn gate(gate: &GateResult) -> String {
    format!("  gate {}", gate_sentence(gate))
}

#[cfg(test)]
mod tests {
    use modelyard_registry::document::{GateComparison, MetricValue};

    use super::*;

    #[test]
    fn the_report_shows_scores_intervals_confusion_and_gates() {
        let metric = |value, interval_95, baseline| MetricValue { value, interval_95, baseline };
        let mut scores = Scores { task: "classification".to_owned(), ..Scores::default() };
        for (name, value) in [("train", 1.0), ("test", 0.975)] {
            let mut split = SplitScores { rows: 40, ..SplitScores::default() };
            let interval = Some([0.871, 0.996]);
            split.metrics.insert("accuracy".to_owned(), metric(value, interval, Some(0.5)));
            split.confusion = Some(ConfusionMatrix {
                labels: vec!["no".to_owned(), "yes".to_owned()],
                counts: vec![vec![20, 0], vec![1, 19]],
            });
            scores.splits.insert(name.to_owned(), split);
        }
        scores.gates.push(GateResult {
            metric: "accuracy".to_owned(),
            comparison: GateComparison::AtLeast,
            threshold: 0.98,
            split: "test".to_owned(),
            value: Some(0.975),
            passed: false,
        });
        assert_eq!(
            report(&scores),
            "  metric    train (40)  test (40)     95 % interval  baseline\n  \
               accuracy      1.0000     0.9750  0.8710 to 0.9960    0.5000\n\n  \
               truth \\ answer  no  yes\n  \
               no              20    ·\n  \
               yes              1   19\n\n  \
               gate missed: test accuracy >= 0.98, reached 0.9750, 0.0050 away"
        );
    }
}
