//! Bits per character and perplexity: how far a language model is from knowing a text.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;

/// The sum of losses over the sum of what they are counted by.
fn mean(losses: &[f64], counts: &[u32]) -> Option<f64> {
    let count: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    (count > 0).then(|| losses.iter().sum::<f64>() / count as f64)
}

fn above_zero(metric: &dyn Metric, sample: &Sample, score: f64) -> Option<Interval> {
    let interval = interval::bootstrap(sample, score, |resample| metric.score(resample))?;
    Some(interval::clamp(interval, 0.0, f64::INFINITY))
}

/// Bits per character: comparable between tokenizers.
pub(super) struct BitsPerCharacter;

impl Metric for BitsPerCharacter {
    fn name(&self) -> &'static str {
        "bits_per_character"
    }

    fn summary(&self) -> &'static str {
        "−log2 of the probability of the texts over their characters, the end of a text counted as one; the same scale \
         for every tokenizer."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::NextToken
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Tokens { losses, characters, .. } = sample else { return None };
        mean(losses, characters).map(|nats| nats / std::f64::consts::LN_2)
    }

    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        above_zero(self, sample, score)
    }
}

/// Perplexity: as if choosing among so many tokens at each step.
pub(super) struct Perplexity;

impl Metric for Perplexity {
    fn name(&self) -> &'static str {
        "perplexity"
    }

    fn summary(&self) -> &'static str {
        "exp of the mean −ln p(true token): among how many tokens it wavers; only comparable between models of the same \
         tokens."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::NextToken
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Tokens { losses, tokens, .. } = sample else { return None };
        mean(losses, tokens).map(f64::exp)
    }

    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        above_zero(self, sample, score)
    }
}
