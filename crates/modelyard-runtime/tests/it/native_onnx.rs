//! ONNX from elsewhere on our own engine: written as PyTorch and Keras write it, it must answer as the other
//! engines do, and what is not exactly a chain of our layers must be left to them.

use modelyard_model::onnx::GraphBuilder;
use modelyard_model::onnx::proto::AttributeProto;
use modelyard_runtime::{ModelFiles, parity};
use modelyard_types::{DataType, Dim, ErrorKind};

use crate::support::{files, named, noise, runtimes};

const ANY: Dim = Dim::Any;
const F32: DataType = DataType::F32;

/// A graph under construction: each node takes the last value.
struct Chain {
    graph: GraphBuilder,
    last: String,
    constants: u64,
}

impl Chain {
    fn new(input: &[usize]) -> Self {
        let mut graph = GraphBuilder::new("chain");
        let dims: Vec<Dim> = std::iter::once(ANY).chain(input.iter().map(|&n| Dim::Fixed(n))).collect();
        graph.input("x", F32, &dims);
        Self { graph, last: "x".to_owned(), constants: 0 }
    }

    fn constant(&mut self, shape: &[usize]) -> String {
        self.constants += 1;
        let values = noise(shape.iter().product(), self.constants);
        self.graph.initializer_f32(&format!("c{}", self.constants), shape, &values)
    }

    fn positive(&mut self, len: usize) -> String {
        self.constants += 1;
        let values: Vec<f32> = noise(len, self.constants).iter().map(|value| value.abs() + 0.1).collect();
        self.graph.initializer_f32(&format!("c{}", self.constants), &[len], &values)
    }

    fn node(mut self, operator: &str, constants: &[&[usize]], attributes: Vec<AttributeProto>) -> Self {
        let constants: Vec<String> = constants.iter().map(|shape| self.constant(shape)).collect();
        let inputs: Vec<&str> =
            std::iter::once(self.last.as_str()).chain(constants.iter().map(String::as_str)).collect();
        self.last = self.graph.node(operator, &inputs, attributes);
        self
    }

    fn batch_norm(mut self, channels: usize) -> Self {
        let constants = [
            self.constant(&[channels]),
            self.constant(&[channels]),
            self.constant(&[channels]),
            self.positive(channels),
        ];
        let [gamma, beta, mean, variance] = constants.each_ref().map(String::as_str);
        let last = self.last.clone();
        self.last = self.graph.node(
            "BatchNormalization",
            &[&last, gamma, beta, mean, variance],
            vec![AttributeProto::float("epsilon", 1e-3)],
        );
        self
    }

    fn reshape(mut self, shape: &[i64]) -> Self {
        let constant = self.graph.initializer_i64("shape", &[shape.len()], shape);
        let last = self.last.clone();
        self.last = self.graph.node("Reshape", &[&last, &constant], vec![]);
        self
    }

    fn finish(mut self, outputs: usize) -> Vec<u8> {
        let last = self.last.clone();
        self.graph.node_to("Identity", &[&last], &["y"], vec![]);
        self.graph.output("y", F32, &[ANY, Dim::Fixed(outputs)]);
        self.graph.finish()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto::ints(name, values)
}

/// Our own engine takes the model and answers as every other engine here.
fn check(what: &str, onnx: &[u8], input: &[usize]) {
    let shape: Vec<usize> = std::iter::once(3).chain(input.iter().copied()).collect();
    let rows = named("x", &shape, noise(shape.iter().product(), 77));
    let report = parity(runtimes(), &files(onnx), &[rows]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.reference, "native-onnx", "{what}: {report:?}");
    assert!(report.differences.iter().any(|other| other.runtime == "rten"), "{what}: {report:?}");
    assert!(report.agrees(2e-5), "{what}: {report:?}");
}

#[test]
fn networks_as_pytorch_writes_them() {
    let transposed = || vec![AttributeProto::int("transB", 1)];
    let mlp = Chain::new(&[9])
        .node("Gemm", &[&[17, 9], &[17]], transposed())
        .node("Relu", &[], vec![])
        .node("Gemm", &[&[4, 17], &[4]], transposed())
        .node("Softmax", &[], vec![AttributeProto::int("axis", 1)]);
    check("dense", &mlp.finish(4), &[9]);
    let kernel = || vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])];
    let halving = || vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let cnn = Chain::new(&[3, 12, 10])
        .node("Conv", &[&[8, 3, 3, 3], &[8]], kernel())
        .batch_norm(8)
        .node("Relu", &[], vec![])
        .node("MaxPool", &[], halving())
        .node("Conv", &[&[5, 8, 3, 3]], vec![ints("kernel_shape", &[3, 3])])
        .node("Elu", &[], vec![])
        .node("AveragePool", &[], halving())
        .node("Flatten", &[], vec![])
        .node("Tanh", &[], vec![])
        .node("Gemm", &[&[10, 6], &[6]], vec![AttributeProto::float("alpha", 0.5)])
        .batch_norm(6)
        .node("Sigmoid", &[], vec![])
        .node("Gemm", &[&[6, 2]], vec![]);
    check("convolutions", &cnn.finish(2), &[3, 12, 10]);
    let same = vec![ints("kernel_shape", &[3, 3]), ints("dilations", &[2, 2]), ints("pads", &[2, 2, 2, 2])];
    let gaps = Chain::new(&[2, 12, 10])
        .node("Conv", &[&[6, 2, 3, 3], &[6]], same)
        .node("Tanh", &[], vec![])
        .node("Conv", &[&[4, 6, 3, 3]], vec![ints("kernel_shape", &[3, 3]), ints("dilations", &[1, 3])])
        .node("Flatten", &[], vec![])
        .node("Tanh", &[], vec![])
        .node("Gemm", &[&[160, 3]], vec![])
        .node("Tanh", &[], vec![]);
    check("windows with gaps", &gaps.finish(3), &[2, 12, 10]);
}

#[test]
fn networks_as_keras_writes_them() {
    let same = vec![ints("kernel_shape", &[3, 3]), AttributeProto::text("auto_pad", "SAME_UPPER")];
    let cnn = Chain::new(&[8, 8, 2])
        .node("Transpose", &[], vec![ints("perm", &[0, 3, 1, 2])])
        .node("Conv", &[&[4, 2, 3, 3]], same)
        .node("Add", &[&[1, 4, 1, 1]], vec![])
        .node("Relu", &[], vec![])
        .node("MaxPool", &[], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .node("Transpose", &[], vec![ints("perm", &[0, 2, 3, 1])])
        .reshape(&[-1, 64])
        .node("MatMul", &[&[64, 5]], vec![])
        .node("Add", &[&[5]], vec![])
        .node("Sigmoid", &[], vec![]);
    check("Keras", &cnn.finish(5), &[8, 8, 2]);
}

#[test]
fn what_is_no_chain_of_our_layers_is_left_to_the_other_engines() {
    let refused = |what: &str, onnx: &[u8], reason: &str| {
        let engine = runtimes().by_name("native-onnx").expect("it is always there");
        let error = engine.check(&files(onnx)).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}");
        assert!(error.to_string().contains(reason), "{what}: {error}");
        let other = runtimes().choose(&files(onnx)).expect("another engine takes it");
        assert_ne!(other.name(), "native-onnx");
    };
    let row = || Chain::new(&[6]);
    let image = || Chain::new(&[2, 6, 6]);
    let kernel: &[usize] = &[4, 2, 3, 3];
    refused("unknown", &row().node("Softplus", &[], vec![]).finish(6), "Softplus");
    refused("slope", &row().node("LeakyRelu", &[], vec![]).finish(6), "alpha = 0.01");
    refused("no bias", &row().node("Add", &[&[6]], vec![]).finish(6), "no bias of a layer");
    let late =
        row().node("MatMul", &[&[6, 3]], vec![]).node("Relu", &[], vec![]).node("Add", &[&[3]], vec![]);
    refused("late bias", &late.finish(3), "no bias of a layer");
    let wider = row().node("MatMul", &[&[6, 3]], vec![]).node("Add", &[&[1, 1, 3]], vec![]).finish(3);
    let engine = runtimes().by_name("native-onnx").expect("it is always there");
    let error = engine.check(&files(&wider)).expect_err("the sum has a dimension more").to_string();
    assert!(error.contains("an addition of [1, 1, 3] to a value of 2 dimensions"), "{error}");
    let pads = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[0, 1, 0, 1])];
    let lopsided = image().node("Conv", &[kernel], pads).node("Flatten", &[], vec![]);
    refused("padding", &lopsided.finish(96), "this padding");
    let both = vec![ints("kernel_shape", &[3, 3]), ints("dilations", &[2, 2]), ints("strides", &[2, 2])];
    let both = image().node("Conv", &[kernel], both).node("Flatten", &[], vec![]);
    refused("gaps", &both.finish(4), "both strides and dilations");
    let gaps = vec![ints("kernel_shape", &[2, 2]), ints("dilations", &[2, 2])];
    let pooled = image().node("MaxPool", &[], gaps).node("Flatten", &[], vec![]).finish(32);
    let error = engine.check(&files(&pooled)).expect_err("a pool with gaps").to_string();
    assert!(error.contains("MaxPool with dilations"), "{error}");
    let channels_first = image().node("Relu", &[], vec![]).node("Flatten", &[], vec![]);
    refused("order of the answers", &channels_first.finish(72), "ends in an image");
    let mut residual = GraphBuilder::new("residual");
    residual.input("x", F32, &[ANY, Dim::Fixed(2)]);
    residual.node_to("Relu", &["x"], &["r"], vec![]);
    residual.node_to("Add", &["x", "r"], &["y"], vec![]);
    residual.output("y", F32, &[ANY, Dim::Fixed(2)]);
    refused("branches", &residual.finish(), "two computed values");
}

#[test]
fn without_onnx_it_says_what_it_needs() {
    let engine = runtimes().by_name("native-onnx").expect("it is always there");
    let error = engine.check(&ModelFiles::default()).expect_err("no file");
    assert!(error.to_string().contains("model.onnx"), "{error}");
}
