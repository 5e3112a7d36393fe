//! The validation rows through the engine as it is now: their loss, and their answers beside the truth.

use modelyard_data::{NextTokens, Pipeline, TargetValues};
use modelyard_model::{Engine, Targets};

use crate::error::TrainError;
use crate::evaluate::{self, Sample, token_losses, token_sample};
use crate::inputs::InputRows;
use crate::prepare::Prepared;
use crate::scores::forward_rows;

/// The mean loss and the answers.
pub(crate) fn judge(
    engine: &mut Engine,
    prepared: &Prepared,
    inputs: &InputRows<'_>,
    truth: &TargetValues,
) -> Result<(f64, Sample), TrainError> {
    let pipeline = &prepared.pipeline;
    let width = pipeline.output_width();
    // Of its own input the network should leave nothing.
    let nothing = vec![0.0; if *truth == TargetValues::Input { inputs.len() * width } else { 0 }];
    let targets = match truth {
        TargetValues::Tokens(next) => return judge_tokens(engine, pipeline, inputs, next),
        TargetValues::Input => Targets::Values(&nothing),
        TargetValues::Classes(classes) => Targets::Classes(classes),
        TargetValues::Values(values) => Targets::Values(values),
    };
    let mut all = Vec::with_capacity(inputs.len() * width);
    forward(engine, pipeline, inputs, |_, outputs| all.extend_from_slice(outputs))?;
    let loss = f64::from(engine.loss_of(&all, targets, None)?);
    let sample = evaluate::sample(pipeline, &prepared.dataset, &prepared.parts.validation, truth, &all)?;
    Ok((loss, sample))
}

/// The same for texts: the loss is the mean over tokens, without any smoothing, and no outputs are kept.
fn judge_tokens(
    engine: &mut Engine,
    pipeline: &Pipeline,
    inputs: &InputRows<'_>,
    next: &NextTokens,
) -> Result<(f64, Sample), TrainError> {
    let (steps, activation) = (next.steps, pipeline.output_activation());
    let mut losses = Vec::with_capacity(inputs.len());
    forward(engine, pipeline, inputs, |first, outputs| {
        let rows = outputs.len() / pipeline.output_width();
        let tokens = &next.tokens[first * steps..(first + rows) * steps];
        losses.extend(token_losses(outputs, tokens, steps, activation));
    })?;
    let loss = losses.iter().sum::<f64>() / next.count().max(1) as f64;
    Ok((loss, token_sample(next, losses)))
}

/// Shows the outputs of all rows, some at a time, with the place of the first of them.
fn forward(
    engine: &mut Engine,
    pipeline: &Pipeline,
    inputs: &InputRows<'_>,
    mut see: impl FnMut(usize, &[f32]),
) -> Result<(), TrainError> {
    let (mut block, mut outputs) = (Vec::new(), Vec::new());
    let places: Vec<usize> = (0..inputs.len()).collect();
    for places in places.chunks(forward_rows(pipeline.output_width())) {
        inputs.gather(places, &mut block)?;
        engine.forward(&block, places.len(), &mut outputs)?;
        pipeline.leave_residuals(&block, &mut outputs);
        see(places[0], &outputs);
    }
    Ok(())
}
