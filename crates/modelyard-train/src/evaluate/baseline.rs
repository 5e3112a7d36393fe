//! The model that learns nothing: it always answers with the most frequent class (its probabilities are the
//! classes' shares) or the mean of the training answers. A score is only worth its distance to this one's.

use modelyard_data::{NextTokens, TargetValues};

use super::series::{Detail, Series};
use super::tokens::token_sample;
use super::{Sample, Trigram};

/// What the training answers say without looking at an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Baseline {
    /// The share of each class.
    Shares(Vec<f32>),
    /// The mean of each output; of labels, the share of rows that have each.
    Means(Vec<f32>),
    /// What three tokens in a row say, for language models.
    Trigram(Box<Trigram>),
    /// For a forecast: what was one season before.
    SeasonalNaive,
}

impl Baseline {
    /// From the class of each training row.
    pub fn of_classes(truth: &[u32], classes: usize) -> Self {
        let mut counts = vec![0u64; classes];
        for class in truth {
            counts[*class as usize] += 1;
        }
        let rows = truth.len().max(1) as f32;
        Self::Shares(counts.into_iter().map(|count| count as f32 / rows).collect())
    }

    /// From the values of the training rows, rows × outputs.
    pub fn of_values(truth: &[f32], outputs: usize) -> Self {
        let rows = (truth.len() / outputs.max(1)).max(1) as f64;
        let mut sums = vec![0.0f64; outputs];
        for (i, value) in truth.iter().enumerate() {
            sums[i % outputs] += f64::from(*value);
        }
        Self::Means(sums.into_iter().map(|sum| (sum / rows) as f32).collect())
    }

    /// From the texts of the training rows, cut into so many different tokens.
    pub fn of_tokens(texts: &NextTokens, tokens: usize) -> Self {
        Self::Trigram(Box::new(Trigram::learn(texts, tokens)))
    }

    /// The rows of a sample, whose true answers these are, answered by this model.
    pub fn answer(&self, sample: &Sample, truth: &TargetValues) -> Sample {
        if let (Self::Trigram(trigram), TargetValues::Tokens(next)) = (self, truth) {
            return token_sample(next, trigram.losses(next));
        }
        let mut answered = sample.clone();
        if let Sample::Series(series) = &mut answered {
            self.answer_series(series, truth);
            return answered;
        }
        match (&mut answered, self) {
            (Sample::Classes { probabilities: answers, .. }, Self::Shares(row))
            | (
                Sample::Values { predicted: answers, .. } | Sample::Labels { probabilities: answers, .. },
                Self::Means(row),
            ) => {
                for (i, answer) in answers.iter_mut().enumerate() {
                    *answer = row[i % row.len()];
                }
            }
            _ => unreachable!("a baseline is made from the same task's answers"),
        }
        answered
    }

    fn answer_series(&self, series: &mut Series, truth: &TargetValues) {
        match (&mut series.detail, &mut series.plain) {
            (Detail::Forecast(forecast), Some(Sample::Values { predicted, .. })) => {
                *predicted = forecast.naive.clone();
                let quantiles = forecast.quantiles.len();
                forecast.said =
                    forecast.naive.iter().flat_map(|value| std::iter::repeat_n(*value, quantiles)).collect();
                forecast.intervals.clear();
            }
            (_, plain) => *plain = plain.as_ref().map(|plain| self.answer(plain, truth)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_with_what_is_most_frequent_or_the_mean() {
        let sample = Sample::Classes { truth: vec![0, 1], probabilities: vec![0.0; 4], classes: 2 };
        let truth = TargetValues::Values(Vec::new());
        let answered = Baseline::of_classes(&[1, 1, 1, 0], 2).answer(&sample, &truth);
        assert_eq!(answered.predicted_classes(), [1, 1]);
        let sample = Sample::Values { truth: vec![5.0], predicted: vec![0.0], outputs: 1 };
        let Sample::Values { predicted, .. } = Baseline::of_values(&[1.0, 3.0], 1).answer(&sample, &truth)
        else {
            panic!("numbers stay numbers");
        };
        assert_eq!(predicted, [2.0]);
    }
}
