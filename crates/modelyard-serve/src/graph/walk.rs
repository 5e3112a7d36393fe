//! Which steps of a graph can run now: a pure state machine, told what the steps gave.
//!
//! A step is needed where an output, or a needed step, takes from it. What only the ways of a switch that were
//! not taken need is never run.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_registry::document::{Graph, ModelStep, OUTPUT, REQUEST, Source, Step, SwitchStep, Work};
use modelyard_types::{NamedTensor, Tensor, TensorData};

use super::combine::combine;

/// One request on its way through a graph, whose sources all name their tensors.
pub(super) struct Walk<'g> {
    graph: &'g Graph,
    /// What is there, by the step that gave it.
    given: BTreeMap<&'g str, Vec<NamedTensor>>,
    started: BTreeSet<&'g str>,
}

/// A model step that can run now.
#[derive(Debug)]
pub(super) struct Start<'g> {
    pub(super) step: &'g str,
    pub(super) model: &'g ModelStep,
    pub(super) inputs: Vec<NamedTensor>,
}

/// A step that cannot do what it should with what it got.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub(super) step: String,
    pub(super) why: String,
    /// Whether other tensors in the request would help.
    pub(super) by_request: bool,
}

impl<'g> Walk<'g> {
    /// The steps that every request needs, whichever ways its switches take.
    pub(super) fn always(graph: &'g Graph) -> impl Iterator<Item = &'g str> {
        let mut known = BTreeMap::new();
        let outputs = graph.outputs.values();
        let all: BTreeSet<&str> = outputs.flat_map(|source| surely(graph, source, &mut known)).collect();
        graph.steps.iter().map(|step| step.name.as_str()).filter(move |name| all.contains(name))
    }

    pub(super) fn new(graph: &'g Graph, request: Vec<NamedTensor>) -> Self {
        Self { graph, given: BTreeMap::from([(REQUEST, request)]), started: BTreeSet::new() }
    }

    /// The graph that it goes through.
    pub(super) fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Notes what a step gave.
    pub(super) fn give(&mut self, step: &'g str, outputs: Vec<NamedTensor>) {
        self.given.insert(step, outputs);
    }

    /// Combines and switches as far as that can be done, and gives the model steps to start.
    ///
    /// # Errors
    /// [`Stuck`] where tensors cannot be combined, or a switch gets no number.
    pub(super) fn advance(&mut self) -> Result<Vec<Start<'g>>, Stuck> {
        let mut starts = Vec::new();
        loop {
            let mut changed = false;
            for step in self.needed() {
                let name = step.name.as_str();
                if self.given.contains_key(name) || self.started.contains(name) {
                    continue;
                }
                if let Work::Model(model) = &step.work {
                    if let Some(inputs) = self.inputs(model) {
                        self.started.insert(name);
                        starts.push(Start { step: name, model, inputs });
                    }
                } else if let Some(tensor) = self.own_work(step)? {
                    self.given.insert(name, vec![NamedTensor { name: OUTPUT.to_owned(), tensor }]);
                    changed = true;
                }
            }
            if !changed {
                return Ok(starts);
            }
        }
    }

    /// The graph's outputs, once every step that was started gave what it has.
    pub(super) fn outputs(&self) -> Option<Vec<NamedTensor>> {
        let all = self.graph.outputs.iter();
        all.map(|(name, source)| Some(NamedTensor { name: name.clone(), tensor: self.find(source)?.clone() }))
            .collect()
    }

    fn find(&self, source: &Source) -> Option<&Tensor> {
        let given = self.given.get(source.step.as_str())?;
        let named = given.iter().find(|named| Some(&named.name) == source.tensor.as_ref())?;
        Some(&named.tensor)
    }

    fn inputs(&self, model: &ModelStep) -> Option<Vec<NamedTensor>> {
        let one = |(name, source): (&String, &Source)| {
            Some(NamedTensor { name: name.clone(), tensor: self.find(source)?.clone() })
        };
        model.inputs.iter().map(one).collect()
    }

    /// What a step without a model makes, where all that it needs is there.
    fn own_work(&self, step: &'g Step) -> Result<Option<Tensor>, Stuck> {
        let stuck = |why: String, by_request| Stuck { step: step.name.clone(), why, by_request };
        match &step.work {
            Work::Model(_) => Ok(None),
            Work::Combine(work) => {
                let all: Option<Vec<&Tensor>> = work.of.iter().map(|source| self.find(source)).collect();
                all.map(|all| combine(work, &all)).transpose().map_err(|why| stuck(why, false))
            }
            Work::Switch(work) => {
                let way = self.chosen(work).map_err(|why| stuck(why, true))?;
                Ok(way.and_then(|source| self.find(source)).cloned())
            }
        }
    }

    /// The way that a switch takes; none before its number is there.
    pub(super) fn chosen(&self, switch: &'g SwitchStep) -> Result<Option<&'g Source>, String> {
        let Some(tensor) = self.find(&switch.on) else { return Ok(None) };
        let value = one_number(tensor).map_err(|why| format!("{} {why}", switch.on))?;
        let case = switch.cases.iter().find(|case| case.when.holds(value));
        Ok(Some(case.map_or(&switch.default, |case| &case.take)))
    }

    /// The steps that the outputs need as far as that is known, in the graph's order.
    fn needed(&self) -> Vec<&'g Step> {
        let mut names = BTreeSet::new();
        let mut open: Vec<&str> = self.graph.outputs.values().map(|source| source.step.as_str()).collect();
        while let Some(name) = open.pop() {
            let Some(step) = self.graph.step(name).filter(|step| names.insert(step.name.as_str())) else {
                continue;
            };
            match &step.work {
                Work::Model(_) | Work::Combine(_) => {
                    open.extend(step.sources().into_iter().map(|source| source.step.as_str()));
                }
                Work::Switch(switch) => {
                    open.push(&switch.on.step);
                    // A number that is none is told when the step's turn comes.
                    open.extend(self.chosen(switch).ok().flatten().map(|source| source.step.as_str()));
                }
            }
        }
        self.graph.steps.iter().filter(|step| names.contains(step.name.as_str())).collect()
    }
}

/// The steps that a tensor needs whichever ways are taken: of a switch what all of its ways have in common.
fn surely<'g>(
    graph: &'g Graph,
    from: &Source,
    known: &mut BTreeMap<&'g str, BTreeSet<&'g str>>,
) -> BTreeSet<&'g str> {
    let Some(step) = graph.step(&from.step) else { return BTreeSet::new() };
    if let Some(all) = known.get(step.name.as_str()) {
        return all.clone();
    }
    let mut of = |source: &Source| surely(graph, source, known);
    let mut all: BTreeSet<&str> = match &step.work {
        Work::Model(_) | Work::Combine(_) => step.sources().into_iter().flat_map(&mut of).collect(),
        Work::Switch(switch) => {
            let default = of(&switch.default);
            let common = switch.cases.iter().fold(default, |common, case| &common & &of(&case.take));
            &of(&switch.on) | &common
        }
    };
    all.insert(&step.name);
    known.insert(&step.name, all.clone());
    all
}

/// The value of a tensor of one element.
fn one_number(tensor: &Tensor) -> Result<f64, String> {
    macro_rules! first {
        ($values:expr) => {
            $values.first().map(|&value| f64::from(value))
        };
    }
    let data = tensor.data();
    if data.len() != 1 {
        return Err(format!("has {} values, a switch looks at one; send one row at a time", data.len()));
    }
    let value = match data {
        TensorData::Bool(values) => first!(values),
        TensorData::U8(values) => first!(values),
        TensorData::U16(values) => first!(values),
        TensorData::U32(values) => first!(values),
        TensorData::I8(values) => first!(values),
        TensorData::I16(values) => first!(values),
        TensorData::I32(values) => first!(values),
        TensorData::F32(values) => first!(values),
        TensorData::F64(values) => first!(values),
        // Exact up to 2^53, as are the numbers of conditions.
        TensorData::I64(values) => values.first().map(|&value| value as f64),
        TensorData::U64(values) => values.first().map(|&value| value as f64),
        TensorData::F16(_) | TensorData::Bytes(_) => None,
    };
    value.ok_or_else(|| format!("is {}, which a switch cannot compare", tensor.data_type()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn graph(steps: Value, outputs: Value) -> Graph {
        let text = json!({ "format_version": 1, "steps": steps, "outputs": outputs }).to_string();
        Graph::from_json(text.as_bytes()).expect("a good graph")
    }

    fn model(name: &str, from: &str) -> Value {
        json!({ "name": name, "model": "m", "inputs": { "x": from } })
    }

    fn tensor(name: &str, values: &[f32]) -> Vec<NamedTensor> {
        let tensor = Tensor::new(vec![1, values.len()], values.to_vec().into()).expect("fits");
        vec![NamedTensor { name: name.to_owned(), tensor }]
    }

    fn started(walk: &mut Walk<'_>) -> Vec<String> {
        let starts = walk.advance().expect("nothing is stuck");
        starts.into_iter().map(|start| start.step.to_owned()).collect()
    }

    #[test]
    fn steps_start_once_what_they_take_is_there() {
        let steps = json!([
            model("last", "left.y"),
            model("left", "first.y"),
            model("right", "first.y"),
            model("first", "request.x"),
            { "name": "both", "combine": "mean", "of": ["last.y", "right.y"] }
        ]);
        let graph = graph(steps, json!({ "out": "both.output" }));
        let mut walk = Walk::new(&graph, tensor("x", &[1.0]));
        assert_eq!(started(&mut walk), ["first"]);
        assert!(started(&mut walk).is_empty(), "each starts once");
        walk.give("first", tensor("y", &[2.0]));
        assert_eq!(started(&mut walk), ["left", "right"], "both at once");
        walk.give("right", tensor("y", &[4.0]));
        assert!(started(&mut walk).is_empty());
        walk.give("left", tensor("y", &[2.0]));
        assert_eq!(started(&mut walk), ["last"]);
        assert_eq!(walk.outputs(), None);
        walk.give("last", tensor("y", &[8.0]));
        assert!(started(&mut walk).is_empty());
        assert_eq!(walk.outputs(), Some(tensor("out", &[6.0])));
    }

    #[test]
    fn what_all_ways_of_a_switch_need_is_needed_always() {
        let pick = |name: &str, case: &str, default: &str| {
            json!({ "name": name, "switch": "request.trust", "cases": [{ "when": "> 0.5", "take": case }],
                    "default": default })
        };
        let steps = json!([
            model("front", "request.x"),
            model("big", "front.y"),
            model("small", "front.y"),
            pick("inner", "big.y", "small.y"),
            pick("outer", "inner.output", "front.y"),
            model("other", "request.x"),
            pick("else", "outer.output", "other.y")
        ]);
        // Of the steps up to the one that is the output.
        for (count, want) in [(4, &["front", "inner"][..]), (5, &["front", "outer"]), (7, &["else"])] {
            let steps = &steps.as_array().expect("steps")[..count];
            let output = format!("{}.output", steps[count - 1]["name"].as_str().expect("a name"));
            let graph = graph(json!(steps), json!({ "out": output }));
            assert_eq!(Walk::always(&graph).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn what_a_switch_leaves_is_never_run() {
        let steps = json!([
            model("judge", "request.x"),
            model("big", "request.x"),
            model("small", "request.x"),
            { "name": "pick", "switch": "judge.y", "cases": [{ "when": "> 0.5", "take": "big.y" }],
              "default": "small.y" }
        ]);
        let graph = graph(steps, json!({ "out": "pick.output" }));
        assert_eq!(Walk::always(&graph).collect::<Vec<_>>(), ["judge", "pick"]);
        for (value, way) in [(0.9, "big"), (0.1, "small")] {
            let mut walk = Walk::new(&graph, tensor("x", &[1.0]));
            assert_eq!(started(&mut walk), ["judge"]);
            walk.give("judge", tensor("y", &[value]));
            assert_eq!(started(&mut walk), [way]);
            walk.give(graph.step(way).map(|step| step.name.as_str()).expect("there"), tensor("y", &[7.0]));
            assert!(started(&mut walk).is_empty());
            assert_eq!(walk.outputs(), Some(tensor("out", &[7.0])));
        }
        let mut walk = Walk::new(&graph, tensor("x", &[1.0]));
        let _ = started(&mut walk);
        walk.give("judge", tensor("y", &[1.0, 2.0]));
        let stuck = walk.advance().expect_err("two numbers");
        assert_eq!((stuck.step.as_str(), stuck.by_request), ("pick", true));
        assert!(stuck.why.contains("judge.y has 2 values"), "{}", stuck.why);
    }
}
