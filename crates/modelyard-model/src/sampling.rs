//! Draws the next token from what a network expects: temperature, the k most likely, the likeliest mass p.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::rng::Rng;

/// How boldly tokens are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Logits are divided by this: below 1 bolder choices get rarer, 0 always takes the likeliest (default 1).
    #[serde(default = "default_temperature")]
    pub temperature: f32,
    /// Only so many of the likeliest tokens are drawn from (default: all).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Only the fewest likeliest tokens are drawn from that together have at least this probability (Holtzman et al.
    /// 2020, "The curious case of neural text degeneration"; default: all).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
}

fn default_temperature() -> f32 {
    1.0
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: default_temperature(), top_k: None, top_p: None }
    }
}

/// Draws tokens; the same seed and the same logits give the same tokens.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    /// In order.
    excluded: Vec<u32>,
    rng: Rng,
    /// Logit, then probability, and token, likeliest first.
    candidates: Vec<(f64, u32)>,
}

impl Sampler {
    /// A sampler that never draws the `excluded` tokens: padding, for one.
    ///
    /// # Errors
    /// Where a setting can never work.
    pub fn new(sampling: Sampling, excluded: &[u32], seed: u64) -> Result<Self, ModelError> {
        let refused = |message: String| Err(ModelError::sequence(message, None));
        if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
            return refused(format!("temperature must be 0 or above, it is {}", sampling.temperature));
        }
        if sampling.top_k == Some(0) {
            return refused("top_k must be at least 1".to_owned());
        }
        match sampling.top_p {
            Some(top_p) if !(top_p > 0.0 && top_p <= 1.0) => {
                refused(format!("top_p must be above 0 and at most 1, it is {top_p}"))
            }
            _ => {
                Ok(Self { sampling, excluded: sorted(excluded), rng: Rng::new(seed), candidates: Vec::new() })
            }
        }
    }

    /// Draws a token by its logit; `logits` holds one for each token.
    ///
    /// # Errors
    /// Where no token is left that has a finite logit.
    pub fn sample(&mut self, logits: &[f32]) -> Result<u32, ModelError> {
        let finite = (0..)
            .zip(logits)
            .filter(|(token, logit)| logit.is_finite() && self.excluded.binary_search(token).is_err());
        self.candidates.clear();
        self.candidates.extend(finite.map(|(token, &logit)| (f64::from(logit), token)));
        self.candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let Some(&(largest, likeliest)) = self.candidates.first() else {
            let message =
                "no token is left to draw: all logits are infinite or no numbers, or their tokens excluded";
            return Err(ModelError::sequence(message, None));
        };
        let temperature = f64::from(self.sampling.temperature);
        if temperature == 0.0 {
            return Ok(likeliest);
        }
        self.candidates.truncate(self.sampling.top_k.unwrap_or(usize::MAX));
        for candidate in &mut self.candidates {
            candidate.0 = ((candidate.0 - largest) / temperature).exp();
        }
        let total: f64 = self.candidates.iter().map(|candidate| candidate.0).sum();
        let mass = total * f64::from(self.sampling.top_p.unwrap_or(1.0));
        Ok(self.draw(mass).unwrap_or(likeliest))
    }

    /// Draws among the first candidates that together reach this mass.
    fn draw(&mut self, mass: f64) -> Option<u32> {
        let mut reached = 0.0;
        let reaching = self.candidates.iter().position(|candidate| {
            reached += candidate.0;
            reached >= mass
        });
        let kept = reaching.map_or(self.candidates.len(), |last| last + 1);
        let mut left = f64::from(self.rng.uniform()) * reached;
        let hit = self.candidates[..kept].iter().find(|candidate| {
            left -= candidate.0;
            left < 0.0
        });
        hit.or(self.candidates[..kept].last()).map(|candidate| candidate.1)
    }
}

fn sorted(tokens: &[u32]) -> Vec<u32> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities ½, ¼, ⅛, ⅛ of the tokens 1, 3, 0 and 2.
    const LOGITS: [f32; 4] = [-2.079_441_5, -std::f32::consts::LN_2, -2.079_441_5, -1.386_294_4];

    fn check(sampling: Sampling, excluded: &[u32], wanted: [f64; 4]) {
        let mut sampler = Sampler::new(sampling.clone(), excluded, 3).expect("settings that can work");
        let mut counts = [0.0; 4];
        let draws = 20_000;
        for _ in 0..draws {
            counts[sampler.sample(&LOGITS).expect("finite") as usize] += 1.0 / f64::from(draws);
        }
        let near = counts.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 0.012);
        assert!(near, "{sampling:?}: {counts:?} for {wanted:?}");
    }

    #[test]
    fn tokens_come_as_often_as_they_should() {
        let all = Sampling::default();
        check(all.clone(), &[], [0.125, 0.5, 0.125, 0.25]);
        check(all.clone(), &[1], [0.25, 0.0, 0.25, 0.5]);
        check(Sampling { temperature: 0.0, ..all.clone() }, &[], [0.0, 1.0, 0.0, 0.0]);
        check(Sampling { temperature: 0.5, ..all.clone() }, &[], [1.0, 16.0, 1.0, 4.0].map(|x| x / 22.0));
        check(Sampling { top_k: Some(2), ..all.clone() }, &[], [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        check(Sampling { top_k: Some(99), ..all.clone() }, &[], [0.125, 0.5, 0.125, 0.25]);
        check(Sampling { top_p: Some(0.4), ..all.clone() }, &[], [0.0, 1.0, 0.0, 0.0]);
        check(Sampling { top_p: Some(0.7), ..all.clone() }, &[], [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        check(Sampling { top_p: Some(1.0), top_k: Some(1), ..all }, &[], [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling::default(), &[], seed).expect("settings that can work");
            (0..40).map(|_| sampler.sample(&LOGITS).expect("finite")).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let plain = Sampling::default;
        for (sampling, wanted) in [
            (Sampling { temperature: -1.0, ..plain() }, "temperature must be 0 or above, it is -1"),
            (Sampling { temperature: f32::NAN, ..plain() }, "temperature must be"),
            (Sampling { top_k: Some(0), ..plain() }, "top_k must be at least 1"),
            (Sampling { top_p: Some(0.0), ..plain() }, "top_p must be above 0"),
            (Sampling { top_p: Some(1.1), ..plain() }, "top_p must be above 0 and at most 1, it is 1.1"),
        ] {
            let error = Sampler::new(sampling, &[], 1).expect_err(wanted).to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let mut sampler = Sampler::new(plain(), &[2], 1).expect("settings that can work");
        assert!(sampler.sample(&[f32::NAN, f32::INFINITY, 1.0]).is_err());
        assert_eq!(sampler.sample(&[f32::NAN, 1.0, 9.0]).expect("one is left"), 1);
    }
}
