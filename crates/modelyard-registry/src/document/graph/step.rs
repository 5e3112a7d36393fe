//! The kinds of steps: a model here or on other servers, answers combined into one, and a switch.

use std::collections::BTreeMap;
use std::fmt;

use modelyard_types::{ModelName, VersionSelector};
use serde::{Deserialize, Serialize};

use super::Condition;
use crate::document::TensorDocument;

/// One step of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenStep", into = "WrittenStep")]
pub struct Step {
    /// Its name, by which other steps name its tensors.
    pub name: String,
    /// What it does.
    pub work: Work,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Runs a model.
    Model(ModelStep),
    /// Makes one tensor of several alike.
    Combine(CombineStep),
    /// Passes on one of several tensors; what only the others need is not run.
    Switch(SwitchStep),
}

/// A step that runs a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelStep {
    /// The model's name, in this store or on the servers.
    pub model: String,
    /// The version; none for the one that answers by default.
    pub version: Option<String>,
    /// The model's inputs by name, and the tensors that they get.
    pub inputs: BTreeMap<String, Source>,
    /// The servers that run it, as `host:port` of their gRPC port, behind `grpcs://` where they are asked by TLS;
    /// empty where it runs here.
    pub servers: Vec<String>,
    /// The files by which those with TLS are trusted, and trust; none where the system's own say it.
    pub tls: Option<TlsFiles>,
    /// Requests of more rows are cut into parts of at most so many, which run at once.
    pub scatter_rows: Option<usize>,
    /// What the model on the servers takes; known from the store where it runs here.
    pub takes: Vec<TensorDocument>,
    /// What the model on the servers gives.
    pub gives: Vec<TensorDocument>,
    /// Whether the model on the servers remembers sequences, and is told of them. One that runs here tells itself.
    pub sequences: bool,
}

/// Before the name of a server that is asked by TLS.
pub const SECURE: &str = "grpcs://";

/// Files in PEM, on the machine whose server asks others: read for each new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificates of those who sign servers' certificates; none for those that the system trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The certificate by which servers know who asks, and those between it and its CA's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The certificate's private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl ModelStep {
    /// Whether it runs on other servers.
    pub fn is_remote(&self) -> bool {
        !self.servers.is_empty()
    }
}

/// How several tensors become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The mean of each value.
    Mean,
    /// The mean of each value, each tensor with a weight.
    Weighted,
    /// Of labels, the one that most name; of scores along the last dimension, the share of those that find
    /// each entry the greatest. Where as many are for one as for another, the first of them wins.
    Vote,
}

/// A step that makes one tensor of several alike.
#[derive(Clone, Debug, PartialEq)]
pub struct CombineStep {
    /// How.
    pub combine: Combine,
    /// The tensors, of one type and shape.
    pub of: Vec<Source>,
    /// Their weights, relative to each other; empty unless they are weighted.
    pub weights: Vec<f64>,
}

/// A step that passes on one of several tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchStep {
    /// The number that decides: a tensor of one element.
    pub on: Source,
    /// The first whose condition holds is taken.
    pub cases: Vec<Case>,
    /// What is passed on where no condition holds.
    pub default: Source,
}

/// One way of a switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// When it is taken.
    pub when: Condition,
    /// The tensor that is passed on then.
    pub take: Source,
}

/// A tensor that another step gives, or the request: `step.tensor`, or `step` alone where it gives one only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Source {
    /// The step, or [`super::REQUEST`].
    pub step: String,
    /// The tensor's name; none for the only one.
    pub tensor: Option<String>,
}

impl From<String> for Source {
    /// Names of steps have no dots, names of tensors may.
    fn from(text: String) -> Self {
        match text.split_once('.') {
            Some((step, tensor)) => Self { step: step.to_owned(), tensor: Some(tensor.to_owned()) },
            None => Self { step: text, tensor: None },
        }
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tensor {
            Some(tensor) => write!(f, "{}.{tensor}", self.step),
            None => f.write_str(&self.step),
        }
    }
}

impl Step {
    /// Every tensor that it may take, in the order in which they are written.
    pub fn sources(&self) -> Vec<&Source> {
        match &self.work {
            Work::Model(step) => step.inputs.values().collect(),
            Work::Combine(step) => step.of.iter().collect(),
            Work::Switch(step) => {
                let cases = step.cases.iter().map(|case| &case.take);
                std::iter::once(&step.on).chain(cases).chain([&step.default]).collect()
            }
        }
    }
}

/// A step as it is written: the keys of all kinds side by side, of which one kind's may be given.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenStep {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<String, Source>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsFiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scatter_rows: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    takes: Vec<TensorDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gives: Vec<TensorDocument>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sequences: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    combine: Option<Combine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    of: Vec<Source>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    weights: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<Source>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cases: Vec<Case>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Source>,
}

impl WrittenStep {
    /// The first key given of the kinds that it is not.
    fn foreign_key(&self) -> Option<&'static str> {
        let of_model = [
            ("version", self.version.is_some()),
            ("inputs", !self.inputs.is_empty()),
            ("servers", !self.servers.is_empty()),
            ("tls", self.tls.is_some()),
            ("scatter_rows", self.scatter_rows.is_some()),
            ("takes", !self.takes.is_empty()),
            ("gives", !self.gives.is_empty()),
            ("sequences", self.sequences),
        ];
        let of_combine = [("of", !self.of.is_empty()), ("weights", !self.weights.is_empty())];
        let of_switch = [("cases", !self.cases.is_empty()), ("default", self.default.is_some())];
        let kinds = [
            (self.model.is_some(), &of_model[..]),
            (self.combine.is_some(), &of_combine),
            (self.switch.is_some(), &of_switch),
        ];
        let others = kinds.iter().filter(|(is_own, _)| !is_own).flat_map(|(_, keys)| keys.iter());
        others.into_iter().find(|(_, is_given)| *is_given).map(|(key, _)| *key)
    }
}

impl TryFrom<WrittenStep> for Step {
    type Error = String;

    fn try_from(written: WrittenStep) -> Result<Self, String> {
        let name = written.name.clone();
        let foreign = written.foreign_key();
        let kinds = [written.model.is_some(), written.combine.is_some(), written.switch.is_some()];
        if kinds.iter().filter(|is_given| **is_given).count() != 1 {
            return Err(format!("step {name:?} must have exactly one of the keys model, combine and switch"));
        }
        if let Some(key) = foreign {
            return Err(format!("step {name:?} has a key {key:?}, which is of another kind of step"));
        }
        let work = match (written.model, written.combine, written.switch) {
            (Some(model), ..) => Work::Model(ModelStep {
                model,
                version: written.version,
                inputs: written.inputs,
                servers: written.servers,
                tls: written.tls,
                scatter_rows: written.scatter_rows,
                takes: written.takes,
                gives: written.gives,
                sequences: written.sequences,
            }),
            (_, Some(combine), _) => {
                Work::Combine(CombineStep { combine, of: written.of, weights: written.weights })
            }
            (.., on) => Work::Switch(SwitchStep {
                on: on.expect("one of three is given"),
                cases: written.cases,
                default: written.default.ok_or_else(|| format!("step {name:?} has no default"))?,
            }),
        };
        Ok(Self { name, work })
    }
}

impl From<Step> for WrittenStep {
    fn from(Step { name, work }: Step) -> Self {
        let empty = Self { name, ..Self::default() };
        match work {
            Work::Model(step) => Self {
                model: Some(step.model),
                version: step.version,
                inputs: step.inputs,
                servers: step.servers,
                tls: step.tls,
                scatter_rows: step.scatter_rows,
                takes: step.takes,
                gives: step.gives,
                sequences: step.sequences,
                ..empty
            },
            Work::Combine(step) => {
                Self { combine: Some(step.combine), of: step.of, weights: step.weights, ..empty }
            }
            Work::Switch(step) => {
                Self { switch: Some(step.on), cases: step.cases, default: Some(step.default), ..empty }
            }
        }
    }
}

impl ModelStep {
    /// Its model's name, where it runs here.
    ///
    /// # Errors
    /// A name that no model can have.
    pub fn name(&self) -> Result<ModelName, String> {
        self.model.parse().map_err(|error: modelyard_types::NameError| error.to_string())
    }

    /// The version that it names.
    ///
    /// # Errors
    /// What is neither a number nor an alias.
    pub fn selector(&self) -> Result<Option<VersionSelector>, String> {
        let parse =
            |text: &String| text.parse().map_err(|error: modelyard_types::NameError| error.to_string());
        self.version.as_ref().map(parse).transpose()
    }
}
