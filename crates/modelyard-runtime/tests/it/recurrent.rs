//! Networks over sequences: recurrent layers and embeddings, with padding and without, must answer alike on every
//! engine that takes them; rten refuses by name what it would compute wrongly.

use modelyard_model::onnx::GraphBuilder;
use modelyard_model::onnx::proto::AttributeProto;
use modelyard_runtime::{LoadOptions, ModelFiles, ParityReport, parity};
use modelyard_types::{DataType, Dim, ErrorKind, NamedTensor};
use serde_json::{Value, json};

use crate::exported::{TOLERANCE, network};
use crate::support::{files, named, noise, onnx_engines, runtimes};

const STEPS: usize = 7;
const FEATURES: usize = 3;

fn report(what: &str, input: &[usize], layers: &Value, rows: NamedTensor) -> ParityReport {
    let network = network(input, layers);
    let (json, weights) = (network.network_json(), network.weights_safetensors());
    let onnx = network.to_onnx().expect("every layer exports");
    let files = ModelFiles { onnx: Some(&onnx), network: Some(json.as_bytes()), weights: Some(&weights) };
    let report = parity(runtimes(), &files, &[rows]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.reference, "native");
    if report.differences.is_empty() && onnx_engines().len() == 1 {
        eprintln!("SKIPPED: {what}: rten refuses it, and ONNX Runtime is not here");
        return report;
    }
    assert!(report.agrees(TOLERANCE), "{what}: {report:?}");
    if onnx_engines().iter().any(|engine| engine.name() == "onnxruntime") {
        let answers = report.differences.iter().any(|other| other.runtime == "onnxruntime");
        assert!(answers, "{what}: {report:?}");
    }
    report
}

/// A series of numbers; rten either answers, or refuses with these words.
fn check(what: &str, layers: &Value, rten_refuses: Option<&str>) {
    let rows = named("input", &[5, STEPS, FEATURES], noise(5 * STEPS * FEATURES, 21));
    check_rten(what, &report(what, &[STEPS, FEATURES], layers, rows), rten_refuses);
}

/// Tokens of rows that end in more or less padding, begin in it, and have it in their middle.
pub(crate) fn check_tokens(what: &str, layers: &Value, rten_refuses: Option<&str>) {
    let tokens = [
        [3, 1, 4, 1, 5, 2, 6],
        [2, 5, 1, 0, 0, 0, 0],
        [6, 0, 0, 0, 0, 0, 0],
        [0; STEPS],
        [0, 0, 3, 5, 2, 1, 4],
        [2, 0, 4, 0, 0, 6, 0],
    ];
    let tokens: Vec<f32> = tokens.as_flattened().iter().map(|&token| token as f32).collect();
    let rows = named("input", &[6, STEPS], tokens);
    check_rten(what, &report(what, &[STEPS], layers, rows), rten_refuses);
}

fn check_rten(what: &str, report: &ParityReport, refuses: Option<&str>) {
    let answers = report.differences.iter().any(|other| other.runtime == "rten");
    let reason = report.skipped.iter().find(|(runtime, _)| *runtime == "rten").map(|(_, reason)| reason);
    match refuses {
        None => assert!(answers, "{what}: {report:?}"),
        Some(words) => assert!(reason.is_some_and(|reason| reason.contains(words)), "{what}: {reason:?}"),
    }
}

#[test]
fn recurrent_layers_agree() {
    for (kind, refuses) in [("lstm", None), ("gru", None), ("simple_rnn", Some("no operator RNN"))] {
        for units in [5, 16] {
            for (return_sequences, go_backwards) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let layer = json!({
                    "type": kind, "units": units,
                    "return_sequences": return_sequences, "go_backwards": go_backwards,
                });
                check(&layer.to_string(), &json!([layer]), refuses);
            }
        }
        check(kind, &json!([{ "type": kind, "units": 4, "use_bias": false }]), refuses);
    }
    let relu = json!([{ "type": "simple_rnn", "units": 4, "activation": "relu" }]);
    check("relu", &relu, Some("no operator RNN"));
}

#[test]
fn both_directions_agree() {
    for merge in ["concat", "sum", "ave", "mul"] {
        for return_sequences in [false, true] {
            for kind in ["lstm", "gru"] {
                let inside = json!({ "type": kind, "units": 5, "return_sequences": return_sequences });
                let layer = json!({ "type": "bidirectional", "layer": inside, "merge": merge });
                check(&layer.to_string(), &json!([layer]), None);
            }
        }
    }
    let plain = json!({ "type": "simple_rnn", "units": 5, "activation": "relu" });
    check("plain", &json!([{ "type": "bidirectional", "layer": plain }]), Some("no operator RNN"));
}

#[test]
fn stacks_agree() {
    let layers = json!([
        { "type": "bidirectional", "layer": { "type": "gru", "units": 6, "return_sequences": true } },
        { "type": "dropout", "rate": 0.3 },
        { "type": "lstm", "units": 8, "return_sequences": true },
        { "type": "lstm", "units": 4 },
        { "type": "dense", "units": 2, "activation": "softmax" },
    ]);
    check("stack", &layers, None);
    let layers =
        json!([{ "type": "embedding", "input_dim": 7, "output_dim": 4 }, { "type": "gru", "units": 3 }]);
    check_tokens("embedding", &layers, None);
}

#[test]
fn padding_is_left_out_alike() {
    let embedding = json!({ "type": "embedding", "input_dim": 7, "output_dim": 4, "mask_zero": true });
    for kind in ["lstm", "gru", "simple_rnn"] {
        let refuses = if kind == "simple_rnn" { "no operator RNN" } else { "lengths of sequences" };
        for return_sequences in [false, true] {
            let inside = json!({ "type": kind, "units": 5, "return_sequences": return_sequences });
            let mut backwards = inside.clone();
            backwards["go_backwards"] = true.into();
            let both = json!({ "type": "bidirectional", "layer": inside });
            for layer in [inside, backwards, both] {
                check_tokens(&layer.to_string(), &json!([embedding, layer]), Some(refuses));
            }
        }
    }
    let stack = json!([
        embedding,
        { "type": "bidirectional", "layer": { "type": "lstm", "units": 4, "return_sequences": true } },
        { "type": "dropout", "rate": 0.3 },
        { "type": "gru", "units": 4 },
    ]);
    check_tokens("stack", &stack, Some("lengths of sequences"));
}

#[test]
fn pooling_over_all_steps_leaves_padding_out() {
    let embedding = json!({ "type": "embedding", "input_dim": 7, "output_dim": 4, "mask_zero": true });
    for kind in ["global_avg_pool1d", "global_max_pool1d"] {
        let layers = json!([embedding, { "type": kind }, { "type": "dense", "units": 3 }]);
        check_tokens(kind, &layers, None);
    }
}

#[test]
fn numbers_that_are_no_tokens_are_refused_by_every_engine() {
    let layers =
        json!([{ "type": "embedding", "input_dim": 7, "output_dim": 4 }, { "type": "gru", "units": 3 }]);
    let network = network(&[STEPS], &layers);
    let (json, weights) = (network.network_json(), network.weights_safetensors());
    let onnx = network.to_onnx().expect("every layer exports");
    let files = ModelFiles { onnx: Some(&onnx), network: Some(json.as_bytes()), weights: Some(&weights) };
    let native = runtimes().by_name("native").expect("always there");
    for engine in std::iter::once(native).chain(onnx_engines()) {
        let model = engine.load(&files, &LoadOptions::default()).expect("it runs an embedding");
        let mut session = model.session().expect("one more");
        for wrong in [7.0, 1e6, -8.0] {
            let mut tokens = vec![1.0f32; 2 * STEPS];
            tokens[STEPS + 2] = wrong;
            let error = session.run(&[named("input", &[2, STEPS], tokens)]).expect_err("no token");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}: {error}", engine.name());
        }
        let rows = named("input", &[1, STEPS], vec![6.0f32; STEPS]);
        assert!(session.run(&[rows]).is_ok(), "{} goes on", engine.name());
    }
    let rows = named("input", &[1, STEPS], vec![7.0f32; STEPS]);
    let error = native.load(&files, &LoadOptions::default()).and_then(|model| model.session()?.run(&[rows]));
    let error = error.expect_err("no token");
    assert!(error.hint().is_some_and(|hint| hint.contains("whole numbers from 0 to 6")), "{error}");
}

/// An LSTM of 5 units over `x`, batch first. PyTorch's exporter makes the first state as large as the batch by
/// reading its shape; left out, it is zero.
fn exported_lstm(states: bool) -> Vec<u8> {
    const UNITS: usize = 5;
    let mut graph = GraphBuilder::new("lstm");
    graph.input("x", DataType::F32, &[Dim::Any, Dim::Fixed(STEPS), Dim::Fixed(FEATURES)]);
    let mut weight = |name: &str, shape: &[usize], seed| {
        graph.initializer_f32(name, shape, &noise(shape.iter().product(), seed))
    };
    let kernel = weight("w", &[1, 4 * UNITS, FEATURES], 1);
    let recurrent = weight("r", &[1, 4 * UNITS, UNITS], 2);
    let bias = weight("b", &[1, 8 * UNITS], 3);
    let turn = || vec![AttributeProto::ints("perm", &[1, 0, 2])];
    let steps_first = graph.node("Transpose", &["x"], turn());
    let mut inputs = vec![steps_first, kernel, recurrent, bias];
    if states {
        let first = graph.initializer_i64("first", &[], &[0]);
        let front = graph.initializer_i64("front", &[1], &[0]);
        let one = graph.initializer_i64("one", &[1], &[1]);
        let units = graph.initializer_i64("units", &[1], &[UNITS as i64]);
        let shape = graph.node("Shape", &["x"], Vec::new());
        let rows = graph.node("Gather", &[&shape, &first], vec![AttributeProto::int("axis", 0)]);
        let rows = graph.node("Unsqueeze", &[&rows, &front], Vec::new());
        let shape = graph.node("Concat", &[&one, &rows, &units], vec![AttributeProto::int("axis", 0)]);
        let zeros = graph.node("ConstantOfShape", &[&shape], Vec::new());
        inputs.extend([String::new(), zeros.clone(), zeros]);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let units = vec![AttributeProto::int("hidden_size", UNITS as i64)];
    graph.node_to("LSTM", &inputs, &["all", "hidden", "cell"], units);
    let directions = graph.initializer_i64("directions", &[1], &[1]);
    let all = graph.node("Squeeze", &["all", &directions], Vec::new());
    graph.node_to("Transpose", &[&all], &["y"], turn());
    graph.output("y", DataType::F32, &[Dim::Any, Dim::Fixed(STEPS), Dim::Fixed(UNITS)]);
    graph.finish()
}

#[test]
fn states_made_from_the_shape_of_the_batch_answer_as_states_left_out() {
    let (with, without) = (exported_lstm(true), exported_lstm(false));
    for engine in onnx_engines() {
        let answer = |onnx: &[u8], rows: usize| {
            let model = engine.load(&files(onnx), &LoadOptions::default());
            let model = model.unwrap_or_else(|error| panic!("{}: {error}", engine.name()));
            let row = named("x", &[rows, STEPS, FEATURES], noise(rows * STEPS * FEATURES, 9));
            let outputs = model.session().and_then(|mut session| session.run(&[row]));
            outputs.unwrap_or_else(|error| panic!("{}: {error}", engine.name()))
        };
        for rows in [1, 4] {
            assert_eq!(answer(&with, rows), answer(&without, rows), "{} rows on {}", rows, engine.name());
        }
    }
}
