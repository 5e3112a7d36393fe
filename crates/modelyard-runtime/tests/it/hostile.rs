//! Files that want to crash, hang or mislead: each must be an error, and never a panic.

use modelyard_model::onnx::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, StringStringEntryProto, TypeProto, type_proto,
};
use modelyard_model::onnx::{GraphBuilder, Message};
use modelyard_runtime::{LoadOptions, OnnxLimits, RuntimeError, inspect_onnx};
use modelyard_types::{DataType, Dim, ErrorKind};
use proptest::prelude::*;

use crate::support::{files, named, noise, one_node, onnx_engines};

const F32: DataType = DataType::F32;
const ANY: Dim = Dim::Any;

fn mlp() -> GraphBuilder {
    let mut graph = GraphBuilder::new("mlp");
    graph.input("x", F32, &[ANY, Dim::Fixed(4)]);
    let w = graph.initializer_f32("w", &[4, 3], &noise(12, 3));
    let hidden = graph.node("MatMul", &["x", &w], vec![]);
    graph.node_to("Relu", &[&hidden], &["y"], vec![]);
    graph.output("y", F32, &[ANY, Dim::Fixed(3)]);
    graph
}

fn inspect(bytes: &[u8]) -> Result<(), RuntimeError> {
    inspect_onnx(bytes, &OnnxLimits::default()).map(|_| ())
}

/// Refused by the walk, with a message that contains `word`.
fn refused(bytes: &[u8], word: &str) {
    let error = inspect(bytes).expect_err(word);
    assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    for engine in onnx_engines() {
        assert!(engine.load(&files(bytes), &LoadOptions::default()).is_err());
    }
}

fn changed(change: impl FnOnce(&mut ModelProto, &mut GraphProto)) -> Vec<u8> {
    let mut model = mlp().into_model();
    let mut graph = model.graph.take().expect("the builder makes one");
    change(&mut model, &mut graph);
    model.graph = Some(graph);
    model.encode_to_vec()
}

#[test]
fn a_sound_model_passes_and_is_summed_up() {
    let summary = inspect_onnx(&mlp().finish(), &OnnxLimits::default()).expect("it is sound");
    assert_eq!((summary.nodes, summary.parameters, summary.opset), (2, 12, 17));
    assert_eq!(summary.operators.keys().collect::<Vec<_>>(), ["MatMul", "Relu"]);
    assert_eq!(summary.signature.inputs.len(), 1);
    assert_eq!(summary.signature.inputs[0].shape, [ANY, Dim::Fixed(4)]);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = mlp().finish();
    for length in 0..bytes.len() {
        assert!(inspect(&bytes[..length]).is_err(), "cut at {length}");
    }
    for engine in onnx_engines() {
        for length in (0..bytes.len()).step_by(7) {
            assert!(engine.load(&files(&bytes[..length]), &LoadOptions::default()).is_err());
        }
    }
}

#[test]
fn a_flipped_bit_never_panics() {
    let bytes = mlp().finish();
    for bit in (0..bytes.len() * 8).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if inspect(&flipped).is_err() {
            continue;
        }
        for engine in onnx_engines() {
            let Ok(model) = engine.load(&files(&flipped), &LoadOptions::default()) else { continue };
            let mut session = model.session().expect("a session of what was loaded");
            let _ = session.run(&[named("x", &[1, 4], noise(4, 1))]);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(inspect(&bytes).is_err());
    }
}

#[test]
fn headers_that_are_not_taken() {
    refused(b"", "IR version 0");
    refused(&changed(|model, _| model.ir_version = 14), "IR version 14");
    let hint = inspect(&changed(|model, _| model.ir_version = 14)).expect_err("too new").hint();
    assert!(hint.is_some_and(|hint| hint.contains("ir_version = 10")));
    refused(&changed(|model, _| model.opset_import.clear()), "which version of the operators");
    refused(
        &changed(|model, _| model.functions.push(FunctionProto { name: "f".into(), ..Default::default() })),
        "functions of its own",
    );
    refused(b"\x08\x00\x00\x00ORTM\x00\x00", "ORT format");
}

#[test]
fn graphs_that_contradict_themselves() {
    refused(&changed(|_, graph| graph.node.clear()), "empty");
    refused(&changed(|_, graph| graph.output.clear()), "no output");
    refused(&changed(|_, graph| graph.input.clear()), "no input");
    refused(&changed(|_, graph| graph.node.swap(0, 1)), "cycle");
    refused(&changed(|_, graph| graph.node[0].input[1] = "gone".into()), "gone");
    refused(&changed(|_, graph| graph.node[1].output[0] = "matmul_0".into()), "twice");
    refused(&changed(|_, graph| graph.output[0].name = "z".into()), "nothing makes");
    refused(&changed(|_, graph| graph.initializer.push(graph.initializer[0].clone())), "twice");
    refused(&changed(|_, graph| graph.input.push(graph.input[0].clone())), "twice");
    refused(&changed(|_, graph| graph.node[1].domain = "evil.example".into()), "custom operator");
    refused(&changed(|_, graph| graph.node[1].op_type.clear()), "names no operator");
}

#[test]
fn constants_that_lie() {
    refused(&changed(|_, graph| graph.initializer[0].dims = vec![4, 4]), "needs 64 bytes");
    refused(&changed(|_, graph| graph.initializer[0].dims = vec![1 << 40, 1 << 40]), "elements");
    refused(&changed(|_, graph| graph.initializer[0].dims = vec![i64::MAX; 12]), "elements");
    refused(&changed(|_, graph| graph.initializer[0].dims = vec![-4, -3]), "negative");
    refused(&changed(|_, graph| graph.initializer[0].data_type = 99), "unknown element type");
    refused(&changed(|_, graph| graph.initializer[0].raw_data = None), "needs 12 values");
    refused(
        &changed(|_, graph| {
            let tensor = &mut graph.initializer[0];
            tensor.data_location = 1;
            tensor.external_data =
                vec![StringStringEntryProto { key: "location".into(), value: "/etc/passwd".into() }];
        }),
        "another file",
    );
}

#[test]
fn inputs_without_a_usable_type() {
    refused(&changed(|_, graph| graph.input[0].r#type = None), "no type");
    let with_tensor = |change: fn(&mut modelyard_model::onnx::proto::TensorTypeProto)| {
        changed(move |_, graph| {
            if let Some(TypeProto { value: Some(type_proto::Value::Tensor(tensor)) }) =
                &mut graph.input[0].r#type
            {
                change(tensor);
            }
        })
    };
    refused(&with_tensor(|tensor| tensor.shape = None), "rank");
    refused(&with_tensor(|tensor| tensor.elem_type = 77), "unknown element type");
    refused(&with_tensor(|tensor| tensor.elem_type = 16), "Bfloat16");
    refused(
        &changed(|_, graph| {
            let list = type_proto::Value::Sequence(Box::default());
            graph.output[0].r#type = Some(TypeProto { value: Some(list) });
        }),
        "list or table",
    );
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    let empty_nodes = {
        let mut body = Vec::new();
        for _ in 0..5_000_000 {
            body.extend([0x0a, 0x00]);
        }
        let mut bytes = vec![0x08, 0x08, 0x3a];
        prost_varint(body.len(), &mut bytes);
        bytes.extend(body);
        bytes
    };
    assert_eq!(inspect(&empty_nodes).expect_err("too many").kind(), ErrorKind::TooLarge);
    for (operator, inputs) in
        [("ConstantOfShape", vec!["n"]), ("Expand", vec!["x", "n"]), ("Tile", vec!["x", "n"])]
    {
        let mut graph = GraphBuilder::new("huge");
        graph.input("x", F32, &[Dim::Fixed(1)]);
        graph.initializer_i64("n", &[1], &[1 << 40]);
        graph.node_to(operator, &inputs, &["y"], vec![]);
        graph.output("y", F32, &[ANY]);
        refused(&graph.finish(), "elements");
    }
    let pads =
        vec![AttributeProto::ints("kernel_shape", &[2, 2]), AttributeProto::ints("pads", &[1 << 40; 4])];
    refused(&one_node("MaxPool", (F32, &[ANY, ANY, ANY, ANY]), (F32, 4), &[], pads), "pads");
    let still = vec![AttributeProto::ints("kernel_shape", &[2, 2]), AttributeProto::ints("strides", &[0, 0])];
    refused(&one_node("MaxPool", (F32, &[ANY, ANY, ANY, ANY]), (F32, 4), &[], still), "strides");
}

#[test]
fn sizes_that_requests_decide_are_not_given_to_rten() {
    let mut graph = GraphBuilder::new("ask");
    graph.input("x", DataType::I64, &[ANY]);
    graph.node_to("ConstantOfShape", &["x"], &["y"], vec![]);
    graph.output("y", F32, &[ANY]);
    let bytes = graph.finish();
    inspect(&bytes).expect("it is sound in itself");
    let rten = onnx_engines().into_iter().find(|engine| engine.name() == "rten").expect("it is always there");
    let error = rten.check(&files(&bytes)).expect_err("an allocation that fails would end the process");
    assert!(error.to_string().contains("exhaust memory"), "{error}");
    if let Some(engine) = onnx_engines().into_iter().find(|engine| engine.name() == "onnxruntime") {
        let model = engine.load(&files(&bytes), &LoadOptions::default()).expect("it loads");
        let mut session = model.session().expect("a session");
        session.run(&[named("x", &[1], vec![1i64 << 42])]).expect_err("there is not so much memory");
        session.run(&[named("x", &[1], vec![3i64])]).expect("it still runs");
    }
}

fn prost_varint(mut value: usize, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn branch(inner: Option<GraphProto>, depth: usize) -> GraphProto {
    let mut graph = GraphBuilder::new("branch");
    let out = format!("out_{depth}");
    match inner {
        Some(inner) => {
            let branches = vec![
                AttributeProto::graph("then_branch", inner.clone()),
                AttributeProto::graph("else_branch", inner),
            ];
            graph.node_to("If", &["c"], &[&out], branches);
        }
        None => graph.node_to("Identity", &["x"], &[&out], vec![]),
    }
    graph.output(&out, F32, &[ANY]);
    graph.into_graph()
}

fn nested_if(depth: usize) -> Vec<u8> {
    let inner = (0..depth).fold(None, |inner, level| Some(branch(inner, level))).expect("at least one");
    let mut graph = GraphBuilder::new("nested");
    graph.input("x", F32, &[ANY]);
    graph.input("c", DataType::Bool, &[Dim::Fixed(1)]);
    let branches = vec![
        AttributeProto::graph("then_branch", inner.clone()),
        AttributeProto::graph("else_branch", inner),
    ];
    graph.node_to("If", &["c"], &["y"], branches);
    graph.output("y", F32, &[ANY]);
    graph.finish()
}

#[test]
fn branches_run_and_deep_ones_are_refused() {
    for engine in onnx_engines() {
        let model = engine.load(&files(&nested_if(2)), &LoadOptions::default()).expect("it loads");
        let inputs = [named("x", &[2], vec![1.0f32, 2.0]), named("c", &[1], vec![true])];
        let got = model.session().expect("a session").run(&inputs).expect("it runs");
        assert_eq!(got[0].tensor.as_f32(), Some(&[1.0f32, 2.0][..]), "{}", engine.name());
    }
    refused(&nested_if(11), "nesting");
}

#[test]
fn loops_without_an_end_are_refused() {
    let mut body = GraphBuilder::new("body");
    body.input("i", DataType::I64, &[]);
    body.input("go", DataType::Bool, &[]);
    body.node_to("Identity", &["go"], &["go_on"], vec![]);
    body.output("go_on", DataType::Bool, &[]);
    let body = body.into_graph();
    let looping = |turns: Option<i64>| {
        let mut graph = GraphBuilder::new("loop");
        graph.input("x", F32, &[ANY]);
        let turns = turns.map(|turns| graph.initializer_i64("turns", &[], &[turns])).unwrap_or_default();
        let mut with_value = body.clone();
        let mut state = GraphBuilder::new("state");
        state.input("v", F32, &[ANY]);
        state.node_to("Identity", &["v"], &["v_next"], vec![]);
        state.output("v_next", F32, &[ANY]);
        let state = state.into_graph();
        with_value.input.extend(state.input);
        with_value.node.extend(state.node);
        with_value.output.extend(state.output);
        let body = vec![AttributeProto::graph("body", with_value)];
        graph.node_to("Loop", &[&turns, "", "x"], &["y"], body);
        graph.output("y", F32, &[ANY]);
        graph.finish()
    };
    refused(&looping(None), "cannot be bounded");
    refused(&looping(Some(i64::MAX)), "turns");
    inspect(&looping(Some(3))).expect("three turns are fine");
}

#[test]
fn a_kernel_larger_than_its_input_is_an_error() {
    let kernel = vec![AttributeProto::ints("kernel_shape", &[5, 5])];
    let image = [Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(3)];
    let weights = noise(25, 4);
    let onnx = one_node("Conv", (F32, &image), (F32, 4), &[(&[1, 1, 5, 5], &weights)], kernel);
    for engine in onnx_engines() {
        let outcome = engine
            .load(&files(&onnx), &LoadOptions::default())
            .and_then(|model| model.session())
            .and_then(|mut session| session.run(&[named("x", &[1, 1, 3, 3], noise(9, 1))]));
        assert!(outcome.is_err(), "{}", engine.name());
    }
}
