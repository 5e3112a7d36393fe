//! RMSprop (Hinton, lecture 6e, 2012): steps divided by the root of the gradient's recent mean square.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Optimizer, Part, Settings, StepNumbers};
use crate::cpu::Arithmetic;

/// `v = rho · v + (1 − rho) · g²`, `m = momentum · m + rate · g / √(v + epsilon)`, `w −= m`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// How far one step goes (default 0.001).
    pub learning_rate: f32,
    /// Share of the mean square that each step keeps (default 0.9).
    pub rho: f32,
    /// Share of the last step that is kept (default 0).
    pub momentum: f32,
    /// Keeps the division finite (default 1e-7).
    pub epsilon: f32,
    /// Share of each weight that is taken away per unit of learning rate (default 0).
    pub weight_decay: f32,
}

impl Default for RmsProp {
    fn default() -> Self {
        let (learning_rate, epsilon) = (super::default_learning_rate(), super::default_epsilon());
        Self { learning_rate, rho: 0.9, momentum: 0.0, epsilon, weight_decay: 0.0 }
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn settings(&self) -> Settings {
        Settings {
            shares: vec![("rho", self.rho), ("momentum", self.momentum)],
            sizes: vec![("epsilon", self.epsilon), ("weight_decay", self.weight_decay)],
        }
    }

    fn memories(&self) -> usize {
        if self.momentum > 0.0 { 2 } else { 1 }
    }

    #[inline(always)]
    fn update<A: Arithmetic>(&self, step: &StepNumbers, part: Part<'_>) {
        let (rate, keep) = (step.learning_rate, step.decay(self.weight_decay));
        let (rho, epsilon) = (self.rho, self.epsilon);
        let [squares, steps] = part.memories;
        let weights = part.weights.iter_mut().zip(part.gradients).zip(squares);
        let pull = |g: f32, square: &mut f32| {
            let g = step.clip(g);
            *square = rho * *square + (1.0 - rho) * g * g;
            rate * g / (*square + epsilon).sqrt()
        };
        if steps.is_empty() {
            weights.for_each(|((w, &g), square)| *w = *w * keep - pull(g, square));
        } else {
            for (((w, &g), square), last) in weights.zip(steps) {
                *last = self.momentum * *last + pull(g, square);
                *w = *w * keep - *last;
            }
        }
    }
}
