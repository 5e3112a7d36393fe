//! Holds a graph against the signatures of its models: every joined tensor must have one type, and sizes that
//! can be the same. From that follows what the graph as a whole takes and gives.

use std::collections::BTreeMap;

use modelyard_types::{DataType, Dim, Signature, TensorSpec};

use super::check::nearest;
use super::{Combine, CombineStep, Graph, ModelStep, OUTPUT, REQUEST, Source, SwitchStep, Work};
use crate::document::TensorDocument;

/// A graph that was held against its models.
#[derive(Clone, Debug, PartialEq)]
pub struct WiredGraph {
    /// The graph, in which every source names its tensor.
    pub graph: Graph,
    /// What it takes and gives as a whole.
    pub signature: Signature,
}

type Specs = Vec<TensorSpec>;

impl Graph {
    /// Joins the steps, where `signatures` holds those of its model steps by the steps' names.
    ///
    /// # Errors
    /// The first tensor that does not fit where it goes, in a sentence.
    pub fn wire(mut self, signatures: &BTreeMap<String, Signature>) -> Result<WiredGraph, String> {
        let order: Vec<String> = self.in_order().into_iter().map(|step| step.name.clone()).collect();
        let mut wiring = Wiring { known: BTreeMap::new(), request: Vec::new() };
        for input in &self.inputs {
            let spec = input.to_spec().map_err(|error| error.to_string())?;
            wiring.request.push(spec);
        }
        for (name, step) in self.model_steps() {
            // Before the others, which may look at a tensor of the request that only a model explains.
            let signature = signatures.get(name);
            wiring.request(step, signature).map_err(|why| format!("step {name:?}: {why}"))?;
        }
        for name in order {
            let step = self.steps.iter_mut().find(|step| step.name == name).expect("it is one of its steps");
            let told = |why: String| format!("step {name:?}: {why}");
            let gives = match &mut step.work {
                Work::Model(model) => {
                    let signature =
                        signatures.get(&name).ok_or_else(|| told("its model is not known".into()))?;
                    wiring.model(model, signature)
                }
                Work::Combine(combine) => wiring.combine(combine),
                Work::Switch(switch) => wiring.switch(switch),
            };
            wiring.known.insert(name.clone(), gives.map_err(told)?);
        }
        let mut outputs = Vec::new();
        for (name, source) in &mut self.outputs {
            let spec = wiring.find(source).map_err(|why| format!("output {name:?}: {why}"))?;
            outputs.push(TensorSpec { name: name.clone(), ..spec });
        }
        Ok(WiredGraph { graph: self, signature: Signature { inputs: wiring.request, outputs } })
    }
}

/// What is known so far.
struct Wiring {
    /// What each step gives.
    known: BTreeMap<String, Specs>,
    /// What the request must have.
    request: Specs,
}

impl Wiring {
    /// The tensor of a source, whose name is written into it where it was left out.
    fn find(&self, source: &mut Source) -> Result<TensorSpec, String> {
        if source.step == REQUEST {
            let name = source.tensor.as_deref().unwrap_or_default();
            let found = self.request.iter().find(|spec| spec.name == name);
            return found.cloned().ok_or_else(|| {
                format!(
                    "no model says what {source} is; declare it: [[inputs]] with name, data_type and shape"
                )
            });
        }
        let specs = &self.known[&source.step];
        match (&source.tensor, specs.as_slice()) {
            (None, [only]) => {
                source.tensor = Some(only.name.clone());
                Ok(only.clone())
            }
            (None, _) => {
                Err(format!("step {:?} gives several tensors: {}; name one", source.step, names(specs)))
            }
            (Some(name), _) => specs.iter().find(|spec| spec.name == *name).cloned().ok_or_else(|| {
                let near = nearest(name, specs.iter().map(|spec| spec.name.as_str()));
                format!("step {:?} gives no {name:?}, it gives {}{near}", source.step, names(specs))
            }),
        }
    }

    fn model(&mut self, step: &mut ModelStep, signature: &Signature) -> Result<Specs, String> {
        let inputs = &signature.inputs;
        if let Some(name) = step.inputs.keys().find(|name| !inputs.iter().any(|spec| spec.name == **name)) {
            let near = nearest(name, inputs.iter().map(|spec| spec.name.as_str()));
            return Err(format!("model {} takes no {name:?}, it takes {}{near}", step.model, names(inputs)));
        }
        for want in inputs {
            let source = step.inputs.get_mut(&want.name);
            let source = source.ok_or_else(|| format!("its input {:?} gets nothing", want.name))?;
            let got = self.find(source)?;
            if !fits(&got, want) {
                let (is, must) = (told(&got), told(want));
                return Err(format!("{source} is {is}, the input {:?} must be {must}", want.name));
            }
        }
        let is_row = |spec: &&TensorSpec| spec.shape.first() != Some(&Dim::Any);
        if step.scatter_rows.is_some()
            && let Some(spec) = inputs.iter().chain(&signature.outputs).find(is_row)
        {
            let is = told(spec);
            return Err(format!(
                "it cannot be scattered: {:?} is {is}, without any number of rows",
                spec.name
            ));
        }
        Ok(signature.outputs.clone())
    }

    /// Notes what a model step wants of the request.
    fn request(&mut self, step: &ModelStep, signature: Option<&Signature>) -> Result<(), String> {
        for want in signature.into_iter().flat_map(|signature| &signature.inputs) {
            if let Some(source) = step.inputs.get(&want.name).filter(|source| source.step == REQUEST) {
                self.take_from_request(source, want)?;
            }
        }
        Ok(())
    }

    /// What several models want of one tensor of the request must go together.
    fn take_from_request(&mut self, source: &Source, want: &TensorSpec) -> Result<(), String> {
        let name = source.tensor.clone().unwrap_or_default();
        let Some(known) = self.request.iter_mut().find(|spec| spec.name == name) else {
            self.request.push(TensorSpec { name, ..want.clone() });
            return Ok(());
        };
        let both = (known.data_type == want.data_type).then(|| merged(&known.shape, &want.shape, narrower));
        match both.flatten() {
            Some(shape) => known.shape = shape,
            None => {
                let (is, must) = (told(known), told(want));
                return Err(format!("{source} is {is} elsewhere, the input {:?} must be {must}", want.name));
            }
        }
        Ok(())
    }

    fn combine(&self, step: &mut CombineStep) -> Result<Specs, String> {
        let all = step.of.iter_mut().map(|source| self.find(source)).collect::<Result<Vec<_>, _>>()?;
        let spec = alike(&all, narrower)?;
        let is_score = matches!(spec.data_type, DataType::F32 | DataType::F64);
        match step.combine {
            Combine::Mean | Combine::Weighted if !is_score => {
                Err(format!("its tensors are {}; only FP32 and FP64 have a mean", spec.data_type))
            }
            Combine::Vote if spec.data_type == DataType::F16 => {
                Err("its tensors are FP16, which has neither labels nor scores to vote with".to_owned())
            }
            Combine::Vote if is_score && spec.shape.is_empty() => {
                Err("a vote needs the scores of several classes along the last dimension".to_owned())
            }
            _ => Ok(vec![TensorSpec { name: OUTPUT.to_owned(), ..spec }]),
        }
    }

    fn switch(&self, step: &mut SwitchStep) -> Result<Specs, String> {
        let on = self.find(&mut step.on)?;
        let sizes = on.shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 });
        if on.data_type == DataType::Bytes || sizes.product::<usize>() != 1 {
            return Err(format!("{} is {}, a switch looks at one number", step.on, told(&on)));
        }
        let ways = step.cases.iter_mut().map(|case| &mut case.take).chain([&mut step.default]);
        let all = ways.map(|source| self.find(source)).collect::<Result<Vec<_>, _>>()?;
        let spec = alike(&all, wider)?;
        Ok(vec![TensorSpec { name: OUTPUT.to_owned(), ..spec }])
    }
}

/// The one specification of tensors that stand for each other.
fn alike(all: &[TensorSpec], dim: impl Fn(Dim, Dim) -> Option<Dim> + Copy) -> Result<TensorSpec, String> {
    let mut both = all.first().expect("a checked step has sources").clone();
    for other in &all[1..] {
        let shape = merged(&both.shape, &other.shape, dim).filter(|_| both.data_type == other.data_type);
        let Some(shape) = shape else {
            return Err(format!("its tensors are not alike: {} and {}", told(&both), told(other)));
        };
        both.shape = shape;
    }
    Ok(both)
}

/// The sizes of both shapes. A rank that a network does not tell goes with any.
fn merged(a: &[Dim], b: &[Dim], dim: impl Fn(Dim, Dim) -> Option<Dim>) -> Option<Vec<Dim>> {
    match (a, b) {
        ([Dim::Any], known) | (known, [Dim::Any]) => Some(known.to_vec()),
        _ if a.len() != b.len() => None,
        _ => a.iter().zip(b).map(|(&a, &b)| dim(a, b)).collect(),
    }
}

/// The size that is both; none where there is none.
fn narrower(a: Dim, b: Dim) -> Option<Dim> {
    match (a, b) {
        (Dim::Any, other) | (other, Dim::Any) => Some(other),
        (a, b) => (a == b).then_some(a),
    }
}

/// The size that may be either.
#[expect(clippy::unnecessary_wraps, reason = "the counterpart of `narrower`")]
fn wider(a: Dim, b: Dim) -> Option<Dim> {
    Some(if a == b { a } else { Dim::Any })
}

fn fits(got: &TensorSpec, want: &TensorSpec) -> bool {
    got.data_type == want.data_type && merged(&got.shape, &want.shape, narrower).is_some()
}

fn told(spec: &TensorSpec) -> String {
    let sizes: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
    format!("{} [{}]", spec.data_type, sizes.join(", "))
}

fn names(specs: &[TensorSpec]) -> String {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    names.join(", ")
}

impl ModelStep {
    /// What the model on its servers takes and gives, where that is written down.
    ///
    /// # Errors
    /// A type or shape that cannot be.
    pub fn remote_signature(&self) -> Result<Option<Signature>, String> {
        if self.takes.is_empty() || self.gives.is_empty() {
            return Ok(None);
        }
        let specs = |tensors: &[TensorDocument]| -> Result<Specs, String> {
            tensors.iter().map(|tensor| tensor.to_spec().map_err(|error| error.to_string())).collect()
        };
        Ok(Some(Signature { inputs: specs(&self.takes)?, outputs: specs(&self.gives)? }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(name: &str, data_type: DataType, shape: &[i64]) -> TensorSpec {
        let dim = |&size: &i64| usize::try_from(size).map_or(Dim::Any, Dim::Fixed);
        TensorSpec { name: name.to_owned(), data_type, shape: shape.iter().map(dim).collect() }
    }

    fn model(takes: &[i64], gives: &[i64]) -> Signature {
        let (inputs, outputs) = (spec("x", DataType::F32, takes), spec("y", DataType::F32, gives));
        Signature { inputs: vec![inputs], outputs: vec![outputs] }
    }

    /// Steps `wide` (4 → 2), `small` (2 → 1), `other` (2 → 2) and `label` (2 → INT64), and one to look at.
    fn wire(step: Value) -> Result<WiredGraph, String> {
        let run = |name: &str, from: &str| json!({ "name": name, "model": "m", "inputs": { "x": from } });
        let steps = json!([
            run("wide", "request.x"),
            run("small", "wide"),
            run("other", "wide.y"),
            run("label", "wide"),
            step
        ]);
        let outputs = json!({ "out": "s", "a": "small", "b": "other", "c": "label", "d": "wide" });
        let text = json!({ "format_version": 1, "steps": steps, "outputs": outputs }).to_string();
        let graph = Graph::from_json(text.as_bytes()).map_err(|error| error.to_string())?;
        let mut label = model(&[-1, 2], &[-1]);
        label.outputs[0].data_type = DataType::I64;
        let signatures = [
            ("wide", model(&[-1, 4], &[-1, 2])),
            ("small", model(&[-1, 2], &[-1, 1])),
            ("other", model(&[-1, 2], &[-1, 2])),
            ("label", label),
            ("s", model(&[-1, 2], &[-1, 3])),
        ];
        graph.wire(&signatures.map(|(name, signature)| (name.to_owned(), signature)).into())
    }

    #[test]
    fn a_chain_takes_what_its_first_step_takes() {
        let wired = wire(json!({ "name": "s", "model": "m", "inputs": { "x": "wide" } })).expect("fits");
        assert_eq!(wired.signature.inputs, [spec("x", DataType::F32, &[-1, 4])]);
        let out = wired.signature.outputs.iter().find(|spec| spec.name == "out");
        assert_eq!(out, Some(&spec("out", DataType::F32, &[-1, 3])));
        let s = wired.graph.step("s").expect("it is there").sources()[0].clone();
        assert_eq!(s.to_string(), "wide.y", "the only tensor was found");
    }

    #[test]
    fn tensors_that_do_not_fit_are_told() {
        for (step, want) in [
            (
                json!({ "model": "m", "inputs": { "x": "small" } }),
                "small.y is FP32 [-1, 1], the input \"x\" must be FP32 [-1, 2]",
            ),
            (json!({ "model": "m", "inputs": { "x": "label" } }), "label.y is INT64 [-1]"),
            (json!({ "model": "m", "inputs": { "x": "request.x" } }), "request.x is FP32 [-1, 4] elsewhere"),
            (json!({ "model": "m", "inputs": { "z": "wide" } }), "takes no \"z\", it takes x"),
            (
                json!({ "model": "m", "inputs": { "x": "wide.yy" } }),
                "gives no \"yy\", it gives y; did you mean \"y\"?",
            ),
            (
                json!({ "combine": "mean", "of": ["small", "other"] }),
                "not alike: FP32 [-1, 1] and FP32 [-1, 2]",
            ),
            (json!({ "combine": "mean", "of": ["label", "label"] }), "only FP32 and FP64 have a mean"),
            (json!({ "combine": "vote", "of": ["label", "label"] }), "fine"),
            (
                json!({ "switch": "wide", "default": "wide", "cases": [{ "when": "> 1", "take": "wide" }] }),
                "looks at one number",
            ),
            (
                json!({ "switch": "request.n", "default": "wide", "cases": [{ "when": "> 1", "take": "wide" }] }),
                "no model says what request.n is",
            ),
            (
                json!({ "switch": "small", "default": "wide", "cases": [{ "when": "> 1", "take": "small" }] }),
                "fine",
            ),
            (
                json!({ "switch": "small", "default": "wide", "cases": [{ "when": "> 1", "take": "label" }] }),
                "not alike",
            ),
        ] {
            let mut step = step;
            step["name"] = json!("s");
            let got = wire(step.clone()).err().unwrap_or_else(|| "fine".to_owned());
            assert!(got.contains(want), "{step}: {got}");
        }
    }
}
