//! Engines and small models for the other tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use modelyard_model::onnx::GraphBuilder;
use modelyard_model::onnx::proto::AttributeProto;
use modelyard_runtime::{ModelFiles, Runtime, RuntimeConfig, Runtimes, usual_onnxruntime_paths};
use modelyard_types::{DataType, Dim, NamedTensor, Tensor, TensorData};

/// All engines, found once. Says loudly when ONNX Runtime is not there.
pub(crate) fn runtimes() -> &'static Runtimes {
    static RUNTIMES: OnceLock<Runtimes> = OnceLock::new();
    RUNTIMES.get_or_init(|| {
        let found = Runtimes::detect(&RuntimeConfig {
            onnxruntime_candidates: onnxruntime_candidates(),
            ..RuntimeConfig::default()
        });
        if let Some(missing) = found.report().into_iter().find_map(|report| report.missing) {
            assert!(!onnxruntime_is_demanded(), "MODELYARD_ONNXRUNTIME is set: {missing}");
            eprintln!("SKIPPED: everything about ONNX Runtime: {missing}");
        }
        found
    })
}

#[allow(clippy::disallowed_methods, reason = "a test is its own binary: it may read its environment")]
fn onnxruntime_candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("MODELYARD_ONNXRUNTIME") {
        return vec![path.into()];
    }
    let ask = "import site; print('\\n'.join(site.getsitepackages() + [site.getusersitepackages()]))";
    let roots = Command::new("python3").args(["-c", ask]).output().map(|output| output.stdout);
    let roots =
        String::from_utf8_lossy(&roots.unwrap_or_default()).lines().map(PathBuf::from).collect::<Vec<_>>();
    usual_onnxruntime_paths(&roots)
}

/// Who names a library wants it tested, not skipped.
#[allow(clippy::disallowed_methods, reason = "a test is its own binary: it may read its environment")]
fn onnxruntime_is_demanded() -> bool {
    std::env::var_os("MODELYARD_ONNXRUNTIME").is_some()
}

/// The engines that run ONNX and are usable here.
pub(crate) fn onnx_engines() -> Vec<&'static dyn Runtime> {
    let usable = |name: &str| runtimes().report().iter().any(|r| r.name == name && r.missing.is_none());
    ["onnxruntime", "rten"]
        .into_iter()
        .filter(|name| usable(name))
        .map(|name| runtimes().by_name(name).expect("it is in the report"))
        .collect()
}

pub(crate) fn files(onnx: &[u8]) -> ModelFiles<'_> {
    ModelFiles { onnx: Some(onnx), ..ModelFiles::default() }
}

pub(crate) fn named(name: &str, shape: &[usize], data: impl Into<TensorData>) -> NamedTensor {
    let tensor = Tensor::new(shape.to_vec(), data.into()).expect("the shape fits the data");
    NamedTensor { name: name.to_owned(), tensor }
}

/// A model of one node: input `x` of this shape, output `y` of this type, `more` as constants of floats.
pub(crate) fn one_node(
    operator: &str,
    x: (DataType, &[Dim]),
    y: (DataType, usize),
    more: &[(&[usize], &[f32])],
    attributes: Vec<AttributeProto>,
) -> Vec<u8> {
    let mut graph = GraphBuilder::new(operator);
    graph.input("x", x.0, x.1);
    let mut inputs = vec!["x".to_owned()];
    for (i, (shape, values)) in more.iter().enumerate() {
        inputs.push(graph.initializer_f32(&format!("c{i}"), shape, values));
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    graph.node_to(operator, &inputs, &["y"], attributes);
    graph.output("y", y.0, &vec![Dim::Any; y.1]);
    graph.finish()
}

/// Numbers between -1 and 1 from a seed.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
