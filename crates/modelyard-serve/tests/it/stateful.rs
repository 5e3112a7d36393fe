//! Models from elsewhere whose configuration tells how they take part in sequences: what one answers is what it is
//! asked next.

use std::sync::Arc;

use modelyard_model::{Activation, Dense, LayerSpec, Network, NetworkSpec};
use modelyard_serve::{ModelSettings, SequenceId, SequenceStep, ServeConfig, ServeError, Server};
use modelyard_types::{ErrorKind, NamedTensor, Tensor};

use crate::folder::{folder, serve};
use crate::name;

const CONFIG: &str = r#"max_batch_size: 4
output { name: "output" data_type: TYPE_FP32 dims: 2 }
sequence_batching {
  direct { }
  state { input_name: "input" output_name: "output" data_type: TYPE_FP32 dims: 2 }
}"#;

/// A network of two inputs and as many outputs.
fn onnx() -> Vec<u8> {
    let layers = vec![LayerSpec::Dense(Dense::new(2, Some(Activation::Softmax)))];
    let network = Network::init(NetworkSpec::new(vec![2], layers), 1).expect("it fits together");
    network.to_onnx().expect("exports")
}

/// What a model answers to a row.
async fn ask(server: &Server, model: &str, row: &[f32]) -> Result<Vec<f32>, ServeError> {
    let tensor = Tensor::new(vec![1, row.len()], row.to_vec().into()).expect("it fits");
    let inputs = vec![NamedTensor { name: "input".to_owned(), tensor }];
    let version = server.open(model, None).await?;
    let answered = version.infer(inputs, &[], server.deadline().into()).await?;
    Ok(answered.answer[0].tensor.as_f32().expect("numbers").to_vec())
}

/// What a model answers in a sequence, to no inputs of its own.
async fn go_on(
    server: &Server,
    model: &str,
    id: u64,
    (start, end): (bool, bool),
) -> Result<Vec<f32>, ServeError> {
    let opened = server.open(model, None).await?.into();
    let turn = server.take_turn(&opened, false, SequenceStep { id: SequenceId::Number(id), start, end })?;
    let answered = turn.infer(Vec::new(), &[], server.deadline().into(), Ok).await?;
    Ok(answered.answer[0].tensor.as_f32().expect("numbers").to_vec())
}

#[tokio::test]
async fn a_state_is_kept_for_each_sequence_whatever_the_engine() {
    let (config, network) = (CONFIG.as_bytes(), onnx());
    let folder = folder(&[
        ("plain.onnx", &network),
        ("native-onnx/1/model.onnx", &network),
        ("native-onnx/config.pbtxt", config),
        ("rten/1/model.onnx", &network),
        ("rten/config.pbtxt", config),
    ]);
    let by = |engine: &str| ModelSettings { runtime: Some(engine.to_owned()), ..ModelSettings::default() };
    let models = ["native-onnx", "rten"].map(|engine| (name(engine), by(engine))).into();
    let server =
        serve(folder.path(), ServeConfig { models, ..ServeConfig::default() }).await.expect("starts");
    let mut want = vec![vec![0.0, 0.0]];
    for step in 0..3 {
        let next = ask(&server, "plain", &want[step]).await.expect("an answer");
        want.push(next);
    }
    for engine in ["native-onnx", "rten"] {
        let version = server.open(engine, None).await.expect("it is served");
        assert_eq!(
            (version.runtime(), version.signature().inputs.len()),
            (engine, 0),
            "the state is the server's"
        );
        for (id, step, place) in [
            (1, 1, (true, false)),
            (2, 1, (true, false)),
            (1, 2, (false, false)),
            (1, 3, (false, true)),
            (2, 2, (false, true)),
        ] {
            let answer = go_on(&server, engine, id, place).await.expect("an answer");
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(
                answer.iter().zip(&want[step]).all(close),
                "{engine} {id}: {answer:?}, not {:?}",
                want[step]
            );
        }
        let over = go_on(&server, engine, 1, (false, false)).await.expect_err("it has ended");
        assert_eq!(over.kind(), ErrorKind::NotFound);
        let refused = ask(&server, engine, &[0.0, 0.0]).await.expect_err("no sequence");
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.to_string().contains("this one has no sequence_id") && refused.hint().is_some());
    }
}

#[tokio::test]
async fn a_model_says_itself_how_long_its_sequences_live() {
    let short = CONFIG.replace("direct { }", "max_sequence_idle_microseconds: 1");
    let folder = folder(&[("m/1/model.onnx", &onnx()), ("m/config.pbtxt", short.as_bytes())]);
    let server = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    go_on(&server, "m", 1, (true, false)).await.expect("an answer");
    let gone = go_on(&server, "m", 1, (false, false)).await.expect_err("it expired");
    assert!(gone.to_string().contains("expired after 0.000001 s without a request"), "{gone}");
}

#[tokio::test]
async fn a_configuration_of_another_network_is_the_models_problem() {
    let other = CONFIG.replace("output_name: \"output\"", "output_name: \"next\"");
    let twice = CONFIG.replace("output {", "input { name: \"input\" data_type: TYPE_FP32 dims: 2 } output {");
    let folder = folder(&[
        ("other/1/model.onnx", &onnx()),
        ("other/config.pbtxt", other.as_bytes()),
        ("twice/1/model.onnx", &onnx()),
        ("twice/config.pbtxt", twice.as_bytes()),
        ("well/1/model.onnx", &onnx()),
        ("well/config.pbtxt", CONFIG.as_bytes()),
    ]);
    let server: Arc<Server> = serve(folder.path(), ServeConfig::default()).await.expect("starts");
    let problem = |model: &str| server.model(model).expect("known").problem.unwrap_or_default();
    assert!(
        problem("other").contains("declares the output \"next\", its network has output"),
        "{}",
        problem("other")
    );
    assert!(
        problem("twice").contains("\"input\" as an input, which the server fills"),
        "{}",
        problem("twice")
    );
    go_on(&server, "well", 1, (true, true)).await.expect("an answer");
}
