//! What a language model's outputs are worth: the loss of each row's tokens.

use modelyard_data::{NO_TOKEN, NextTokens, OutputActivation};

use super::Sample;

/// −ln of the probability that outputs [rows, steps, logits] give each row's tokens, summed over its steps. `tokens`
/// are those of the same rows.
pub(crate) fn token_losses(
    outputs: &[f32],
    tokens: &[u32],
    steps: usize,
    activation: OutputActivation,
) -> Vec<f64> {
    let logits = outputs.len() / tokens.len().max(1);
    let row = |(outputs, tokens): (&[f32], &[u32])| {
        let wanted = outputs.chunks_exact(logits).zip(tokens).filter(|(_, token)| **token != NO_TOKEN);
        wanted.map(|(output, token)| f64::from(step_loss(output, *token as usize, activation))).sum()
    };
    outputs.chunks_exact(steps * logits).zip(tokens.chunks_exact(steps)).map(row).collect()
}

fn step_loss(output: &[f32], token: usize, activation: OutputActivation) -> f32 {
    if activation == OutputActivation::Softmax {
        return -output[token].max(f32::MIN_POSITIVE).ln();
    }
    let largest = output.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let sum: f32 = output.iter().map(|logit| (logit - largest).exp()).sum();
    largest + sum.ln() - output[token]
}

/// Losses beside the tokens and characters that they are of.
pub(crate) fn token_sample(next: &NextTokens, losses: Vec<f64>) -> Sample {
    let count = |row: &[u32]| row.iter().filter(|token| **token != NO_TOKEN).count() as u32;
    Sample::Tokens {
        losses,
        tokens: next.tokens.chunks_exact(next.steps.max(1)).map(count).collect(),
        characters: next.characters.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_those_of_the_true_tokens() {
        let ln = |p: f64| p.ln() as f32;
        let logits = [ln(0.5), ln(0.25), ln(0.25), 5.0, 5.0, 5.0].map(|logit| logit + 3.0);
        let losses = token_losses(&logits, &[1, NO_TOKEN], 2, OutputActivation::Linear);
        assert!((losses[0] - 4f64.ln()).abs() < 1e-6, "{losses:?}");
        let losses = token_losses(&[0.5, 0.5, 0.0, 1.0], &[0, 1], 1, OutputActivation::Softmax);
        assert!((losses[0] - 2f64.ln()).abs() < 1e-6 && losses[1] == 0.0, "{losses:?}");
    }
}
