//! Cuts an ONNX graph into stages at named tensors, so that a large model can run on several servers.
//!
//! A stage holds the nodes that its tensor needs and no earlier stage has; the last one holds the rest. What a
//! stage makes and a later one uses becomes an output here and an input there. What depends on constants only
//! goes along wherever it is used.

mod needs;
mod probe;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use modelyard_model::onnx::Message;
use modelyard_model::onnx::proto::{GraphProto, ModelProto, TypeProto, ValueInfoProto};

use crate::inspect::{Inspected, inspect};
use crate::runtimes::Runtimes;
use crate::{OnnxLimits, RuntimeError};
use needs::{Maker, Needs};
use probe::probe;

/// A tensor less like any named one than this is not suggested.
const LIKENESS_MIN: f64 = 0.7;

/// A model in stages.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitOnnx {
    /// The stages, each behind those that it takes from.
    pub stages: Vec<Stage>,
    /// The model's outputs, in its order: the name, and the index of the stage that gives it.
    pub outputs: Vec<(String, usize)>,
}

/// A part of a model that is a model of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The ONNX file.
    pub onnx: Vec<u8>,
    /// Its inputs by name, and the index of the stage that gives each; none for those of the whole model.
    pub inputs: Vec<(String, Option<usize>)>,
}

/// Cuts a model at these tensors: one stage for each of them, and one for the rest. Types and shapes of the
/// tensors that cross a cut are those that the file declares; where it does not, the model is run a few
/// times by one of the engines to see them.
///
/// # Errors
/// As [`crate::inspect_onnx`]; [`RuntimeError::CannotSplit`] for a tensor that is not there or that no output
/// needs, a cut that leaves a stage without nodes or inputs, a crossing tensor whose type cannot be found out, and
/// a stage that would not be taken in as a model of its own.
pub fn split_onnx(
    bytes: &[u8],
    cuts: &[String],
    limits: &OnnxLimits,
    runtimes: &Runtimes,
) -> Result<SplitOnnx, RuntimeError> {
    let inspected = inspect(bytes, limits)?;
    let graph = inspected.graph();
    let needs = Needs::of(graph);
    let of_stage = assign(graph, &needs, cuts)?;
    let stages = of_stage.iter().copied().max().flatten().map_or(0, |last| last + 1);
    let plans: Vec<Plan> = (0..stages).map(|stage| Plan::of(stage, graph, &needs, &of_stage)).collect();
    let crossing: BTreeSet<&str> = plans
        .iter()
        .flat_map(|plan| &plan.inputs)
        .filter(|(_, from)| from.is_some())
        .map(|(n, _)| *n)
        .collect();
    let types = types(&inspected, &needs, &crossing, runtimes)?;
    let outputs: Vec<(String, usize)> = graph
        .output
        .iter()
        .map(|output| match needs.maker(&output.name) {
            Some(Maker::Node(at)) => Ok((output.name.clone(), of_stage[at].unwrap_or(stages - 1))),
            _ => Err(cannot(format!("its output {:?} is no node's", output.name), None)),
        })
        .collect::<Result<_, _>>()?;
    let model = inspected.model();
    let mut written = Vec::new();
    for (stage, plan) in plans.iter().enumerate() {
        if plan.inputs.is_empty() {
            let what = format!("stage {} would take no input: it depends on constants only", stage + 1);
            return Err(cannot(what, Some("cut at another tensor".to_owned())));
        }
        let gives = gives(stage, &plans, &outputs);
        let onnx = write(model, graph, plan, &gives, &types);
        inspect(&onnx, limits).map_err(|error| {
            let hint = error.hint().unwrap_or_else(|| "cut at another tensor".to_owned());
            cannot(format!("stage {} would be no good model: {error}", stage + 1), Some(hint))
        })?;
        let inputs = plan.inputs.iter().map(|(name, from)| ((*name).to_owned(), *from)).collect();
        written.push(Stage { onnx, inputs });
    }
    Ok(SplitOnnx { stages: written, outputs })
}

/// The stage of each node; none for nodes that depend on constants only, or that no output needs.
fn assign(
    graph: &GraphProto,
    needs: &Needs<'_>,
    cuts: &[String],
) -> Result<Vec<Option<usize>>, RuntimeError> {
    let last: Vec<usize> = output_nodes(graph, needs).collect();
    let at = cut_nodes(graph, needs, cuts, &needs.ancestors(&last))?;
    let mut of_stage: Vec<Option<usize>> = vec![None; graph.node.len()];
    let ends = at.iter().map(|(node, name)| (vec![*node], Some(*name)));
    for (stage, (nodes, name)) in ends.chain([(last, None)]).enumerate() {
        let mut found = false;
        for node in needs.ancestors(&nodes) {
            if of_stage[node].is_none() && !needs.is_constant(node) {
                of_stage[node] = Some(stage);
                found = true;
            }
        }
        if !found {
            let what = match name {
                Some(name) => format!("the cut at {name:?} leaves nothing between it and the cut before it"),
                None => "nothing is left behind the last cut".to_owned(),
            };
            return Err(cannot(what, Some("leave it out".to_owned())));
        }
    }
    Ok(of_stage)
}

/// The nodes that give the model's outputs.
fn output_nodes(graph: &GraphProto, needs: &Needs<'_>) -> impl Iterator<Item = usize> {
    graph.output.iter().filter_map(|output| match needs.maker(&output.name) {
        Some(Maker::Node(node)) => Some(node),
        _ => None,
    })
}

/// The nodes that the cuts are behind, in the file's order; `needed` are those that the outputs come from.
fn cut_nodes<'c>(
    graph: &GraphProto,
    needs: &Needs<'_>,
    cuts: &'c [String],
    needed: &BTreeSet<usize>,
) -> Result<Vec<(usize, &'c String)>, RuntimeError> {
    let mut at = Vec::new();
    for cut in cuts {
        let (what, hint) = match needs.maker(cut) {
            None => return Err(unknown(graph, cut)),
            Some(Maker::Node(node)) if !needs.is_constant(node) => {
                if needed.contains(&node) {
                    at.push((node, cut));
                    continue;
                }
                (format!("no output of the model needs {cut:?}"), "cut at a tensor that leads to one")
            }
            Some(_) => (
                format!("{cut:?} is an input or a constant, which no stage makes"),
                "name the output of a node",
            ),
        };
        return Err(cannot(what, Some(hint.to_owned())));
    }
    // Nodes of a valid file stand behind those whose values they use.
    at.sort_unstable();
    Ok(at)
}

/// What one stage is made of.
struct Plan<'g> {
    /// Its nodes by index, in the file's order, with the constants' that they use.
    nodes: BTreeSet<usize>,
    /// Its inputs, and the stage that gives each.
    inputs: BTreeMap<&'g str, Option<usize>>,
    /// The constants that it uses.
    constants: BTreeSet<&'g str>,
}

impl<'g> Plan<'g> {
    fn of(stage: usize, graph: &'g GraphProto, needs: &Needs<'g>, of_stage: &[Option<usize>]) -> Self {
        let mut plan = Self { nodes: BTreeSet::new(), inputs: BTreeMap::new(), constants: BTreeSet::new() };
        let mut open: Vec<usize> =
            (0..graph.node.len()).filter(|&node| of_stage[node] == Some(stage)).collect();
        let is_last = !of_stage.iter().flatten().any(|&other| other > stage);
        if is_last {
            // Outputs that depend on constants only belong to no stage: the last one gives them.
            open.extend(output_nodes(graph, needs).filter(|&node| needs.is_constant(node)));
        }
        while let Some(node) = open.pop() {
            if !plan.nodes.insert(node) {
                continue;
            }
            for &name in needs.used_by(node) {
                match needs.maker(name) {
                    Some(Maker::Node(maker)) if needs.is_constant(maker) => open.push(maker),
                    Some(Maker::Node(maker)) if of_stage[maker] != Some(stage) => {
                        plan.inputs.insert(name, of_stage[maker]);
                    }
                    Some(Maker::Node(_)) | None => {}
                    Some(Maker::Input) => drop(plan.inputs.insert(name, None)),
                    Some(Maker::Constant) => drop(plan.constants.insert(name)),
                }
            }
        }
        plan
    }
}

/// The names that a stage gives: the model's outputs first, then what only later stages use.
fn gives(stage: usize, plans: &[Plan<'_>], outputs: &[(String, usize)]) -> Vec<String> {
    let mut names: Vec<String> =
        outputs.iter().filter(|(_, from)| *from == stage).map(|(name, _)| name.clone()).collect();
    for (name, _) in plans.iter().flat_map(|plan| &plan.inputs).filter(|(_, from)| **from == Some(stage)) {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    names
}

/// The types of all values that the file declares, and of those that cross a cut.
fn types(
    inspected: &Inspected,
    needs: &Needs<'_>,
    crossing: &BTreeSet<&str>,
    runtimes: &Runtimes,
) -> Result<HashMap<String, TypeProto>, RuntimeError> {
    let graph = inspected.graph();
    let declared = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
    let mut types: HashMap<String, TypeProto> =
        declared.filter_map(|value| Some((value.name.clone(), value.r#type.clone()?))).collect();
    for name in crossing {
        if !types.get(*name).is_some_and(has_rank) {
            let found = probe(inspected, needs, name, runtimes)?;
            types.insert((*name).to_owned(), found);
        }
    }
    Ok(types)
}

/// Whether a type tells at least how many dimensions there are.
fn has_rank(value: &TypeProto) -> bool {
    use modelyard_model::onnx::proto::type_proto::Value;
    matches!(&value.value, Some(Value::Tensor(tensor)) if tensor.shape.is_some())
}

fn write(
    model: &ModelProto,
    graph: &GraphProto,
    plan: &Plan<'_>,
    gives: &[String],
    types: &HashMap<String, TypeProto>,
) -> Vec<u8> {
    let value = |name: &str| ValueInfoProto { name: name.to_owned(), r#type: types.get(name).cloned() };
    let is_used = |name: &str| plan.constants.contains(name);
    // In the order of the file, and constants among the inputs where old files have them there.
    let own = graph
        .input
        .iter()
        .filter(|input| plan.inputs.contains_key(input.name.as_str()) || is_used(&input.name));
    let handed = plan.inputs.iter().filter(|(_, from)| from.is_some()).map(|(name, _)| value(name));
    let stage = GraphProto {
        node: plan.nodes.iter().map(|&node| graph.node[node].clone()).collect(),
        name: graph.name.clone(),
        initializer: graph.initializer.iter().filter(|tensor| is_used(&tensor.name)).cloned().collect(),
        input: own.cloned().chain(handed).collect(),
        output: gives.iter().map(|name| value(name)).collect(),
        value_info: Vec::new(),
        sparse_initializer: Vec::new(),
    };
    ModelProto { graph: Some(stage), ..model.clone() }.encode_to_vec()
}

fn unknown(graph: &GraphProto, cut: &str) -> RuntimeError {
    let names = graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty());
    let near = names.map(|name| (strsim::jaro_winkler(name, cut), name));
    let nearest = near.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((_, name)) => format!("did you mean {name:?}?"),
        None => "a viewer such as Netron shows the names of all tensors".to_owned(),
    };
    cannot(format!("it has no tensor {cut:?}"), Some(hint))
}

fn cannot(reason: String, hint: Option<String>) -> RuntimeError {
    RuntimeError::CannotSplit { reason, hint }
}
