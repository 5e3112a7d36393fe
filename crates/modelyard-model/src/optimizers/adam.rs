//! Adam (Kingma & Ba 2015).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Optimizer, Part, Settings, StepNumbers};
use crate::cpu::Arithmetic;

/// `m = β₁ m + (1 − β₁) g`, `v = β₂ v + (1 − β₂) g²`, `w −= rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + epsilon)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// How far one step goes (default 0.001).
    pub learning_rate: f32,
    /// Share of the gradient's mean that each step keeps (default 0.9).
    pub beta_1: f32,
    /// Share of the mean square that each step keeps (default 0.999).
    pub beta_2: f32,
    /// Keeps the division finite (default 1e-7).
    pub epsilon: f32,
    /// Share of each weight that is taken away per unit of learning rate (default 0).
    pub weight_decay: f32,
}

impl Default for Adam {
    fn default() -> Self {
        let (learning_rate, epsilon) = (super::default_learning_rate(), super::default_epsilon());
        Self { learning_rate, beta_1: 0.9, beta_2: 0.999, epsilon, weight_decay: 0.0 }
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn settings(&self) -> Settings {
        Settings {
            shares: vec![("beta_1", self.beta_1), ("beta_2", self.beta_2)],
            sizes: vec![("epsilon", self.epsilon), ("weight_decay", self.weight_decay)],
        }
    }

    fn memories(&self) -> usize {
        2
    }

    #[inline(always)]
    fn update<A: Arithmetic>(&self, step: &StepNumbers, part: Part<'_>) {
        let (b1, b2, epsilon) = (self.beta_1, self.beta_2, self.epsilon);
        let steps = step.step as f64;
        let correction = (1.0 - f64::from(b2).powf(steps)).sqrt() / (1.0 - f64::from(b1).powf(steps));
        let rate = (f64::from(step.learning_rate) * correction) as f32;
        let keep = step.decay(self.weight_decay);
        let [means, squares] = part.memories;
        let memories = means.iter_mut().zip(squares);
        for ((w, &g), (m, v)) in part.weights.iter_mut().zip(part.gradients).zip(memories) {
            let g = step.clip(g);
            *m = A::mul_add(1.0 - b1, g - *m, *m);
            *v = A::mul_add(1.0 - b2, g * g - *v, *v);
            *w = *w * keep - rate * *m / (v.sqrt() + epsilon);
        }
    }
}
