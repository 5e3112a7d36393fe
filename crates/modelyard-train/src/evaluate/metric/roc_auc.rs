//! ROC AUC: how surely a row of a class gets a higher probability for it than a row of another.

use super::{Metric, Sample, TaskKind};

/// ROC AUC: how surely a row of a class gets a higher probability for it than a row of another.
pub(super) struct RocAuc;

impl Metric for RocAuc {
    fn name(&self) -> &'static str {
        "roc_auc"
    }

    fn summary(&self) -> &'static str {
        "The area under the ROC curve, ties counted half; for several classes the mean of one against the rest (`roc_auc_score`, `roc_auc_ovr`), over the classes that have rows and lack rows. Undefined where only one class occurs."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task.is_of_classes()
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Classes { truth, probabilities, classes } = sample else {
            return None;
        };
        let first = if *classes == 2 { 1 } else { 0 };
        let mut ranked: Vec<(f32, bool)> = Vec::with_capacity(truth.len());
        let areas: Vec<f64> = (first..*classes)
            .filter_map(|class| {
                ranked.clear();
                let of_class = probabilities.iter().skip(class).step_by(*classes);
                ranked.extend(of_class.zip(truth).map(|(p, t)| (*p, *t as usize == class)));
                area(&mut ranked)
            })
            .collect();
        (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }
}

/// The area under the curve of (probability, is of the class) pairs: the Mann–Whitney statistic, with the
/// mean rank for ties. None where all or none are of the class.
fn area(ranked: &mut [(f32, bool)]) -> Option<f64> {
    let positive = ranked.iter().filter(|(_, is)| *is).count();
    let negative = ranked.len() - positive;
    if positive == 0 || negative == 0 {
        return None;
    }
    ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut rank_sum = 0.0;
    let mut start = 0;
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let mean_rank = start as f64 + (tied.len() + 1) as f64 / 2.0;
        rank_sum += mean_rank * tied.iter().filter(|(_, is)| *is).count() as f64;
        start += tied.len();
    }
    let (positive, negative) = (positive as f64, negative as f64);
    Some((rank_sum - positive * (positive + 1.0) / 2.0) / (positive * negative))
}
