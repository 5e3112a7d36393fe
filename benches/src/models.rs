//! The models that are served, as a user brings them: ONNX files, imported by the binary itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use modelyard_model::{
    Activation, Conv2d, Dense, Flatten, LayerSpec, Lstm, MaxPool2d, Network, NetworkSpec, Padding,
};
use serde_json::{Value, json};

/// The network of the training benchmark's `a32`: 100-64-64-10.
///
/// # Errors
/// Never for these layers.
pub fn mlp(seed: u64) -> Result<Network> {
    let layers = vec![relu(64), relu(64), classes()];
    Ok(Network::init(NetworkSpec::new(vec![100], layers), seed)?)
}

/// A network that takes far longer to run than its request takes to be read, as those over pictures do: ten
/// convolutions of 256 filters over 8×8 values.
///
/// # Errors
/// Never for these layers.
pub fn heavy(seed: u64) -> Result<Network> {
    let convolution = Conv2d { padding: Padding::Same, ..Conv2d::new(256, 3, Some(Activation::Relu)) };
    let mut layers = vec![LayerSpec::Conv2d(convolution); 10];
    layers.extend([LayerSpec::Flatten(Flatten {}), classes()]);
    Ok(Network::init(NetworkSpec::new(vec![8, 8, 1], layers), seed)?)
}

/// Two convolutions with pooling and two dense layers over 28×28 pixels, as in the training benchmark.
///
/// # Errors
/// Never for these layers.
pub fn cnn(seed: u64) -> Result<Network> {
    let convolution = |filters| LayerSpec::Conv2d(Conv2d::new(filters, 3, Some(Activation::Relu)));
    let pool = || LayerSpec::MaxPool2d(MaxPool2d::default());
    let layers = vec![
        convolution(32),
        pool(),
        convolution(64),
        pool(),
        LayerSpec::Flatten(Flatten {}),
        relu(64),
        classes(),
    ];
    Ok(Network::init(NetworkSpec::new(vec![28, 28, 1], layers), seed)?)
}

/// A recurrent layer of 128 units that reads 28×28 values row by row: alone, it reads its weights anew for each step.
///
/// # Errors
/// Never for these layers.
pub fn lstm(seed: u64) -> Result<Network> {
    Ok(Network::init(NetworkSpec::new(vec![28, 28], [LayerSpec::Lstm(Lstm::new(128)), classes()]), seed)?)
}

fn relu(units: usize) -> LayerSpec {
    LayerSpec::Dense(Dense::new(units, Some(Activation::Relu)))
}

fn classes() -> LayerSpec {
    LayerSpec::Dense(Dense::new(10, Some(Activation::Softmax)))
}

/// As many values as a client would write them, with four decimals.
pub fn values(count: usize) -> Vec<f64> {
    (0..count).map(|at| ((at as f64 * 1.7).sin() * 2e4).round() / 1e4).collect()
}

/// An inference request of one row of this shape, as the Open Inference Protocol writes it.
pub fn infer_body(row_shape: &[usize]) -> Value {
    infer_rows(1, row_shape)
}

/// The same of several rows.
pub fn infer_rows(rows: usize, row_shape: &[usize]) -> Value {
    let shape: Vec<usize> = std::iter::once(rows).chain(row_shape.iter().copied()).collect();
    let data = values(shape.iter().product());
    json!({ "inputs": [{ "name": "input", "shape": shape, "datatype": "FP32", "data": data }] })
}

/// Brings a network into a store by the binary's own `import`; a further one of a name is its next version.
///
/// # Errors
/// Where the binary refuses it.
pub fn import(binary: &Path, store: &Path, name: &str, network: &Network) -> Result<()> {
    let folder = store.parent().context("the store lies in a folder")?;
    let file = folder.join(format!("{name}.onnx"));
    fs::write(&file, network.to_onnx()?)?;
    run(binary, &["import", &text(&file), "--name", name, "--store", &text(store)])
}

/// Runs one command of the binary to its end.
///
/// # Errors
/// Where it fails.
pub fn run(binary: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new(binary).args(arguments).output().context("cannot run the binary")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {} failed: {said}", binary.display(), arguments.join(" "));
    Ok(())
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}
