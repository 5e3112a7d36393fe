//! Which node makes which value and uses which: the graph as arrows, branches and loop bodies included.

use std::collections::{BTreeSet, HashMap, HashSet};

use modelyard_model::onnx::proto::{GraphProto, NodeProto};

/// Operators that give other values each time though they take none.
const RANDOM: [&str; 5] =
    ["RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"];

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// The caller.
    Input,
    /// The file.
    Constant,
    /// The node of this index.
    Node(usize),
}

/// The arrows of a graph.
pub(super) struct Needs<'g> {
    makers: HashMap<&'g str, Maker>,
    used: Vec<Vec<&'g str>>,
    constant: Vec<bool>,
}

impl<'g> Needs<'g> {
    /// Looks at every node once, in the file's order.
    pub(super) fn of(graph: &'g GraphProto) -> Self {
        let mut makers: HashMap<&str, Maker> = HashMap::new();
        makers.extend(graph.input.iter().map(|input| (input.name.as_str(), Maker::Input)));
        // Old files list constants among the inputs, too.
        makers.extend(graph.initializer.iter().map(|tensor| (tensor.name.as_str(), Maker::Constant)));
        let mut needs = Self { makers, used: Vec::new(), constant: Vec::new() };
        for (at, node) in graph.node.iter().enumerate() {
            let used: Vec<&str> =
                uses(node).into_iter().filter(|name| needs.makers.contains_key(name)).collect();
            let is_fixed = |name: &&str| match needs.makers[name] {
                Maker::Input => false,
                Maker::Constant => true,
                Maker::Node(maker) => needs.constant[maker],
            };
            let constant = used.iter().all(is_fixed) && !RANDOM.contains(&node.op_type.as_str());
            needs.constant.push(constant);
            needs.used.push(used);
            let outputs = node.output.iter().filter(|name| !name.is_empty());
            needs.makers.extend(outputs.map(|name| (name.as_str(), Maker::Node(at))));
        }
        needs
    }

    pub(super) fn maker(&self, name: &str) -> Option<Maker> {
        self.makers.get(name).copied()
    }

    /// The values that a node uses.
    pub(super) fn used_by(&self, node: usize) -> &[&'g str] {
        &self.used[node]
    }

    /// Whether a node gives the same for every request.
    pub(super) fn is_constant(&self, node: usize) -> bool {
        self.constant[node]
    }

    /// These nodes and all that they need.
    pub(super) fn ancestors(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(self.used[node].iter().filter_map(|name| match self.makers[name] {
                    Maker::Node(maker) => Some(maker),
                    Maker::Input | Maker::Constant => None,
                }));
            }
        }
        found
    }
}

/// The values that a node takes, and those that its branches and bodies take from around them.
fn uses(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            let own: HashSet<&str> = graph
                .input
                .iter()
                .map(|input| input.name.as_str())
                .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
                .chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
                .collect();
            let inner = graph.node.iter().flat_map(uses);
            let given = graph.output.iter().map(|output| output.name.as_str());
            names.extend(inner.chain(given).filter(|name| !own.contains(name)));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
