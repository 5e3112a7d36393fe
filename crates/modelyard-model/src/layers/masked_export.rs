//! How layers that reduce a sequence leave its padding out in ONNX.

use crate::export::Export;
use crate::onnx::proto::AttributeProto;

/// A sequence being reduced over its steps, and which of them count.
pub(super) struct Counting {
    /// [batch, steps, 1]: true where a step is padding.
    padding: String,
    /// [batch, steps, 1]: 1 where a step counts, 0 where it is padding.
    counts: String,
}

impl Counting {
    /// From a value [batch, steps] that is 0 where the sequence is padding.
    pub(super) fn new(graph: &mut Export, mask: &str, steps: usize) -> Self {
        let zero = constant(graph, "zero", 0.0);
        let one = constant(graph, "one", 1.0);
        let padding = graph.node("Equal", &[mask, &zero], vec![]);
        let counts = graph.node("Where", &[&padding, &zero, &one], vec![]);
        let steps = i64::try_from(steps).expect("no dimension is larger than isize::MAX");
        let column = graph.constant_i64(&graph.name_of("column"), &[-1, steps, 1]);
        let [padding, counts] =
            [padding, counts].map(|value| graph.node("Reshape", &[&value, &column], vec![]));
        Self { padding, counts }
    }

    /// The mean over the steps that count; 0 where none does.
    pub(super) fn mean(&self, graph: &mut Export) {
        let one = constant(graph, "least", 1.0);
        let steps = graph.constant_i64(&graph.name_of("steps"), &[1]);
        let no_dims = || vec![AttributeProto::int("keepdims", 0)];
        let count = graph.node("ReduceSum", &[&self.counts, &steps], no_dims());
        let count = graph.node("Max", &[&count, &one], vec![]);
        graph.chain("Mul", &[&self.counts], vec![]);
        graph.chain("ReduceSum", &[&steps], no_dims());
        graph.chain("Div", &[&count], vec![]);
    }

    /// The largest value over the steps that count; 0 where none does.
    pub(super) fn max(&self, graph: &mut Export) {
        let lowest = constant(graph, "lowest", f32::MIN);
        let zero = constant(graph, "nothing", 0.0);
        let over_steps = || vec![AttributeProto::ints("axes", &[1]), AttributeProto::int("keepdims", 0)];
        let any = graph.node("ReduceMax", &[&self.counts], over_steps());
        let none = graph.node("Equal", &[&any, &zero], vec![]);
        let hidden = graph.node("Where", &[&self.padding, &lowest, &graph.last()], vec![]);
        let largest = graph.node("ReduceMax", &[&hidden], over_steps());
        let largest = graph.node("Where", &[&none, &zero, &largest], vec![]);
        graph.set_last(largest);
    }
}

fn constant(graph: &mut Export, name: &str, value: f32) -> String {
    graph.constant_f32(&graph.name_of(name), &[], &[value])
}
