//! A project beside its data: everything that can be known to be wrong is told here, with the line of the project
//! file, before a number is computed. `check` stops after this; training goes on from it.

use modelyard_data::{Dataset, OutputActivation, OutputKind, Parts, Pipeline, Task};
use modelyard_model::{
    Activation, BinaryCrossEntropy, CrossEntropy, Engine, EngineConfig, LossSpec, MeanSquaredError, Network,
    NetworkSpec, Quantile,
};

use crate::class_weights::class_weights;
use crate::error::TrainError;
use crate::evaluate::metric::{by_name, fits as fits_task};
use crate::evaluate::{class_names, label_names, task_of};
use crate::fingerprint::data_digest;
use crate::locate::{at_last_layer, locate_data, locate_model};
use crate::project::{Diagnostic, Problem, Project, Split, Target};
use crate::start::{Parent, Start};

/// A project's data, read, divided and fitted, and the network that fits it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// SHA-256 of the data files.
    pub data_sha256: String,
    /// All rows.
    pub dataset: Dataset,
    /// Which rows are for what.
    pub parts: Parts,
    /// The pipeline, fitted on the training rows.
    pub pipeline: Pipeline,
    /// The network that will be trained.
    pub network: NetworkSpec,
    /// The network with the weights of another model, where training starts from one.
    pub start: Option<Start>,
    /// What training makes small.
    pub loss: LossSpec,
    /// What a person should know before training.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// The rows of a part.
    pub fn rows(&self, split: Split) -> &[usize] {
        match split {
            Split::Train => &self.parts.train,
            Split::Validation => &self.parts.validation,
            Split::Test => &self.parts.test,
        }
    }
}

/// Reads the data, divides it, fits the pipeline and checks the network and the training settings against both.
///
/// # Errors
/// [`TrainError::Project`] with the place in the project file, or [`TrainError::Data`] with the place in the data.
pub fn prepare(project: &Project) -> Result<Prepared, TrainError> {
    prepare_from(project, None)
}

/// As [`prepare`], with the model that training starts from.
///
/// # Errors
/// As [`prepare`], and where no layer of that model fits.
pub fn prepare_from(project: &Project, parent: Option<&Parent>) -> Result<Prepared, TrainError> {
    let read = Read::new(project)?;
    let parts = modelyard_data::split(&project.data().split, &read.dataset, &project.pipeline().outputs)
        .map_err(|error| locate_data(project, error))?;
    read.prepare(project, parent, parts)
}

/// A project's data as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    data_sha256: String,
    pub(crate) dataset: Dataset,
}

impl Read {
    /// Reads it.
    pub(crate) fn new(project: &Project) -> Result<Self, TrainError> {
        let data_sha256 = data_digest(project).map_err(|error| match error {
            TrainError::Data(error) => locate_data(project, error),
            other => other,
        })?;
        let dataset = modelyard_data::read(project.data(), project.folder(), &project.pipeline())
            .map_err(|error| locate_data(project, error))?;
        Ok(Self { data_sha256, dataset })
    }

    /// Fits the pipeline on the training rows and checks everything against it.
    pub(crate) fn prepare(
        self,
        project: &Project,
        parent: Option<&Parent>,
        parts: Parts,
    ) -> Result<Prepared, TrainError> {
        let pipeline = pipeline(project, parent, &self, &parts)?;
        fitted(project, parent, (self, parts, pipeline))
    }
}

/// The pipeline, fitted on the training rows.
fn pipeline(
    project: &Project,
    parent: Option<&Parent>,
    read: &Read,
    parts: &Parts,
) -> Result<Pipeline, TrainError> {
    let earlier = parent.and_then(Parent::pipeline);
    Pipeline::fit_from(&project.pipeline(), &read.dataset, &parts.train, earlier)
        .map_err(|error| locate_data(project, error))
}

/// Everything beside the fitted pipeline.
fn fitted(
    project: &Project,
    parent: Option<&Parent>,
    (read, parts, mut pipeline): (Read, Parts, Pipeline),
) -> Result<Prepared, TrainError> {
    let Read { data_sha256, dataset } = read;
    let network = project.network(&pipeline);
    let width = output_width(project, &pipeline, &network)?;
    let activation = match network.output_activation() {
        Some(Activation::Softmax) => OutputActivation::Softmax,
        Some(Activation::Sigmoid) => OutputActivation::Sigmoid,
        _ => OutputActivation::Linear,
    };
    pipeline
        .set_output_activation(width, activation)
        .map_err(|error| at_last_layer(project, Problem::new(error.to_string()).hint_from(error.hint())))?;
    let loss = loss(project, width);
    let mut warnings = pipeline.warnings().to_vec();
    warnings.extend(parts.notes.iter().cloned());
    let mut problems = rows_fit(project, &pipeline, &parts, &mut warnings);
    problems.extend(loss_fits(project, &loss));
    problems.extend(answers_among_inputs(project, &dataset));
    problems.extend(tokens_fit(project, &pipeline, &network)?);
    if !problems.is_empty() {
        return Err(TrainError::misfit(problems));
    }
    let start = parent.map(|parent| Start::new(project, parent, &network)).transpose()?;
    let prepared = Prepared { data_sha256, dataset, parts, pipeline, network, start, loss, warnings };
    try_engine(project, &prepared)?;
    let truth = prepared.pipeline.targets(&prepared.dataset, &prepared.parts.train)?;
    class_weights(project, &prepared.pipeline, &truth)?;
    for rows in [&prepared.parts.validation, &prepared.parts.test] {
        prepared.pipeline.targets(&prepared.dataset, rows)?;
    }
    Ok(prepared)
}

/// The number of values that the network gives a row, if that is what the outputs need.
fn output_width(project: &Project, pipeline: &Pipeline, network: &NetworkSpec) -> Result<usize, TrainError> {
    let shape = network.output_shape().map_err(|error| locate_model(project, error))?;
    match pipeline.task() {
        Task::NextToken { steps, tokens, .. } => return language_width(project, &shape, *steps, *tokens),
        Task::Forecast { .. } | Task::Anomaly { .. } => return series_width(project, pipeline, &shape),
        _ => {}
    }
    let classes = label_names(pipeline.task()).len();
    let one_may_do = classes == 2 && class_names(pipeline.task()).len() == 2;
    let outputs = &project.pipeline().outputs;
    let (needed, what) = match classes {
        0 => (outputs.len(), format!("there are {} number outputs", outputs.len())),
        n => (n, format!("output `{}` has {n} classes", outputs[0].name)),
    };
    match shape.as_slice() {
        [width] if *width == needed || (*width == 1 && one_may_do) => Ok(*width),
        [width] => {
            let single = if one_may_do { ", or units = 1 with activation \"sigmoid\"" } else { "" };
            let problem = Problem::new(format!("the network ends in [{width}], {what}"))
                .hint(format!("units = {needed}{single}"));
            Err(at_last_layer(project, problem))
        }
        shape => {
            let problem = Problem::new(format!("the network ends in {shape:?}, {what}"))
                .expected(format!("one vector of {needed}"))
                .hint(format!(
                    "end it with {{ type = \"flatten\" }} and {{ type = \"dense\", units = {needed} }}"
                ));
            Err(at_last_layer(project, problem))
        }
    }
}

/// The same for a language model: a logit for each token at each step.
fn language_width(
    project: &Project,
    shape: &[usize],
    steps: usize,
    tokens: usize,
) -> Result<usize, TrainError> {
    if let [given, logits] = shape
        && *given == steps
        && *logits >= tokens
    {
        return Ok(given * logits);
    }
    let problem = Problem::new(format!(
        "the network ends in {shape:?}, and the texts have {tokens} different tokens"
    ))
    .expected(format!("[{steps}, {tokens}]: at each of the {steps} steps, one number for each token"))
    .hint(format!(
        "end it with {{ type = \"dense\", units = {tokens} }} behind layers that keep the steps, such as \
             transformer_encoder with causal = true"
    ));
    Err(at_last_layer(project, problem))
}

/// The same where the network gives several numbers a row in any shape: a forecast's steps, or its own input.
fn series_width(project: &Project, pipeline: &Pipeline, shape: &[usize]) -> Result<usize, TrainError> {
    let needed = pipeline.output_width();
    if shape.iter().product::<usize>() == needed {
        return Ok(needed);
    }
    let (what, hint) = match pipeline.task() {
        Task::Forecast { horizon, quantiles, .. } if quantiles.len() > 1 => (
            format!("{} quantiles of {horizon} steps are forecast", quantiles.len()),
            format!("end it with {{ type = \"dense\", units = {needed} }}"),
        ),
        Task::Forecast { horizon, .. } => (
            format!("{horizon} steps are forecast"),
            format!("end it with {{ type = \"dense\", units = {needed} }}"),
        ),
        _ => (
            format!("it shall give back its input, {:?}", pipeline.input_shape()),
            format!("end it with {{ type = \"dense\", units = {needed} }}, or layers that keep the steps"),
        ),
    };
    Err(at_last_layer(project, Problem::new(format!("the network ends in {shape:?}, and {what}")).hint(hint)))
}

/// What training makes small: as declared, or what the outputs ask for.
fn loss(project: &Project, width: usize) -> LossSpec {
    let training = project.training();
    let kind = project.pipeline().outputs[0].kind;
    let mut loss = training.loss.clone().unwrap_or_else(|| match (kind, width) {
        (OutputKind::Labels, _) | (OutputKind::Category, 1) => {
            LossSpec::BinaryCrossEntropy(BinaryCrossEntropy::default())
        }
        (OutputKind::Category | OutputKind::NextToken, _) => LossSpec::CrossEntropy(CrossEntropy::default()),
        (OutputKind::Number | OutputKind::Remaining | OutputKind::Anomaly, _) => {
            LossSpec::MeanSquaredError(MeanSquaredError::default())
        }
    });
    let quantiles = project.pipeline().outputs[0].quantiles.clone();
    if let Some(quantiles) = quantiles
        && (training.loss.is_none() || matches!(loss, LossSpec::Quantile(_)))
    {
        loss = LossSpec::Quantile(Quantile { quantiles: quantiles.into_iter().map(|q| q as f32).collect() });
    }
    if let Some(smoothing) = training.label_smoothing {
        match &mut loss {
            LossSpec::CrossEntropy(loss) => loss.label_smoothing = smoothing,
            LossSpec::BinaryCrossEntropy(loss) => loss.label_smoothing = smoothing,
            _ => {}
        }
    }
    loss
}

/// Why a loss cannot compare what the outputs hold.
fn loss_fits(project: &Project, loss: &LossSpec) -> Option<Diagnostic> {
    let for_category =
        matches!(loss, LossSpec::CrossEntropy(_) | LossSpec::BinaryCrossEntropy(_) | LossSpec::Focal(_));
    let output = &project.pipeline().outputs[0];
    let problem = match (for_category, output.kind) {
        _ if output.quantiles.is_some() && !matches!(loss, LossSpec::Quantile(_)) => Problem::new(format!(
            "the loss `{}` learns one number a step, and output `{}` asks for quantiles",
            loss.name(),
            output.name
        ))
        .hint("loss = \"quantile\", or leave it out"),

        (false, OutputKind::Category) => Problem::new(format!(
            "the loss `{}` compares numbers, and output `{}` is a category",
            loss.name(),
            output.name
        ))
        .hint("loss = \"cross_entropy\""),
        (_, OutputKind::Labels) if !matches!(loss, LossSpec::BinaryCrossEntropy(_)) => Problem::new(format!(
            "the loss `{}` is not for output `{}`, whose labels are each true or not",
            loss.name(),
            output.name
        ))
        .hint("loss = \"binary_cross_entropy\""),
        (_, OutputKind::NextToken) if !matches!(loss, LossSpec::CrossEntropy(_)) => Problem::new(format!(
            "the loss `{}` is not for output `{}`, which is one of many tokens at each step",
            loss.name(),
            output.name
        ))
        .hint("loss = \"cross_entropy\""),
        (true, OutputKind::Number | OutputKind::Remaining | OutputKind::Anomaly) => Problem::new(format!(
            "the loss `{}` is for a category, and output `{}` is a number",
            loss.name(),
            output.name
        ))
        .hint("use mse, mae or huber"),
        _ => match (loss, &output.quantiles) {
            (LossSpec::Quantile(loss), None) if loss.quantiles.len() > 1 => Problem::new(format!(
                "the loss `quantile` learns {} numbers for each that output `{}` asks for",
                loss.quantiles.len(),
                output.name
            ))
            .hint("name the quantiles of a forecast in [[outputs]], as in quantiles = [0.1, 0.5, 0.9], or give the loss a single one"),
            _ => return None,
        },
    };
    Some(project.complain("training.loss", Target::Value, problem))
}

/// Vectors that take in an output's column: the network would only learn to copy the answer.
fn answers_among_inputs(project: &Project, dataset: &Dataset) -> Vec<Diagnostic> {
    let spec = project.pipeline();
    let mut problems = Vec::new();
    let is_forecast = spec.windows.as_ref().is_some_and(|windows| windows.horizon > 0);
    for output in &spec.outputs {
        let answer = output.column.as_ref().unwrap_or(&output.name);
        for (i, input) in spec.inputs.iter().enumerate() {
            // What was is no answer to what will be, unless it is known ahead of time.
            if is_forecast && !input.known_future {
                continue;
            }
            let column = dataset.columns().iter().find(|column| *column.name == *input.name);
            if column.is_some_and(|column| column.members.contains(answer)) {
                let problem =
                    Problem::new(format!("the column {answer:?} is an output and cannot be an input too"))
                        .hint("name the columns so that they leave it out");
                problems.push(project.complain(&format!("inputs[{i}].columns"), Target::Value, problem));
            }
        }
    }
    problems
}

/// Embeddings that know fewer tokens than the texts that they take have.
fn tokens_fit(
    project: &Project,
    pipeline: &Pipeline,
    network: &NetworkSpec,
) -> Result<Vec<Diagnostic>, TrainError> {
    let mut problems = Vec::new();
    let inputs = project.pipeline().inputs;
    for embedding in network.token_inputs().map_err(|error| locate_model(project, error))? {
        let taken = inputs.iter().filter(|input| match &embedding.part {
            Some(part) => input.part.as_ref().unwrap_or(&input.name) == part,
            None => true,
        });
        for input in taken {
            let Some(tokens) = pipeline.vocabulary_len(&input.name) else { continue };
            if tokens > embedding.tokens {
                let known = embedding.tokens;
                let problem = Problem::new(format!(
                    "the texts of `{}` have {tokens} different tokens, and the embedding knows {known}",
                    input.name
                ))
                .hint(format!("input_dim = {tokens}, or vocab_size = {known} in the input's tokenize"));
                let path = format!("network.layers[{}].input_dim", embedding.layer);
                problems.push(project.complain(&path, Target::Value, problem));
            }
        }
    }
    Ok(problems)
}

/// Whether the number of rows in each part, and the classes, fit the settings.
fn rows_fit(
    project: &Project,
    pipeline: &Pipeline,
    parts: &Parts,
    warnings: &mut Vec<String>,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let training = project.training();
    let mut complain = |path: &str, problem| problems.push(project.complain(path, Target::Value, problem));
    if training.batch_size > parts.train.len() && project.has("training.batch_size") {
        let rows = parts.train.len();
        let problem = Problem::new(format!(
            "a batch of {} rows is larger than the training part, which has {rows}",
            training.batch_size
        ));
        complain("training.batch_size", problem.hint(format!("batch_size = {rows} or less")));
    }
    if training.early_stopping.is_some() && parts.validation.is_empty() {
        let problem = Problem::new("early stopping needs validation rows, and the split leaves none")
            .hint("give [data.split] a `validation` fraction, or remove early_stopping");
        complain("training.early_stopping", problem);
    }
    if training.schedule.watched().is_some() && parts.validation.is_empty() {
        let problem = Problem::new("the schedule watches validation rows, and the split leaves none")
            .hint("give [data.split] a `validation` fraction, or use another schedule");
        complain("training.schedule", problem);
    }
    if parts.validation.is_empty() && matches!(pipeline.task(), Task::Forecast { .. } | Task::Anomaly { .. })
    {
        let problem =
            Problem::new("the split leaves no validation rows, which set the intervals or the threshold")
                .hint("give [data.split] a `validation` fraction");
        complain("data.split", problem);
    }
    if parts.test.is_empty() {
        warnings.push(
            "the split leaves no test rows: nothing will tell how good the model is on new data".into(),
        );
    }
    let task = task_of(pipeline);
    for (i, gate) in project.gate_specs().iter().enumerate() {
        let rows = match gate.split {
            Split::Train => &parts.train,
            Split::Validation => &parts.validation,
            Split::Test => &parts.test,
        };
        if rows.is_empty() {
            let problem =
                Problem::new(format!("the split leaves no {} rows to judge by", gate.split.as_str()));
            let hint = format!("give [data.split] a `{}` fraction", gate.split.as_str());
            complain(&format!("gates[{i}].split"), problem.hint(hint));
        }
        let fits = |name: &str| by_name(name).is_none_or(|metric| fits_task(metric, task));
        if !fits(&gate.metric) {
            let problem = Problem::new(format!("`{}` cannot score {}", gate.metric, task.as_str()))
                .hint(format!("`{}_macro` scores any number of classes", gate.metric));
            complain(&format!("gates[{i}].metric"), problem);
        }
    }
    problems
}

/// Plans the training of one row, so that the engine tells what it would refuse later.
fn try_engine(project: &Project, prepared: &Prepared) -> Result<(), TrainError> {
    let training = project.training();
    let network = Network::init(prepared.network.clone(), training.seed);
    let config = EngineConfig {
        loss: prepared.loss.clone(),
        optimizer: training.optimizer.clone(),
        clip_norm: training.clip_norm,
        clip_value: training.clip_value,
        average_decay: training.average.map(|average| average.decay),
        mini_batch_max: 1,
        threads: 1,
        seed: training.seed,
    };
    network
        .and_then(|network| Engine::new(network, config))
        .map(|_| ())
        .map_err(|error| locate_model(project, error))
}
