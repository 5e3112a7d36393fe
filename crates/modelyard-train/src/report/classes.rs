//! Answers that are classes: which was taken for which, and whether probabilities can be trusted.

use std::fmt::Write as _;

use modelyard_registry::document::{ConfusionMatrix, SplitScores};

use super::html::{escape, number, section, table};
use super::svg::{Chart, Guide, Mark, Series};

/// Confusion matrices of more classes than this are too wide for a page.
const CLASSES_SHOWN_MAX: usize = 30;

/// Bins of the reliability diagram.
const BINS: usize = 10;

pub(super) fn classes(scores: &SplitScores, truth: &[u32], probabilities: &[f32], count: usize) -> String {
    let mut html = String::new();
    if let Some(matrix) = scores.confusion.as_ref().filter(|matrix| matrix.labels.len() <= CLASSES_SHOWN_MAX)
    {
        html.push_str(&section("Which class was taken for which", &confusion(matrix)));
    }
    let rows = scores.classes.iter().map(|class| {
        let scores = [class.precision, class.recall, class.f1].map(number);
        [vec![class.label.clone(), class.rows.to_string()], scores.to_vec()].concat()
    });
    html.push_str(&section(
        "Class by class",
        &table("", &["class", "rows", "precision", "recall", "f1"], rows),
    ));
    html.push_str(&section(
        "Whether its probabilities can be trusted",
        &calibration(truth, probabilities, count),
    ));
    html
}

fn confusion(matrix: &ConfusionMatrix) -> String {
    let mut html =
        "<table class=\"confusion\"><caption class=\"quiet left\">Rows: the truth. Columns: the answer. \
                    Darker: a larger share of the row.</caption><thead><tr><th scope=\"col\"></th>"
            .to_owned();
    for label in &matrix.labels {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(label));
    }
    html.push_str("</tr></thead><tbody>");
    for (truth, (label, counts)) in matrix.labels.iter().zip(&matrix.counts).enumerate() {
        let _ = write!(html, "<tr><th scope=\"row\" class=\"left\">{}</th>", escape(label));
        let all = counts.iter().sum::<u64>().max(1);
        for (answer, count) in counts.iter().enumerate() {
            let hit = if answer == truth { " class=\"hit\"" } else { "" };
            let share = *count as f64 / all as f64;
            let _ = write!(html, "<td{hit} style=\"--share:{share:.3}\">{count}</td>");
        }
        html.push_str("</tr>");
    }
    html + "</tbody></table>"
}

/// One bin of the reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    rows: usize,
    hits: usize,
    confidence: f64,
}

impl Bin {
    fn accuracy(self) -> f64 {
        self.hits as f64 / self.rows as f64
    }

    fn mean_confidence(self) -> f64 {
        self.confidence / self.rows as f64
    }
}

/// Rows by the probability of their answer (Guo et al. 2017).
fn bins(truth: &[u32], probabilities: &[f32], classes: usize) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (&truth, row) in truth.iter().zip(probabilities.chunks_exact(classes.max(1))) {
        let (answer, confidence) = super::likeliest(row);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.rows += 1;
        bin.hits += usize::from(answer == truth as usize);
        bin.confidence += confidence;
    }
    bins
}

fn calibration(truth: &[u32], probabilities: &[f32], classes: usize) -> String {
    let bins = bins(truth, probabilities, classes);
    let filled: Vec<Bin> = bins.into_iter().filter(|bin| bin.rows > 0).collect();
    let rows: usize = filled.iter().map(|bin| bin.rows).sum();
    let gap = |bin: &Bin| bin.rows as f64 * (bin.accuracy() - bin.mean_confidence()).abs();
    let error = filled.iter().map(gap).sum::<f64>() / rows.max(1) as f64;
    let points = filled.iter().map(|bin| (bin.mean_confidence(), bin.accuracy())).collect();
    let chart = Chart {
        title: "Reliability: how often answers of some probability are right. On the dashed line, as often as it says.",
        x: "probability of the answer",
        y: "share of right answers",
        guide: Guide::Diagonal,
        series: vec![Series { name: "test rows".to_owned(), mark: Mark::Line, points }],
    };
    let listed = filled
        .iter()
        .map(|bin| vec![number(bin.mean_confidence()), number(bin.accuracy()), bin.rows.to_string()]);
    format!(
        "<p>Expected calibration error: {}.</p>{}{}",
        number(error),
        chart.figure(),
        table("", &["mean probability", "share right", "rows"], listed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fall_into_the_bin_of_their_answer() {
        let bins = bins(&[0, 1, 1], &[0.95, 0.05, 0.92, 0.08, 0.0, 1.0], 2);
        let last = bins[9];
        assert_eq!((last.rows, last.hits), (3, 2));
        assert!((last.mean_confidence() - 2.87 / 3.0).abs() < 1e-6);
        assert!(bins[..9].iter().all(|bin| bin.rows == 0));
    }
}
