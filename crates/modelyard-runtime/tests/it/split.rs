//! Models cut into stages: every stage is a model of its own, and together they answer as the whole does.

use std::collections::BTreeMap;

use modelyard_model::onnx::proto::{
    AttributeProto, DimensionProto, ElementType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, dimension_proto, type_proto,
};
use modelyard_model::onnx::{GraphBuilder, Message};
use modelyard_runtime::{
    LoadOptions, OnnxLimits, Runtime, RuntimeError, SplitOnnx, inspect_onnx, split_onnx,
};
use modelyard_types::{DataType, Dim, ErrorKind, NamedTensor, Tensor};
use serde_json::json;

use crate::exported::network;
use crate::support::{files, named, noise, onnx_engines, runtimes};

fn cnn() -> Vec<u8> {
    let layers = json!([
        { "type": "conv2d", "filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu" },
        { "type": "max_pool2d", "pool_size": 2 },
        { "type": "conv2d", "filters": 6, "kernel_size": 3, "activation": "relu" },
        { "type": "flatten" },
        { "type": "dense", "units": 8, "activation": "relu" },
        { "type": "dense", "units": 3, "activation": "softmax" },
    ]);
    network(&[12, 12, 1], &layers).to_onnx().expect("it exports")
}

fn split(onnx: &[u8], cuts: &[&str]) -> Result<SplitOnnx, RuntimeError> {
    let cuts: Vec<String> = cuts.iter().map(|cut| (*cut).to_owned()).collect();
    split_onnx(onnx, &cuts, &OnnxLimits::default(), runtimes())
}

/// The outputs of nodes that do not depend on constants only, without the last.
fn middle(onnx: &[u8], kinds: &[&str]) -> Vec<String> {
    let graph = ModelProto::decode(onnx).expect("ONNX").graph.expect("a graph");
    let nodes = graph.node.iter().filter(|node| kinds.contains(&node.op_type.as_str()));
    nodes.map(|node| node.output[0].clone()).collect()
}

fn run(engine: &dyn Runtime, onnx: &[u8], inputs: &[NamedTensor]) -> Vec<NamedTensor> {
    let loaded = engine.load(&files(onnx), &LoadOptions::default()).expect("it runs");
    loaded.session().expect("a session").run(inputs).expect("an answer")
}

/// Runs the stages one after the other.
fn run_stages(engine: &dyn Runtime, split: &SplitOnnx, request: &NamedTensor) -> Vec<Tensor> {
    let mut given: BTreeMap<String, Tensor> =
        BTreeMap::from([(request.name.clone(), request.tensor.clone())]);
    for stage in &split.stages {
        let take = |(name, _): &(String, Option<usize>)| NamedTensor {
            name: name.clone(),
            tensor: given[name].clone(),
        };
        let inputs: Vec<NamedTensor> = stage.inputs.iter().map(take).collect();
        let signature = inspect_onnx(&stage.onnx, &OnnxLimits::default()).expect("a good model").signature;
        assert_eq!(signature.inputs.len(), inputs.len());
        given.extend(run(engine, &stage.onnx, &inputs).into_iter().map(|named| (named.name, named.tensor)));
    }
    split.outputs.iter().map(|(name, _)| given[name].clone()).collect()
}

#[test]
fn a_network_cut_anywhere_answers_as_the_whole_bit_for_bit() {
    let onnx = cnn();
    let request = named("input", &[3, 12, 12, 1], noise(3 * 144, 5));
    let cuts = middle(&onnx, &["Relu", "MaxPool"]);
    assert!(cuts.len() >= 4, "{cuts:?}");
    for engine in onnx_engines() {
        let want: Vec<Tensor> = run(engine, &onnx, std::slice::from_ref(&request))
            .into_iter()
            .map(|named| named.tensor)
            .collect();
        for cut in &cuts {
            let split = split(&onnx, &[cut]).expect("it can be cut there");
            assert_eq!(split.stages.len(), 2);
            assert_eq!(split.stages[1].inputs, [(cut.clone(), Some(0))]);
            assert_eq!(run_stages(engine, &split, &request), want, "{} at {cut}", engine.name());
        }
        // Three stages, named in the wrong order.
        let split = split(&onnx, &[&cuts[2], &cuts[0]]).expect("it can be cut there");
        assert_eq!(split.stages.len(), 3);
        assert_eq!(run_stages(engine, &split, &request), want, "{} in three stages", engine.name());
    }
}

/// `y = if yes { a + b } else { b }` with `a = relu(x)` and `b = -a`: a branch takes values from around it.
fn branching() -> Vec<u8> {
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op.to_owned(),
        ..NodeProto::default()
    };
    let dim = |value| DimensionProto { value };
    let sizes = vec![dim(None), dim(Some(dimension_proto::Value::Fixed(3)))];
    let tensor = TensorTypeProto {
        elem_type: ElementType::Float.into(),
        shape: Some(TensorShapeProto { dim: sizes }),
    };
    let value = |name: &str| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::Tensor(tensor.clone())) }),
    };
    let branch = |inner: NodeProto| GraphProto {
        output: vec![value(&inner.output[0])],
        name: "branch".to_owned(),
        node: vec![inner],
        ..GraphProto::default()
    };
    let choice = NodeProto {
        attribute: vec![
            AttributeProto::graph("then_branch", branch(node("Add", &["a", "b"], "t"))),
            AttributeProto::graph("else_branch", branch(node("Identity", &["b"], "e"))),
        ],
        ..node("If", &["yes"], "y")
    };
    let yes = TensorProto {
        data_type: ElementType::Bool.into(),
        name: "yes".to_owned(),
        raw_data: Some(vec![1].into()),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        node: vec![node("Relu", &["x"], "a"), node("Neg", &["a"], "b"), choice],
        name: "branching".to_owned(),
        initializer: vec![yes],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
        .encode_to_vec()
}

#[test]
fn what_a_branch_takes_from_around_it_crosses_the_cut() {
    let onnx = branching();
    let split = split(&onnx, &["b"]).expect("it can be cut there");
    let crossing = ["a", "b"].map(|name| (name.to_owned(), Some(0)));
    assert_eq!(split.stages[1].inputs, crossing, "its types were seen by running the model");
    let second = ModelProto::decode(split.stages[1].onnx.as_slice()).expect("ONNX").graph.expect("a graph");
    assert_eq!(second.initializer.len(), 1, "the condition goes along");
    let request = named("x", &[2, 3], vec![1f32, -2.0, 3.0, -4.0, 5.0, -6.0]);
    let able = onnx_engines().into_iter().filter(|engine| engine.check(&files(&onnx)).is_ok());
    for engine in able {
        let want = run(engine, &onnx, std::slice::from_ref(&request));
        assert_eq!(run_stages(engine, &split, &request), [want[0].tensor.clone()], "{}", engine.name());
    }
}

/// `y = -relu(x)`, and what hangs beside it, added by `more`.
fn negative(more: impl FnOnce(&mut GraphBuilder)) -> Vec<u8> {
    let mut graph = GraphBuilder::new("negative");
    let rows = [Dim::Any, Dim::Fixed(3)];
    graph.input("x", DataType::F32, &rows);
    graph.node_to("Relu", &["x"], &["a"], vec![]);
    graph.node_to("Neg", &["a"], &["y"], vec![]);
    graph.output("y", DataType::F32, &rows);
    more(&mut graph);
    graph.finish()
}

#[test]
fn an_output_of_constants_alone_comes_from_the_last_stage() {
    let fixed = TensorProto {
        dims: vec![2],
        data_type: ElementType::Float.into(),
        name: "two".to_owned(),
        raw_data: Some([0.5f32, -3.0].iter().flat_map(|value| value.to_le_bytes()).collect()),
        ..TensorProto::default()
    };
    let onnx = negative(|graph| {
        graph.node_to("Constant", &[], &["fixed"], vec![AttributeProto::tensor("value", fixed)]);
        graph.output("fixed", DataType::F32, &[Dim::Fixed(2)]);
    });
    let split = split(&onnx, &["a"]).expect("it can be cut there");
    assert_eq!(split.outputs, [("y".to_owned(), 1), ("fixed".to_owned(), 1)]);
    let request = named("x", &[2, 3], vec![1f32, -2.0, 3.0, -4.0, 5.0, -6.0]);
    for engine in onnx_engines() {
        let want = run(engine, &onnx, std::slice::from_ref(&request));
        let want: Vec<Tensor> = want.into_iter().map(|named| named.tensor).collect();
        assert_eq!(run_stages(engine, &split, &request), want, "{}", engine.name());
    }
}

#[test]
fn a_cut_at_what_no_output_needs_is_refused() {
    let onnx = negative(|graph| graph.node_to("Abs", &["a"], &["dead"], vec![]));
    for cuts in [&["dead"][..], &["a", "dead"]] {
        let error = split(&onnx, cuts).expect_err("a stage would give nothing");
        assert!(error.to_string().contains("no output of the model needs \"dead\""), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("leads to one")));
    }
    assert!(split(&onnx, &["a"]).is_ok());
}

#[test]
fn a_length_that_follows_the_requests_stays_open() {
    let mut graph = GraphBuilder::new("halved");
    graph.input("x", DataType::F32, &[Dim::Any, Dim::Fixed(2), Dim::Any]);
    let kernel = graph.initializer_f32("kernel", &[5, 2, 3], &noise(30, 3));
    let numbers = [("kernel_shape", &[3][..]), ("strides", &[2]), ("pads", &[1, 1])];
    let halving = numbers.map(|(name, values)| AttributeProto::ints(name, values)).to_vec();
    graph.node_to("Conv", &["x", &kernel], &["halved"], halving);
    graph.node_to("Relu", &["halved"], &["y"], vec![]);
    graph.output("y", DataType::F32, &[Dim::Any; 3]);
    let onnx = graph.finish();
    let split = split(&onnx, &["halved"]).expect("its type is seen by running the model");
    let second = inspect_onnx(&split.stages[1].onnx, &OnnxLimits::default()).expect("a good model");
    assert_eq!(second.signature.inputs[0].shape, [Dim::Any, Dim::Fixed(5), Dim::Any]);
    for engine in onnx_engines() {
        for length in [1, 2, 9] {
            let request = named("x", &[3, 2, length], noise(6 * length, 8));
            let want = run(engine, &onnx, std::slice::from_ref(&request));
            assert_eq!(run_stages(engine, &split, &request), [want[0].tensor.clone()], "{}", engine.name());
        }
    }
}

#[test]
fn each_constant_goes_where_it_is_used() {
    let onnx = cnn();
    let split = split(&onnx, &[&middle(&onnx, &["MaxPool"])[0]]).expect("it can be cut there");
    let parameters = |onnx: &[u8]| inspect_onnx(onnx, &OnnxLimits::default()).expect("good").parameters;
    let (first, second) = (parameters(&split.stages[0].onnx), parameters(&split.stages[1].onnx));
    assert!(first < second && first + second <= parameters(&onnx) + 16, "{first} and {second}");
}

#[test]
fn cuts_that_cannot_be_are_told() {
    let onnx = cnn();
    let relu = middle(&onnx, &["Relu"])[0].clone();
    let last = inspect_onnx(&onnx, &OnnxLimits::default()).expect("good").signature.outputs[0].name.clone();
    for (cuts, want, hint) in [
        (vec![format!("{relu}0")], "it has no tensor", relu.as_str()),
        (vec!["nowhere at all".to_owned()], "it has no tensor", "Netron"),
        (vec!["input".to_owned()], "is an input or a constant", "output of a node"),
        (vec![last], "nothing is left behind the last cut", "leave it out"),
        (vec![relu.clone(), relu.clone()], "leaves nothing between it and the cut before", "leave it out"),
    ] {
        let cuts: Vec<&str> = cuts.iter().map(String::as_str).collect();
        let error = split(&onnx, &cuts).expect_err(want);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(want), "{error}");
        assert!(error.hint().is_some_and(|told| told.contains(hint)), "{:?}", error.hint());
    }
    let broken = split(b"no model", &["x"]).expect_err("no ONNX");
    assert!(matches!(broken, RuntimeError::InvalidOnnx { .. }), "{broken}");
}
