//! The walk over graphs, branches and loop bodies: every value must exist before it is used (so there is no
//! cycle), be made once, and have a size that this machine can hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use modelyard_model::onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::extent::{self, Extent};
use super::model::is_known_domain;
use super::size;
use super::tensor::{check_tensor, elements, known_type};
use super::{OnnxLimits, check_max, shown};
use crate::RuntimeError;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) nodes: usize,
    pub(super) parameters: u64,
    pub(super) operators: BTreeMap<String, usize>,
    pub(super) unbounded: Vec<String>,
}

/// A graph's own names, on top of those of the graphs around it.
#[derive(Default)]
struct Scope<'a> {
    values: HashMap<&'a str, Extent>,
    /// Names of constants of floats, for the few operators that take sizes as such.
    floats: HashMap<&'a str, &'a TensorProto>,
}

struct Walk<'a> {
    limits: &'a OnnxLimits,
    found: Found,
    constant_bytes: u64,
    scopes: Vec<Scope<'a>>,
    /// Turns of the loops around the current graph, multiplied.
    turns: i64,
}

pub(super) fn walk(graph: &GraphProto, limits: &OnnxLimits) -> Result<Found, RuntimeError> {
    if graph.node.is_empty() {
        return Err(RuntimeError::invalid("its graph is empty"));
    }
    let mut walk = Walk { limits, found: Found::default(), constant_bytes: 0, scopes: Vec::new(), turns: 1 };
    walk.graph(graph)?;
    Ok(walk.found)
}

impl<'a> Walk<'a> {
    fn graph(&mut self, graph: &'a GraphProto) -> Result<(), RuntimeError> {
        check_max("the nesting of its graphs", self.scopes.len(), self.limits.depth_max)?;
        if !graph.sparse_initializer.is_empty() {
            return Err(RuntimeError::refused("it has sparse constants, which no engine here runs"));
        }
        self.scopes.push(Scope::default());
        for tensor in &graph.initializer {
            self.constant(tensor)?;
        }
        self.inputs(graph)?;
        for node in &graph.node {
            self.node(node)?;
        }
        for output in &graph.output {
            if self.extent(&output.name).is_none() {
                return Err(RuntimeError::invalid(format!(
                    "nothing makes the output {}",
                    shown(&output.name)
                )));
            }
        }
        self.scopes.pop();
        Ok(())
    }

    fn constant(&mut self, tensor: &'a TensorProto) -> Result<(), RuntimeError> {
        self.tensor(tensor)?;
        self.define(&tensor.name, Extent::of_tensor(tensor))?;
        let scope = self.scopes.last_mut().expect("a graph is being walked");
        scope.floats.insert(&tensor.name, tensor);
        Ok(())
    }

    /// Inputs may repeat the names of constants (up to IR version 3 they had to), but not each other's.
    fn inputs(&mut self, graph: &'a GraphProto) -> Result<(), RuntimeError> {
        let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let mut seen = HashSet::new();
        for input in &graph.input {
            if constants.contains(input.name.as_str()) && seen.insert(input.name.as_str()) {
                continue;
            }
            self.define(&input.name, Extent::Data)?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &TensorProto) -> Result<(), RuntimeError> {
        let size = check_tensor(tensor, self.limits)?;
        self.constant_bytes = self.constant_bytes.saturating_add(size.bytes);
        if self.scopes.len() == 1 {
            self.found.parameters = self.found.parameters.saturating_add(size.elements);
        }
        check_max("the size of its constants in bytes", self.constant_bytes, self.limits.constant_bytes_max)
    }

    fn define(&mut self, name: &'a str, extent: Extent) -> Result<(), RuntimeError> {
        if name.is_empty() {
            return Err(RuntimeError::invalid("a constant or input has no name"));
        }
        let scope = self.scopes.last_mut().expect("a graph is being walked");
        if scope.values.insert(name, extent).is_some() {
            return Err(RuntimeError::invalid(format!("the name {} is given twice", shown(name))));
        }
        Ok(())
    }

    fn extent(&self, name: &str) -> Option<&Extent> {
        self.scopes.iter().rev().find_map(|scope| scope.values.get(name))
    }

    fn node(&mut self, node: &'a NodeProto) -> Result<(), RuntimeError> {
        self.found.nodes += 1;
        check_max("the number of its nodes", self.found.nodes, self.limits.nodes_max)?;
        self.operator(node)?;
        let inputs: Vec<Extent> =
            node.input.iter().map(|name| self.input(node, name)).collect::<Result<_, _>>()?;
        self.sizes(node, &inputs)?;
        let turns_around = self.turns;
        if is_own(node, "Loop") {
            self.turns = size::loop_turns(node, &inputs, self.turns, self.limits)?;
        }
        self.attributes(node)?;
        self.turns = turns_around;
        self.outputs(node, &inputs)
    }

    fn operator(&mut self, node: &NodeProto) -> Result<(), RuntimeError> {
        if !is_known_domain(&node.domain) {
            return Err(RuntimeError::RefusedOnnx {
                reason: format!("it uses the custom operator {}", shown(&operator_name(node))),
                hint: Some("only operators of ai.onnx, ai.onnx.ml and com.microsoft are run here".to_owned()),
            });
        }
        if node.op_type.is_empty() || !node.overload.is_empty() {
            return Err(RuntimeError::invalid(format!("node {} names no operator", shown(&node.name))));
        }
        *self.found.operators.entry(operator_name(node)).or_default() += 1;
        Ok(())
    }

    /// An empty name stands for an optional input that is left out.
    fn input(&self, node: &NodeProto, name: &str) -> Result<Extent, RuntimeError> {
        if name.is_empty() {
            return Ok(Extent::Data);
        }
        self.extent(name).cloned().ok_or_else(|| {
            RuntimeError::invalid(format!(
                "{} reads {}, which nothing before it makes: it is missing, or the graph has a cycle",
                describe(node),
                shown(name)
            ))
        })
    }

    fn sizes(&mut self, node: &'a NodeProto, inputs: &[Extent]) -> Result<(), RuntimeError> {
        let scales = |index: usize| {
            let name = node.input.get(index)?.as_str();
            self.scopes
                .iter()
                .rev()
                .find_map(|scope| scope.floats.get(name))
                .map(|tensor| extent::floats(tensor))
        };
        if !size::check(node, inputs, &scales, self.limits)? {
            self.found.unbounded.push(describe(node));
        }
        Ok(())
    }

    fn attributes(&mut self, node: &'a NodeProto) -> Result<(), RuntimeError> {
        let mut names = HashSet::new();
        for attribute in &node.attribute {
            if !names.insert(attribute.name.as_str()) {
                return Err(RuntimeError::invalid(format!(
                    "{} has the attribute {} twice",
                    describe(node),
                    shown(&attribute.name)
                )));
            }
            self.attribute(node, attribute)?;
        }
        Ok(())
    }

    fn attribute(&mut self, node: &'a NodeProto, attribute: &'a AttributeProto) -> Result<(), RuntimeError> {
        let wrong = |why: &str| {
            RuntimeError::invalid(format!(
                "attribute {} of {}: {why}",
                shown(&attribute.name),
                describe(node)
            ))
        };
        if !attribute.ref_attr_name.is_empty() {
            return Err(wrong("it refers to a function's attribute outside of any function"));
        }
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return Err(RuntimeError::refused("it has sparse constants, which no engine here runs"));
        }
        size::check_attribute(attribute, self.limits).map_err(|why| wrong(&why))?;
        if attribute.name == "shape" && node.op_type.starts_with("Random") {
            elements(&attribute.ints, self.limits)?;
        }
        if attribute.name == "to"
            && attribute.i.is_some_and(|to| i32::try_from(to).ok().and_then(known_type).is_none())
        {
            return Err(wrong("there is no such element type"));
        }
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            self.tensor(tensor)?;
        }
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            if !["If", "Loop", "Scan", "SequenceMap"].iter().any(|operator| is_own(node, operator)) {
                return Err(wrong("this operator takes no graph"));
            }
            self.graph(graph)?;
        }
        Ok(())
    }

    fn outputs(&mut self, node: &'a NodeProto, inputs: &[Extent]) -> Result<(), RuntimeError> {
        if node.output.iter().all(String::is_empty) {
            return Err(RuntimeError::invalid(format!("{} has no output", describe(node))));
        }
        for (i, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let known = i == 0 && !matches!(node.domain.as_str(), "ai.onnx.ml" | "com.microsoft");
            let extent = if known { extent::of_node(node, inputs) } else { Extent::Data };
            self.define(name, extent)?;
        }
        Ok(())
    }
}

/// Whether this is ONNX's own operator of that name.
fn is_own(node: &NodeProto, operator: &str) -> bool {
    node.op_type == operator && matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// The operator's name, with its domain where that is not ONNX's own.
fn operator_name(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}::{}", node.op_type),
    }
}

fn describe(node: &NodeProto) -> String {
    format!("{} node {}", operator_name(node).chars().take(60).collect::<String>(), shown(&node.name))
}
