//! Models cut into stages: every stage is a model of its own, and together they answer as the whole does.

use std::collections::BTreeMap;

use modelyard_model::onnx::Message;
use modelyard_model::onnx::proto::ModelProto;
use modelyard_runtime::{
    LoadOptions, OnnxLimits, Runtime, RuntimeError, SplitOnnx, inspect_onnx, split_onnx,
};
use modelyard_types::{ErrorKind, NamedTensor, Tensor};
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
