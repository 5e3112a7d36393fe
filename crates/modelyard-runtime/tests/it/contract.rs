//! What every engine that runs ONNX promises: the same answers on the same small models, sessions side by
//! side, any batch, and an error for inputs that do not fit.

use modelyard_model::onnx::GraphBuilder;
use modelyard_model::onnx::proto::{AttributeProto, AttributeType};
use modelyard_runtime::{LoadOptions, RuntimeError, parity};
use modelyard_types::{DataType, Dim, ErrorKind, TensorData};

use crate::support::{files, named, noise, one_node, onnx_engines, runtimes};

const ANY: Dim = Dim::Any;
const F32: DataType = DataType::F32;

/// Runs a model on `x` and compares `y`, within 1e-5, on every engine.
fn check(what: &str, onnx: &[u8], x: (&[usize], TensorData), y: (&[usize], TensorData)) {
    for engine in onnx_engines() {
        let model = engine
            .load(&files(onnx), &LoadOptions::default())
            .unwrap_or_else(|error| panic!("{what} on {}: {error}", engine.name()));
        let mut session = model.session().expect("a session");
        let got = session
            .run(&[named("x", x.0, x.1.clone())])
            .unwrap_or_else(|error| panic!("{what} on {}: {error}", engine.name()));
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].name, "y");
        assert_eq!(got[0].tensor.shape(), y.0, "{what} on {}", engine.name());
        match (got[0].tensor.data(), &y.1) {
            (TensorData::F32(got), TensorData::F32(want)) => {
                let near = got.iter().zip(want).all(|(a, b)| (a - b).abs() <= 1e-5);
                assert!(near, "{what} on {}: {got:?} is not {want:?}", engine.name());
            }
            (got, want) => assert_eq!(got, want, "{what} on {}", engine.name()),
        }
    }
}

#[test]
fn elementwise_operators_answer_as_specified() {
    let x = [-2.0f32, -0.5, 0.0, 3.0];
    let cases: [(&str, Vec<AttributeProto>, [f32; 4]); 12] = [
        ("Relu", vec![], [0.0, 0.0, 0.0, 3.0]),
        ("LeakyRelu", vec![AttributeProto::float("alpha", 0.1)], [-0.2, -0.05, 0.0, 3.0]),
        ("Elu", vec![], x.map(|v| if v < 0.0 { v.exp() - 1.0 } else { v })),
        ("Sigmoid", vec![], x.map(|v| 1.0 / (1.0 + (-v).exp()))),
        ("Tanh", vec![], x.map(f32::tanh)),
        ("Exp", vec![], x.map(f32::exp)),
        ("Abs", vec![], x.map(f32::abs)),
        ("Neg", vec![], x.map(|v| -v)),
        ("Floor", vec![], x.map(f32::floor)),
        ("Ceil", vec![], x.map(f32::ceil)),
        ("Softplus", vec![], x.map(|v| v.exp().ln_1p())),
        ("Identity", vec![], x),
    ];
    for (operator, attributes, want) in cases {
        let onnx = one_node(operator, (F32, &[ANY, Dim::Fixed(2)]), (F32, 2), &[], attributes);
        check(operator, &onnx, (&[2, 2], x.to_vec().into()), (&[2, 2], want.to_vec().into()));
    }
}

#[test]
fn products_windows_and_normalisation_answer_as_specified() {
    let gemm = one_node(
        "Gemm",
        (F32, &[ANY, Dim::Fixed(2)]),
        (F32, 2),
        &[(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), (&[3], &[0.5, 0.0, -0.5])],
        vec![],
    );
    check("Gemm", &gemm, (&[1, 2], vec![1.0f32, -1.0].into()), (&[1, 3], vec![-2.5f32, -3.0, -3.5].into()));
    let image = [ANY, Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(3)];
    let pixels: Vec<f32> = (1u8..=9).map(f32::from).collect();
    let conv = one_node(
        "Conv",
        (F32, &image),
        (F32, 4),
        &[(&[1, 1, 2, 2], &[1.0, 0.0, 0.0, -1.0]), (&[1], &[10.0])],
        vec![AttributeProto::ints("kernel_shape", &[2, 2])],
    );
    check("Conv", &conv, (&[1, 1, 3, 3], pixels.clone().into()), (&[1, 1, 2, 2], vec![6.0f32; 4].into()));
    let window =
        || vec![AttributeProto::ints("kernel_shape", &[2, 2]), AttributeProto::ints("strides", &[1, 1])];
    let max = one_node("MaxPool", (F32, &image), (F32, 4), &[], window());
    let want = vec![5.0f32, 6.0, 8.0, 9.0];
    check("MaxPool", &max, (&[1, 1, 3, 3], pixels.clone().into()), (&[1, 1, 2, 2], want.into()));
    let mean = one_node("AveragePool", (F32, &image), (F32, 4), &[], window());
    let want = vec![3.0f32, 4.0, 6.0, 7.0];
    check("AveragePool", &mean, (&[1, 1, 3, 3], pixels.into()), (&[1, 1, 2, 2], want.into()));
    let softmax = one_node("Softmax", (F32, &[ANY, Dim::Fixed(2)]), (F32, 2), &[], vec![]);
    let want = vec![0.5f32, 0.5, 0.268_941_43, 0.731_058_6];
    check("Softmax", &softmax, (&[2, 2], vec![1.0f32, 1.0, 0.0, 1.0].into()), (&[2, 2], want.into()));
}

#[test]
fn other_element_types_go_in_and_come_out() {
    let row = [ANY, Dim::Fixed(3)];
    let argmax =
        one_node("ArgMax", (F32, &row), (DataType::I64, 2), &[], vec![AttributeProto::int("axis", 1)]);
    check("ArgMax", &argmax, (&[1, 3], vec![1.0f32, 5.0, 2.0].into()), (&[1, 1], vec![1i64].into()));
    let mut graph = GraphBuilder::new("lookup");
    graph.input("x", DataType::I64, &[ANY]);
    let table = graph.initializer_f32("table", &[3, 2], &[0.0, 0.1, 1.0, 1.1, 2.0, 2.1]);
    graph.node_to("Gather", &[&table, "x"], &["y"], vec![]);
    graph.output("y", F32, &[ANY, Dim::Fixed(2)]);
    let want = vec![2.0f32, 2.1, 0.0, 0.1];
    check("Gather", &graph.finish(), (&[2], vec![2i64, 0].into()), (&[2, 2], want.into()));
    let not = one_node("Not", (DataType::Bool, &[ANY]), (DataType::Bool, 1), &[], vec![]);
    check("Not", &not, (&[2], vec![true, false].into()), (&[2], vec![false, true].into()));
    let same = |data_type| one_node("Identity", (data_type, &[ANY]), (data_type, 1), &[], vec![]);
    check("I32", &same(DataType::I32), (&[2], vec![1i32, -2].into()), (&[2], vec![1i32, -2].into()));
    check("I64", &same(DataType::I64), (&[1], vec![-7i64].into()), (&[1], vec![-7i64].into()));
    check("U8", &same(DataType::U8), (&[2], vec![0u8, 255].into()), (&[2], vec![0u8, 255].into()));
}

#[test]
fn onnx_runtime_carries_every_element_type() {
    let Some(engine) = onnx_engines().into_iter().find(|engine| engine.name() == "onnxruntime") else {
        return eprintln!("SKIPPED: element types on ONNX Runtime");
    };
    let cases: [TensorData; 8] = [
        TensorData::U16(vec![1, 2]),
        vec![1u32, 2].into(),
        vec![1u64, u64::MAX].into(),
        vec![i64::MIN, 1].into(),
        TensorData::F16(vec![0x3C00, 0xC000]),
        vec![1.5f64, -0.1].into(),
        vec![i8::MIN, 3].into(),
        TensorData::Bytes(vec![b"red".to_vec(), "grün".as_bytes().to_vec()]),
    ];
    for data in cases {
        let onnx = one_node("Identity", (data.data_type(), &[ANY]), (data.data_type(), 1), &[], vec![]);
        let model = engine.load(&files(&onnx), &LoadOptions::default()).expect("it loads");
        let got =
            model.session().expect("a session").run(&[named("x", &[2], data.clone())]).expect("it runs");
        assert_eq!(got[0].tensor.data(), &data);
    }
    let onnx = one_node("Identity", (DataType::Bytes, &[ANY]), (DataType::Bytes, 1), &[], vec![]);
    let model = engine.load(&files(&onnx), &LoadOptions::default()).expect("it loads");
    let bad = named("x", &[1], TensorData::Bytes(vec![vec![0xff]]));
    let error = model.session().expect("a session").run(&[bad]).expect_err("no UTF-8");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

fn mlp() -> Vec<u8> {
    let mut graph = GraphBuilder::new("mlp");
    graph.input("x", F32, &[ANY, Dim::Fixed(4)]);
    let (w1, b1) = (noise(32, 1), noise(8, 2));
    let w1 = graph.initializer_f32("w1", &[4, 8], &w1);
    let b1 = graph.initializer_f32("b1", &[8], &b1);
    let hidden = graph.node("Gemm", &["x", &w1, &b1], vec![]);
    let hidden = graph.node("Relu", &[&hidden], vec![]);
    let w2 = graph.initializer_f32("w2", &[8, 3], &noise(24, 3));
    graph.node_to("MatMul", &[&hidden, &w2], &["y"], vec![]);
    graph.output("y", F32, &[ANY, Dim::Fixed(3)]);
    graph.finish()
}

#[test]
fn sessions_run_side_by_side_and_any_batch_gives_the_same_rows() {
    for engine in onnx_engines() {
        let model = engine.load(&files(&mlp()), &LoadOptions { threads: 2 }).expect("it loads");
        let rows = noise(4 * 16, 9);
        let all =
            model.session().expect("a session").run(&[named("x", &[16, 4], rows.clone())]).expect("it runs");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (model, rows, all) = (&model, &rows, &all);
                scope.spawn(move || {
                    let mut session = model.session().expect("a session");
                    for row in (0..16).filter(|row| row % 4 == worker) {
                        let x = named("x", &[1, 4], rows[row * 4..row * 4 + 4].to_vec());
                        let got = session.run(&[x]).expect("it runs");
                        let want = all[0].tensor.slice_rows(row, row + 1);
                        let pairs = got[0]
                            .tensor
                            .as_f32()
                            .into_iter()
                            .flatten()
                            .zip(want.as_f32().into_iter().flatten());
                        assert!(pairs.clone().count() == 3);
                        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5), "{}", engine.name());
                    }
                });
            }
        });
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors_and_the_session_stays_usable() {
    for engine in onnx_engines() {
        let model = engine.load(&files(&mlp()), &LoadOptions::default()).expect("it loads");
        let mut session = model.session().expect("a session");
        let good = named("x", &[1, 4], noise(4, 1));
        let wrong = [
            vec![],
            vec![named("z", &[1, 4], noise(4, 1))],
            vec![named("x", &[1, 5], noise(5, 1))],
            vec![named("x", &[4], noise(4, 1))],
            vec![named("x", &[1, 4], vec![1i64; 4])],
            vec![named("x", &[0, 4], Vec::<f32>::new())],
            vec![good.clone(), good.clone()],
        ];
        for inputs in wrong {
            let error = session.run(&inputs).expect_err("it does not fit");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        let odd = named("x", &[1, 4], vec![f32::NAN, f32::INFINITY, -1.0, 0.0]);
        session.run(&[odd]).expect("NaN and infinity are numbers to a network");
        session.run(&[good]).expect("it still runs");
    }
}

#[test]
fn rten_refuses_by_name_what_it_would_answer_wrongly() {
    let rten = runtimes().by_name("rten").expect("it is always there");
    let image = [ANY, Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(3)];
    let refused = |onnx: &[u8], word: &str| {
        let error = rten.check(&files(onnx)).expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("pip install onnxruntime")), "{error:?}");
    };
    refused(&one_node("ConvInteger", (DataType::U8, &image), (DataType::I32, 4), &[], vec![]), "ConvInteger");
    refused(&one_node("QLinearConv", (DataType::U8, &image), (DataType::U8, 4), &[], vec![]), "QLinearConv");
    let no_strides = vec![AttributeProto::ints("kernel_shape", &[2, 2])];
    refused(&one_node("MaxPool", (F32, &image), (F32, 4), &[], no_strides), "strides");
    refused(&one_node("ai.onnx.ml::Scaler", (F32, &[ANY]), (F32, 1), &[], vec![]), "ai.onnx.ml::Scaler");
    refused(&one_node("Identity", (DataType::F64, &[ANY]), (DataType::F64, 1), &[], vec![]), "FP64");
    let mut old = GraphBuilder::new("old");
    old.operator_set("", 12);
    old.input("x", F32, &[ANY, Dim::Fixed(2)]);
    old.node_to("Softmax", &["x"], &["y"], vec![]);
    old.output("y", F32, &[ANY, Dim::Fixed(2)]);
    refused(&old.finish(), "Softmax");
    let mut sum = GraphBuilder::new("wide");
    sum.input("x", DataType::I64, &[ANY]);
    sum.node_to("Add", &["x", "x"], &["y"], vec![]);
    sum.output("y", DataType::I64, &[ANY]);
    refused(&sum.finish(), "64-bit");
    let cast = vec![AttributeProto::int("to", 9)];
    refused(&one_node("Cast", (F32, &[ANY]), (DataType::Bool, 1), &[], cast), "Bool");
    let wide = one_node("Identity", (DataType::I64, &[ANY]), (DataType::I64, 1), &[], vec![]);
    let model = rten.load(&files(&wide), &LoadOptions::default()).expect("it loads");
    let error =
        model.session().expect("a session").run(&[named("x", &[1], vec![1i64 << 40])]).expect_err("wide");
    assert!(matches!(error, RuntimeError::InputValue { .. }), "{error}");
}

#[test]
fn rten_agrees_with_onnx_runtime_operator_by_operator() {
    const OPERATORS: [&str; 46] = [
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Ceil",
        "Clip",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Flatten",
        "Floor",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "LogSoftmax",
        "LpNormalization",
        "Neg",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softmax",
        "Softsign",
        "Sqrt",
        "Tan",
        "Tanh",
        "Transpose",
    ];
    if onnx_engines().len() < 2 {
        return eprintln!("SKIPPED: rten beside ONNX Runtime");
    }
    for operator in OPERATORS {
        let onnx = one_node(operator, (F32, &[ANY, Dim::Fixed(4)]), (F32, 2), &[], vec![]);
        let x = named("x", &[3, 4], noise(12, 8));
        let report =
            parity(runtimes(), &files(&onnx), &[x]).unwrap_or_else(|error| panic!("{operator}: {error}"));
        assert!(report.agrees(1e-5), "{operator}: {report:?}");
    }
}

#[test]
fn trees_and_their_kin_run_on_onnx_runtime() {
    let Some(engine) = onnx_engines().into_iter().find(|engine| engine.name() == "onnxruntime") else {
        return eprintln!("SKIPPED: ai.onnx.ml on ONNX Runtime");
    };
    let floats = |name: &str, values: &[f32]| AttributeProto {
        name: name.to_owned(),
        floats: values.to_vec(),
        r#type: AttributeType::Floats.into(),
        ..AttributeProto::default()
    };
    let mut graph = GraphBuilder::new("scaler");
    graph.operator_set("ai.onnx.ml", 3);
    graph.input("x", F32, &[ANY, Dim::Fixed(2)]);
    let attributes = vec![floats("offset", &[1.0, 2.0]), floats("scale", &[10.0, 0.5])];
    graph.node_to("ai.onnx.ml::Scaler", &["x"], &["y"], attributes);
    graph.output("y", F32, &[ANY, Dim::Fixed(2)]);
    let onnx = graph.finish();
    assert_eq!(runtimes().choose(&files(&onnx)).expect("ONNX Runtime takes it").name(), "onnxruntime");
    let model = engine.load(&files(&onnx), &LoadOptions::default()).expect("it loads");
    let got =
        model.session().expect("a session").run(&[named("x", &[1, 2], vec![3.0f32, 4.0])]).expect("it runs");
    assert_eq!(got[0].tensor.as_f32(), Some(&[20.0f32, 1.0][..]));
}

#[test]
fn the_choice_is_explained() {
    let nothing = modelyard_runtime::Runtimes::detect(&modelyard_runtime::RuntimeConfig::default());
    let trees = one_node("ai.onnx.ml::Scaler", (F32, &[ANY]), (F32, 1), &[], vec![]);
    let error = nothing.choose(&files(&trees)).map(|runtime| runtime.name()).expect_err("no engine");
    let text = error.to_string();
    assert!(text.contains("native") && text.contains("rten") && text.contains("ONNX Runtime"), "{text}");
    assert!(error.hint().is_some());
    assert_eq!(nothing.choose(&files(&mlp())).expect("it is a chain of layers").name(), "native-onnx");
    let softplus = one_node("Softplus", (F32, &[ANY]), (F32, 1), &[], vec![]);
    assert_eq!(nothing.choose(&files(&softplus)).expect("rten takes it").name(), "rten");
    let unknown = nothing.by_name("tensorflow").map(|runtime| runtime.name()).expect_err("no such engine");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(nothing.report().len(), 4);
}
