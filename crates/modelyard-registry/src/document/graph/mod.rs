//! A graph of models: steps joined by their tensors into one endpoint, as it is kept in the registry's history.
//!
//! Nobody says in which order steps run: a step runs once the tensors that it takes are there, and only where
//! somebody needs what it gives. Steps that do not wait for each other run at once.

mod check;
mod condition;
mod step;
mod wiring;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DocumentError, TensorDocument, read, write};

pub use condition::{Comparison, Condition};
pub use step::{Case, Combine, CombineStep, ModelStep, SECURE, Source, Step, SwitchStep, TlsFiles, Work};
pub use wiring::WiredGraph;

const NAME: &str = "a graph";
const FORMAT_VERSION: u32 = 1;

/// The step's name that stands for the tensors of the request.
pub const REQUEST: &str = "request";
/// The name of the one tensor that steps without a model give.
pub const OUTPUT: &str = "output";

/// Models joined into one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The steps, in any order.
    pub steps: Vec<Step>,
    /// The outputs by name, and the tensors that they are.
    pub outputs: BTreeMap<String, Source>,
    /// Inputs that no model takes, such as a number that only a switch looks at. All others are known from
    /// the models that take them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<TensorDocument>,
}

impl Graph {
    /// The graph as JSON.
    pub fn to_json(&self) -> String {
        write(FORMAT_VERSION, self)
    }

    /// Reads what [`Graph::to_json`] wrote.
    ///
    /// # Errors
    /// What is no graph, or was written by a newer program.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        let graph: Self = read(NAME, FORMAT_VERSION, bytes)?;
        graph.check().map_err(|why| DocumentError::malformed(NAME, why))?;
        Ok(graph)
    }

    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The steps that run a model, here or on other servers.
    pub fn model_steps(&self) -> impl Iterator<Item = (&str, &ModelStep)> {
        self.steps.iter().filter_map(|step| match &step.work {
            Work::Model(model) => Some((step.name.as_str(), model)),
            Work::Combine(_) | Work::Switch(_) => None,
        })
    }
}
