//! The project file as it is written. Every key is declared here, or in the crate that acts on it (data,
//! layers, losses, optimizers); the doc comments become the reference page and the JSON Schema.

use std::collections::BTreeMap;
use std::time::Duration;

use modelyard_data::{InputSpec, OutputSpec, SourceSpec};
use modelyard_model::{LossSpec, Node, OptimizerSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::named::NamedOr;
use super::start_from::StartFrom;
use crate::schedule::ScheduleSpec;

/// A Modelyard project: data, a network, how to train it and what it must reach.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectFile {
    /// What the project is called.
    pub project: ProjectSection,
    /// Where the rows come from, in which format, and how they are divided. Paths are relative to the project
    /// file.
    pub data: SourceSpec,
    /// What the network sees: one entry per input.
    #[schemars(length(min = 1))]
    pub inputs: Vec<InputSpec>,
    /// What the network is asked for: one category, labels, the next token, or one or more numbers.
    #[schemars(length(min = 1))]
    pub outputs: Vec<OutputSpec>,
    /// The network.
    pub network: NetworkSection,
    /// How it is trained.
    #[serde(default)]
    pub training: TrainingSection,
    /// What its scores must reach before it may serve.
    #[serde(default)]
    pub gates: Vec<GateSpec>,
    /// How it is served.
    #[serde(default)]
    pub serving: ServingSection,
}

/// `[project]`: what the project is called.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSection {
    /// The name under which models are registered and served: ASCII letters, digits, `-`, `_` and `.`,
    /// beginning with a letter or digit.
    pub name: String,
    /// One or two sentences for the model card: what the model is for.
    #[serde(default)]
    pub description: String,
}

/// `[network]`: the layers between the inputs and the outputs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// The layers in order, as in Keras's `Sequential`; or one `[[network.layers]]` table each. A layer takes
    /// what the one before it gives, or what its `from` names, as in Keras's functional models; the input
    /// itself is called `input`. The last layer gives what the outputs need: one unit per class (or a single one with `sigmoid` for two classes), or
    /// one unit per number.
    #[schemars(length(min = 1))]
    pub layers: Vec<Node>,
}

/// `[training]`: how the network is trained.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingSection {
    /// The trained model whose weights training starts from, rather than from drawn ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<StartFrom>,
    /// What is made small: a name, or a table with its settings. When absent: `cross_entropy` for a category
    /// (`binary_cross_entropy` where the network has a single output) and for the next token, `mse` for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<NamedOr<LossSpec>>,
    /// How weights are updated: a name, or a table with its settings such as `learning_rate`.
    pub optimizer: NamedOr<OptimizerSpec>,
    /// How the learning rate changes over the run: a name, or a table with its settings.
    pub schedule: NamedOr<ScheduleSpec>,
    /// Over how many steps or epochs the learning rate first rises from nearly 0; the schedule begins after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// How often training passes over the training rows, at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub epochs: usize,
    /// How many rows make one mini-batch. The last one of an epoch takes what is left.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub batch_size: usize,
    /// How many mini-batches make one step: as one mini-batch of all their rows, in the memory of one. The last
    /// step of an epoch takes what is left.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub accumulate: usize,
    /// Keeps a running average of the weights, which is what is scored, kept and published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<Average>,
    /// Stops when the validation rows no longer get better. When absent, every epoch is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// When training writes a checkpoint, from which `modelyard train --resume` goes on after a stop or a kill.
    pub checkpoint: CheckpointRule,
    /// How much each class counts: `"balanced"` for the inverse of its frequency, or a table from class to weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// How much of each true class's probability is spread over all classes (cross entropy only).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 0.999))]
    pub label_smoothing: Option<f32>,
    /// The largest norm of all gradients together; larger ones are scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_norm: Option<f32>,
    /// The largest value of any single gradient; larger ones are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub clip_value: Option<f32>,
    /// The seed of the first weights, the order of the rows and dropout. The same seed and the same number of
    /// threads give bit-identical weights.
    pub seed: u64,
    /// How many threads train; the number of physical cores when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
}

impl Default for TrainingSection {
    fn default() -> Self {
        Self {
            start_from: None,
            loss: None,
            optimizer: NamedOr::Name("adam".to_owned()),
            schedule: NamedOr::Name("constant".to_owned()),
            warmup: None,
            epochs: 20,
            batch_size: 32,
            accumulate: 1,
            average: None,
            early_stopping: None,
            checkpoint: CheckpointRule::default(),
            class_weights: None,
            label_smoothing: None,
            clip_norm: None,
            clip_value: None,
            seed: 0,
            threads: None,
        }
    }
}

/// `training.warmup`: one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Warmup {
    /// Steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Epochs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub epochs: Option<u64>,
}

/// `training.average`: an exponential moving average of weights and running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Average {
    /// The share of the average that each step leaves; in the first steps it is less.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub decay: f32,
}

impl Default for Average {
    fn default() -> Self {
        Self { decay: 0.999 }
    }
}

/// `training.early_stopping`: when to stop, by a metric on the validation rows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// How many epochs without improvement are allowed.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// How much better counts as improvement.
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
    /// What is watched: `loss`, or the name of a metric.
    pub metric: String,
    /// Whether the weights of the best epoch are kept rather than the last one's.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 5, min_delta: 0.0, metric: "loss".to_owned(), restore_best: true }
    }
}

/// `training.checkpoint`: every so many steps, every so many minutes, or both; every 10 minutes when neither is
/// given. One is written whenever training is stopped, too. A finished run keeps none.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRule {
    /// Steps from one checkpoint to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub every_steps: Option<u64>,
    /// Minutes from one checkpoint to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000.0), extend("exclusiveMinimum" = 0.0))]
    pub every_minutes: Option<f64>,
    /// How many checkpoints are kept: the newest ones.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: usize,
}

impl Default for CheckpointRule {
    fn default() -> Self {
        Self { every_steps: None, every_minutes: None, keep: 2 }
    }
}

impl CheckpointRule {
    /// Minutes between checkpoints where the project file says nothing.
    const MINUTES: f64 = 10.0;

    /// The time between checkpoints; none where steps alone decide.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let minutes = match (self.every_steps, self.every_minutes) {
            (None, None) => Some(Self::MINUTES),
            (_, minutes) => minutes,
        };
        minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
    }
}

/// How much each class counts in the loss.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassWeights {
    /// By a rule.
    Rule(ClassWeightRule),
    /// By hand; classes left out count 1.
    Table(BTreeMap<String, f32>),
}

/// The rules for class weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeightRule {
    /// rows / (classes × rows of the class), as in scikit-learn.
    Balanced,
}

/// `[[gates]]`: a bound that a score must keep. A version that misses one is kept for inspection, and no alias is
/// moved to it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// The metric.
    pub metric: String,
    /// The least score that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The largest score that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// The rows on which it is scored.
    #[serde(default)]
    pub split: Split,
}

/// The parts into which the rows are divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The rows that were learned from.
    Train,
    /// The rows that decided when to stop.
    Validation,
    /// The rows kept away until the end.
    #[default]
    Test,
}

impl Split {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The part's name in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// `[serving]`: how the model is served. What is absent is left to the server's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServingSection {
    /// The most rows that are computed together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub batch_size_max: Option<usize>,
    /// How long a request may wait for others to share a batch with, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub batch_delay_ms: Option<u64>,
    /// The most rows that may wait; further requests are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub queue_rows_max: Option<usize>,
    /// How long a request may take where it names no deadline itself, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub deadline_ms: Option<u64>,
    /// How many sessions compute at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<usize>,
}
