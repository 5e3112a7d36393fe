//! Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Optimizer, Part, Settings, StepNumbers};
use crate::cpu::Arithmetic;

/// `v = momentum · v − rate · g`, `w += v` (nesterov: `w += momentum · v − rate · g`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// How far one step goes (default 0.01).
    pub learning_rate: f32,
    /// Share of the last step that is kept (default 0).
    pub momentum: f32,
    /// Looks ahead along the momentum (default false).
    pub nesterov: bool,
    /// Share of each weight that is taken away per unit of learning rate (default 0).
    pub weight_decay: f32,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    fn settings(&self) -> Settings {
        Settings {
            shares: vec![("momentum", self.momentum)],
            sizes: vec![("weight_decay", self.weight_decay)],
        }
    }

    fn memories(&self) -> usize {
        usize::from(self.momentum > 0.0)
    }

    #[inline(always)]
    fn update<A: Arithmetic>(&self, step: &StepNumbers, part: Part<'_>) {
        let (rate, keep) = (step.learning_rate, step.decay(self.weight_decay));
        let [velocity, _] = part.memories;
        if velocity.is_empty() {
            for (w, &g) in part.weights.iter_mut().zip(part.gradients) {
                *w = *w * keep - rate * step.clip(g);
            }
            return;
        }
        for ((w, &g), v) in part.weights.iter_mut().zip(part.gradients).zip(velocity) {
            let pull = rate * step.clip(g);
            *v = self.momentum * *v - pull;
            let move_by = if self.nesterov { self.momentum * *v - pull } else { *v };
            *w = *w * keep + move_by;
        }
    }
}
