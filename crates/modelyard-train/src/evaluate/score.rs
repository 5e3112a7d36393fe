//! All metrics that fit a sample, as they are stored in `scores.json`.

use std::collections::BTreeMap;

use modelyard_data::{Dataset, Pipeline, TargetValues, Task};
use modelyard_registry::document::{ClassScore, ConfusionMatrix, MetricValue, SplitScores};

use super::metric::{METRICS, Metric, fitting};
use super::{Confusion, LabelCounts, Sample, TaskKind, token_losses, token_sample};
use crate::error::TrainError;

/// The names of the classes; empty for numbers.
pub fn class_names(task: &Task) -> &[String] {
    match task {
        Task::Classification { classes, .. } => classes,
        Task::Binary { classes, .. } => classes,
        Task::Labels { .. }
        | Task::NextToken { .. }
        | Task::Regression { .. }
        | Task::Forecast { .. }
        | Task::Anomaly { .. } => &[],
    }
}

/// The names of the classes or labels that an answer chooses among; empty for numbers.
pub fn label_names(task: &Task) -> &[String] {
    match task {
        Task::Labels { classes, .. } => classes,
        other => class_names(other),
    }
}

/// What kind of answer a task asks for; it decides which metrics apply.
pub fn task_kind(task: &Task) -> TaskKind {
    match task {
        Task::Labels { .. } => return TaskKind::Multilabel,
        Task::NextToken { .. } => return TaskKind::NextToken,
        _ => {}
    }
    match class_names(task).len() {
        0 => match task {
            Task::Forecast { .. } => TaskKind::Forecast,
            Task::Anomaly { .. } => TaskKind::Anomaly,
            _ => TaskKind::Regression,
        },
        1 | 2 => TaskKind::Binary,
        _ => TaskKind::Multiclass,
    }
}

/// The true answers of some rows beside what the network gave for them. `outputs` are the network's raw
/// outputs; numbers are compared in the unit of the data.
///
/// # Errors
/// [`TrainError::NoNumber`], or where the data set does not hold what is known of anomalies as it should.
pub fn sample(
    pipeline: &Pipeline,
    dataset: &Dataset,
    rows: &[usize],
    truth: &TargetValues,
    outputs: &[f32],
) -> Result<Sample, TrainError> {
    let answers = match truth {
        // The losses of tokens tell whether they are numbers.
        TargetValues::Tokens(_) => Vec::new(),
        _ => pipeline.decode_values(outputs),
    };
    all_numbers(&answers, rows.len())?;
    let plain = match truth {
        TargetValues::Tokens(next) => {
            let losses = token_losses(outputs, &next.tokens, next.steps, pipeline.output_activation());
            token_sample(next, losses)
        }
        TargetValues::Classes(truth) => Sample::Classes {
            truth: truth.clone(),
            probabilities: answers,
            classes: class_names(pipeline.task()).len(),
        },
        // What is known of anomalies is no target.
        TargetValues::Input => Sample::Values { truth: Vec::new(), predicted: Vec::new(), outputs: 1 },
        TargetValues::Values(truth) if matches!(pipeline.task(), Task::Labels { .. }) => {
            Sample::Labels { truth: truth.clone(), probabilities: answers, labels: pipeline.output_width() }
        }
        TargetValues::Values(truth) => Sample::Values {
            truth: pipeline.decode_targets(truth),
            predicted: answers,
            outputs: pipeline.task().answer_width(),
        },
    };
    super::series::wrap(pipeline, dataset, rows, outputs, plain)
}

/// Whether the answers of so many rows are numbers, each of them: NaN would pass for a class, or for a score that is
/// left out.
///
/// # Errors
/// [`TrainError::NoNumber`] names the first row that has none.
pub fn all_numbers(answers: &[f32], rows: usize) -> Result<(), TrainError> {
    match answers.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let row = at / (answers.len() / rows.max(1)).max(1) + 1;
            Err(TrainError::NoNumber { row, rows, value: answers[at] })
        }
    }
}

/// Whether scores come with intervals. Those of training rows have none: the rows were not drawn to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intervals {
    /// 95 % intervals.
    Computed,
    /// None.
    Omitted,
}

/// Every metric that fits and is defined on these rows, with its interval and what the baseline scores, whose answers
/// to the same rows `dull` holds.
pub fn score(
    sample: &Sample,
    classes: &[String],
    dull: Option<&Sample>,
    intervals: Intervals,
) -> SplitScores {
    let metrics: BTreeMap<String, MetricValue> = fitting(sample.task())
        .filter_map(|metric| Some((metric.name().to_owned(), value(metric, sample, dull, intervals)?)))
        .collect();
    if let Sample::Labels { .. } = sample {
        let classes = LabelCounts::of(sample).iter().zip(classes).map(label_score).collect();
        return SplitScores { rows: sample.rows() as u64, metrics, classes, confusion: None };
    }
    let confusion = Confusion::of(sample);
    SplitScores {
        rows: sample.rows() as u64,
        metrics,
        classes: classes
            .iter()
            .enumerate()
            .map(|(class, label)| class_score(&confusion, class, label))
            .collect(),
        confusion: (!classes.is_empty())
            .then(|| ConfusionMatrix { labels: classes.to_vec(), counts: confusion.to_lists() }),
    }
}

fn value(
    metric: &dyn Metric,
    sample: &Sample,
    dull: Option<&Sample>,
    intervals: Intervals,
) -> Option<MetricValue> {
    let finite = |score: &f64| score.is_finite();
    let (sample, dull) = (sample.seen_by(metric)?, dull.and_then(|dull| dull.seen_by(metric)));
    let value = metric.score(sample).filter(finite)?;
    let interval = match intervals {
        Intervals::Computed => metric.interval(sample, value),
        Intervals::Omitted => None,
    }
    .filter(|(low, high)| low.is_finite() && high.is_finite());
    Some(MetricValue {
        value,
        interval_95: interval.map(|(low, high)| [low, high]),
        baseline: dull.and_then(|dull| metric.score(dull)).filter(finite),
    })
}

fn label_score((counts, label): (&LabelCounts, &String)) -> ClassScore {
    ClassScore {
        label: label.clone(),
        rows: counts.truly,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
    }
}

fn class_score(confusion: &Confusion, class: usize, label: &str) -> ClassScore {
    ClassScore {
        label: label.to_owned(),
        rows: confusion.support(class),
        precision: confusion.precision(class),
        recall: confusion.recall(class),
        f1: confusion.f1(class),
    }
}

/// The metric shown while training and first in a report.
pub fn leading_metric(task: TaskKind) -> &'static dyn Metric {
    let own = METRICS.into_iter().find(|metric| metric.fits(task) && task != task.plain());
    let first = match task {
        TaskKind::Anomaly => own,
        _ => fitting(task.plain()).next(),
    };
    first.expect("every task has metrics")
}
