//! The validation rows through the engine as it is now: their loss, and their answers beside the truth.

use modelyard_data::{Pipeline, TargetValues};
use modelyard_model::{Engine, Targets};

use crate::error::TrainError;
use crate::evaluate::{self, Sample, token_losses, token_sample};
use crate::inputs::InputRows;
use crate::scores::forward_rows;

/// The mean loss and the answers. Of texts, the loss is the mean over tokens, without any smoothing.
pub(crate) fn judge(
    engine: &mut Engine,
    pipeline: &Pipeline,
    inputs: &InputRows<'_>,
    truth: &TargetValues,
) -> Result<(f64, Sample), TrainError> {
    let targets = match truth {
        TargetValues::Classes(classes) => Targets::Classes(classes),
        TargetValues::Values(values) => Targets::Values(values),
        TargetValues::Tokens(next) => {
            let (steps, activation) = (next.steps, pipeline.output_activation());
            let mut losses = Vec::with_capacity(inputs.len());
            forward(engine, pipeline, inputs, |first, outputs| {
                let tokens = &next.tokens[first * steps..];
                let rows = outputs.len() / pipeline.output_width();
                losses.extend(token_losses(outputs, &tokens[..rows * steps], steps, activation));
            })?;
            let sample = token_sample(next, losses);
            let Sample::Tokens { losses, tokens, .. } = &sample else { unreachable!("made just above") };
            let count = tokens.iter().map(|count| u64::from(*count)).sum::<u64>().max(1);
            return Ok((losses.iter().sum::<f64>() / count as f64, sample));
        }
    };
    let mut all = Vec::with_capacity(inputs.len() * pipeline.output_width());
    forward(engine, pipeline, inputs, |_, outputs| all.extend_from_slice(outputs))?;
    let loss = f64::from(engine.loss_of(&all, targets, None)?);
    Ok((loss, evaluate::sample(pipeline, truth, &all)))
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
        see(places[0], &outputs);
    }
    Ok(())
}
