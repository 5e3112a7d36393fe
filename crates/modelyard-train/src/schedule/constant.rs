//! No schedule at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Memory, Moment, Schedule};

/// The learning rate stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

impl Schedule for Constant {
    fn factor(&self, _at: Moment, _memory: &Memory) -> f64 {
        1.0
    }
}
