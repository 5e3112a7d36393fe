//! From what the user wrote to what training needs: names become the things they name, and whatever can be known
//! to be wrong without seeing the data is told here.

use std::collections::BTreeSet;

use modelyard_data::OutputKind;
use modelyard_model::{LossSpec, OptimizerSpec};
use modelyard_registry::document::GateComparison;
use modelyard_types::ModelName;

use super::diagnostic::Problem;
use super::raw::{
    Average, CheckpointRule, ClassWeights, EarlyStopping, GateSpec, ProjectFile, TrainingSection, Warmup,
};
use super::start_from::StartingPoint;
use super::validate::{Finding, Target};
use crate::evaluate::TaskKind;
use crate::evaluate::metric::{METRICS, Metric, by_name, fits};
use crate::gates::Gate;
use crate::schedule::ScheduleSpec;

/// How the network is trained; every name resolved.
#[derive(Clone, Debug)]
pub struct Training {
    /// Whose weights it starts from; none where they are drawn.
    pub start_from: Option<StartingPoint>,
    /// What is made small; none where the task decides.
    pub loss: Option<LossSpec>,
    /// How weights are updated.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes.
    pub schedule: ScheduleSpec,
    /// How long the learning rate first rises.
    pub warmup: Option<Warmup>,
    /// Passes over the training rows, at most.
    pub epochs: usize,
    /// Rows a mini-batch.
    pub batch_size: usize,
    /// Mini-batches a step.
    pub accumulate: usize,
    /// The running average of the weights.
    pub average: Option<Average>,
    /// When to stop earlier.
    pub early_stopping: Option<EarlyStopping>,
    /// When checkpoints are written.
    pub checkpoint: CheckpointRule,
    /// How much each class counts.
    pub class_weights: Option<ClassWeights>,
    /// Label smoothing, for cross entropy.
    pub label_smoothing: Option<f32>,
    /// The largest norm of all gradients together.
    pub clip_norm: Option<f32>,
    /// The largest single gradient.
    pub clip_value: Option<f32>,
    /// The seed of everything random in training.
    pub seed: u64,
    /// Threads; none for as many as there are physical cores.
    pub threads: Option<usize>,
}

/// What early stopping or a schedule watches.
#[derive(Clone, Copy)]
pub enum StoppingMetric {
    /// The loss.
    Loss,
    /// A metric.
    Metric(&'static dyn Metric),
}

impl EarlyStopping {
    /// What is watched.
    pub fn watched(&self) -> StoppingMetric {
        StoppingMetric::named(&self.metric)
    }
}

impl StoppingMetric {
    /// `loss`, or a metric by its name.
    pub(crate) fn named(name: &str) -> Self {
        by_name(name).map_or(Self::Loss, Self::Metric)
    }

    /// Whether a larger score is a better one.
    pub(crate) fn higher_is_better(self) -> bool {
        match self {
            Self::Loss => false,
            Self::Metric(metric) => metric.higher_is_better(),
        }
    }
}

pub(super) struct Resolved {
    pub(super) name: ModelName,
    pub(super) training: Training,
    pub(super) gates: Vec<Gate>,
}

impl Finding {
    /// A complaint about a value.
    pub(super) fn at(path: impl Into<String>, problem: Problem) -> Self {
        Self { path: path.into(), target: Target::Value, problem }
    }
}

/// Resolves a file, or tells everything that is wrong with it.
pub(super) fn resolve(file: &ProjectFile) -> Result<Resolved, Vec<Finding>> {
    let mut findings = Vec::new();
    let name = file
        .project
        .name
        .parse::<ModelName>()
        .map_err(|error| findings.push(Finding::at("project.name", Problem::new(error.to_string()))))
        .ok();
    columns(file, &mut findings);
    outputs(file, &mut findings);
    let tasks = tasks(file);
    let mut gates = Vec::new();
    for (i, spec) in file.gates.iter().enumerate() {
        gate(spec, &format!("gates[{i}]"), tasks, &mut gates, &mut findings);
    }
    let training = training(&file.training, tasks, &mut findings);
    match (name, training) {
        (Some(name), Some(training)) if findings.is_empty() => Ok(Resolved { name, training, gates }),
        _ => Err(findings),
    }
}

/// Names must differ, and no output may be among the inputs.
fn columns(file: &ProjectFile, findings: &mut Vec<Finding>) {
    let mut names = BTreeSet::new();
    let inputs = file.inputs.iter().map(|input| &input.name);
    let outputs = file.outputs.iter().map(|output| &output.name);
    let paths = (0..file.inputs.len())
        .map(|i| format!("inputs[{i}].name"))
        .chain((0..file.outputs.len()).map(|i| format!("outputs[{i}].name")));
    for (name, path) in inputs.chain(outputs).zip(paths) {
        if !names.insert(name) {
            findings.push(Finding::at(path, Problem::new(format!("the name {name:?} is taken already"))));
        }
    }
    let is_forecast = file.data.windows.as_ref().is_some_and(|windows| windows.horizon > 0);
    for output in &file.outputs {
        if matches!(output.kind, OutputKind::Remaining | OutputKind::NextToken)
            || (output.kind == OutputKind::Anomaly && output.column.is_none())
        {
            continue;
        }
        let answer = output.column.as_ref().unwrap_or(&output.name);
        for (i, input) in file.inputs.iter().enumerate() {
            // What was is no answer to what will be, unless it is known ahead of time.
            let may_see = is_forecast && !input.known_future;
            if !may_see && input.columns.is_none() && input.column.as_ref().unwrap_or(&input.name) == answer {
                let remove = if is_forecast { "known_future" } else { "this input" };
                let problem =
                    Problem::new(format!("the column {answer:?} is an output and cannot be an input too"))
                        .hint(format!("the network would only learn to copy the answer: remove {remove}"));
                findings.push(Finding { path: format!("inputs[{i}]"), target: Target::Key, problem });
            }
        }
    }
}

/// One category, or any number of numbers.
fn outputs(file: &ProjectFile, findings: &mut Vec<Finding>) {
    let category = |kind| kind != OutputKind::Number;
    if file.outputs.len() > 1
        && let Some(i) = file.outputs.iter().position(|output| category(output.kind))
    {
        let problem = Problem::new("a category must be the only output")
            .expected("one output of kind \"category\", \"labels\" or \"next_token\", or one or more of kind \"number\"")
            .hint("train one project per category");
        findings.push(Finding::at(format!("outputs[{i}].kind"), problem));
    }
}

/// The tasks that the outputs can mean before the classes are counted.
fn tasks(file: &ProjectFile) -> &'static [TaskKind] {
    let horizon = file.data.windows.as_ref().map_or(0, |windows| windows.horizon);
    match file.outputs.first().map(|output| output.kind) {
        Some(OutputKind::Category) => &[TaskKind::Binary, TaskKind::Multiclass],
        Some(OutputKind::Labels) => &[TaskKind::Multilabel],
        Some(OutputKind::NextToken) => &[TaskKind::NextToken],
        Some(OutputKind::Remaining) => &[TaskKind::Remaining],
        Some(OutputKind::Anomaly) => &[TaskKind::Anomaly],
        _ if horizon > 0 => &[TaskKind::Forecast],
        _ => &[TaskKind::Regression],
    }
}

fn gate(spec: &GateSpec, path: &str, tasks: &[TaskKind], gates: &mut Vec<Gate>, findings: &mut Vec<Finding>) {
    let metric_path = format!("{path}.metric");
    let Some(metric) = by_name(&spec.metric) else {
        return findings.push(Finding::at(metric_path, unknown_metric(&spec.metric, &[])));
    };
    if let Some(problem) = misfit(metric, tasks) {
        findings.push(Finding::at(metric_path, problem));
    }
    let bounds = [(GateComparison::AtLeast, spec.at_least), (GateComparison::AtMost, spec.at_most)];
    if spec.at_least.is_none() && spec.at_most.is_none() {
        let better = if metric.higher_is_better() { "at_least" } else { "at_most" };
        let problem = Problem::new(format!("this gate on `{}` has no bound", spec.metric))
            .expected("`at_least`, `at_most`, or both")
            .hint(format!("for `{}`, add `{better} = …`", spec.metric));
        findings.push(Finding { path: path.to_owned(), target: Target::Key, problem });
    }
    for (comparison, threshold) in bounds {
        gates.extend(threshold.map(|threshold| Gate { metric, split: spec.split, comparison, threshold }));
    }
}

fn unknown_metric(name: &str, more: &[&str]) -> Problem {
    let names: Vec<&str> = more.iter().copied().chain(METRICS.iter().map(|metric| metric.name())).collect();
    Problem::new(format!("there is no metric {name:?}")).expected(names.join(", ")).nearest(name, names)
}

/// Why a metric cannot score this kind of output.
fn misfit(metric: &dyn Metric, tasks: &[TaskKind]) -> Option<Problem> {
    if tasks.iter().any(|task| fits(metric, *task)) {
        return None;
    }
    let what = match tasks {
        [TaskKind::Regression] => "numbers",
        [TaskKind::Multilabel] => "labels",
        [only] => only.as_str(),
        _ => "a category",
    };
    let fitting: Vec<&str> = METRICS
        .iter()
        .filter(|metric| tasks.iter().any(|task| fits(**metric, *task)))
        .map(|metric| metric.name())
        .collect();
    Some(Problem::new(format!("`{}` cannot score {what}", metric.name())).expected(fitting.join(", ")))
}

/// A name that must be `loss` or a metric that can score the outputs.
fn watched(name: &str, path: &str, tasks: &[TaskKind], findings: &mut Vec<Finding>) {
    match by_name(name) {
        Some(metric) => {
            findings.extend(misfit(metric, tasks).map(|problem| Finding::at(path, problem)));
        }
        None if name == "loss" => {}
        None => findings.push(Finding::at(path, unknown_metric(name, &["loss"]))),
    }
}

fn training(section: &TrainingSection, tasks: &[TaskKind], findings: &mut Vec<Finding>) -> Option<Training> {
    let wrong = |path: &str, error: serde_json::Error| Finding::at(path, Problem::new(error.to_string()));
    let loss = section.loss.as_ref().map(|loss| loss.resolve()).transpose();
    let loss = loss.map_err(|error| findings.push(wrong("training.loss", error))).ok()?;
    let optimizer = section.optimizer.resolve();
    let optimizer = optimizer.map_err(|error| findings.push(wrong("training.optimizer", error))).ok()?;
    let schedule = section.schedule.resolve();
    let schedule = schedule.map_err(|error| findings.push(wrong("training.schedule", error))).ok()?;
    if let Some(stopping) = &section.early_stopping {
        watched(&stopping.metric, "training.early_stopping.metric", tasks, findings);
    }
    if let Some(metric) = schedule.watched() {
        watched(metric, "training.schedule.metric", tasks, findings);
    }
    if let Some(warmup) = section.warmup
        && warmup.steps.is_some() == warmup.epochs.is_some()
    {
        let problem = Problem::new("a warm-up is counted either in steps or in epochs")
            .expected("warmup = { steps = 500 } or warmup = { epochs = 2 }");
        findings.push(Finding::at("training.warmup", problem));
    }
    if !tasks.contains(&TaskKind::Multiclass) {
        for (key, given) in [
            ("class_weights", section.class_weights.is_some()),
            ("label_smoothing", section.label_smoothing.is_some()),
        ] {
            if given {
                let problem = Problem::new(format!("`{key}` needs an output of kind \"category\""));
                findings.push(Finding { path: format!("training.{key}"), target: Target::Key, problem });
            }
        }
    }
    let start_from = section.start_from.as_ref().map(|start| start.resolve()).transpose();
    let start_from = start_from.map_err(|finding| findings.push(finding)).ok()?;
    Some(Training {
        start_from,
        loss,
        optimizer,
        schedule,
        warmup: section.warmup,
        epochs: section.epochs,
        batch_size: section.batch_size,
        accumulate: section.accumulate,
        average: section.average,
        early_stopping: section.early_stopping.clone(),
        checkpoint: section.checkpoint,
        class_weights: section.class_weights.clone(),
        label_smoothing: section.label_smoothing,
        clip_norm: section.clip_norm,
        clip_value: section.clip_value,
        seed: section.seed,
        threads: section.threads,
    })
}
