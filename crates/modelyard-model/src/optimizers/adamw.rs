//! AdamW (Loshchilov & Hutter 2019): Adam with weight decay switched on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adam, Optimizer, Part, Settings, StepNumbers};
use crate::cpu::Arithmetic;

/// Adam whose weights decay by `learning_rate · weight_decay` each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// How far one step goes (default 0.001).
    pub learning_rate: f32,
    /// Share of the gradient's mean that each step keeps (default 0.9).
    pub beta_1: f32,
    /// Share of the mean square that each step keeps (default 0.999).
    pub beta_2: f32,
    /// Keeps the division finite (default 1e-7).
    pub epsilon: f32,
    /// Share of each weight that is taken away per unit of learning rate (default 0.004).
    pub weight_decay: f32,
}

impl AdamW {
    #[inline(always)]
    fn adam(&self) -> Adam {
        Adam {
            learning_rate: self.learning_rate,
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            epsilon: self.epsilon,
            weight_decay: self.weight_decay,
        }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { learning_rate, beta_1, beta_2, epsilon, .. } = Adam::default();
        Self { learning_rate, beta_1, beta_2, epsilon, weight_decay: 0.004 }
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn settings(&self) -> Settings {
        self.adam().settings()
    }

    fn memories(&self) -> usize {
        self.adam().memories()
    }

    #[inline(always)]
    fn update<A: Arithmetic>(&self, step: &StepNumbers, part: Part<'_>) {
        self.adam().update::<A>(step, part);
    }
}
