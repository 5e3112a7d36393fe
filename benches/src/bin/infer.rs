//! Inference speed: microseconds a call of the native engine beside rten's and ONNX Runtime's, one thread
//! each, on networks as they are trained here.
//!
//! `infer [--onnxruntime LIBRARY] [--rounds N] [--filter NAME]`. The engines take turns in every round, so
//! that a busy machine slows them alike; the table shows medians over the rounds. The peer is ONNX Runtime's
//! library itself, for instance the one inside its PyPI wheel.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use modelyard_model::{
    Activation, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool1d, LayerSpec, Lstm, MaxPool2d, Network,
    NetworkSpec, Padding, Rng, TransformerEncoder,
};
use modelyard_runtime::{LoadOptions, ModelFiles, RuntimeConfig, Runtimes, Session};
use modelyard_types::{NamedTensor, Tensor};

/// Seconds that one engine computes in one turn.
const TURN_SECONDS: f64 = 0.15;

struct Options {
    onnxruntime: Vec<PathBuf>,
    rounds: usize,
    filter: String,
}

/// One engine on one workload: what it measured in each round, in microseconds a call.
struct Engine {
    name: &'static str,
    session: Box<dyn Session>,
    calls: u32,
    wall_us: Vec<f64>,
    cpu_us: Vec<f64>,
}

fn main() -> Result<()> {
    let options = options()?;
    let runtimes = Runtimes::detect(&RuntimeConfig {
        onnxruntime_candidates: options.onnxruntime.clone(),
        ..RuntimeConfig::default()
    });
    for engine in runtimes.report() {
        let state = engine.missing.or(engine.version).unwrap_or_default();
        println!("# {}: {state}", engine.name);
    }
    println!(
        "{:<8} {:>5}  {:<12} {:>9} {:>9}  {:>14}",
        "network", "batch", "engine", "wall µs", "CPU µs", "÷ onnxruntime"
    );
    for (name, spec) in workloads() {
        for batch in [1, 32] {
            if format!("{name} {batch}").contains(&options.filter) {
                measure(name, &spec, batch, &runtimes, options.rounds)?;
            }
        }
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options { onnxruntime: Vec::new(), rounds: 9, filter: String::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--onnxruntime" => options.onnxruntime.push(value.into()),
            "--rounds" => options.rounds = value.parse().context("--rounds takes a number")?,
            "--filter" => options.filter = value,
            _ => bail!("unknown option {flag}; there are --onnxruntime, --rounds and --filter"),
        }
    }
    ensure!(options.rounds > 0, "--rounds takes a number from 1");
    Ok(options)
}

/// The network of `examples/digits`, a small one of dense layers, a usual one for 28×28 pixels, one for a series of
/// 64 steps, and a Transformer of two encoder blocks over as many.
fn workloads() -> [(&'static str, NetworkSpec); 5] {
    let relu = Some(Activation::Relu);
    let same =
        |filters| LayerSpec::Conv2d(Conv2d { padding: Padding::Same, ..Conv2d::new(filters, 3, relu) });
    let pool = || LayerSpec::MaxPool2d(MaxPool2d::default());
    let dense = |units, activation| LayerSpec::Dense(Dense::new(units, activation));
    let digits = vec![
        same(16),
        same(32),
        pool(),
        LayerSpec::Dropout(Dropout { rate: 0.2 }),
        LayerSpec::Flatten(Flatten {}),
        dense(64, relu),
        dense(10, Some(Activation::Softmax)),
    ];
    let small = vec![dense(64, relu), dense(64, relu), dense(10, None)];
    let pixels = vec![
        LayerSpec::Conv2d(Conv2d::new(32, 3, relu)),
        pool(),
        LayerSpec::Conv2d(Conv2d::new(64, 3, relu)),
        pool(),
        LayerSpec::Flatten(Flatten {}),
        dense(64, relu),
        dense(10, None),
    ];
    let block = || LayerSpec::TransformerEncoder(TransformerEncoder::new(4, 512));
    let mean = LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d::default());
    let transformer = vec![block(), block(), mean, dense(10, None)];
    [
        ("digits", NetworkSpec::new(vec![8, 8, 1], digits)),
        ("mlp", NetworkSpec::new(vec![100], small)),
        ("cnn", NetworkSpec::new(vec![28, 28, 1], pixels)),
        ("lstm", NetworkSpec::new(vec![64, 8], [LayerSpec::Lstm(Lstm::new(64)), dense(1, None)])),
        ("transf.", NetworkSpec::new(vec![64, 128], transformer)),
    ]
}

fn measure(name: &str, spec: &NetworkSpec, batch: usize, runtimes: &Runtimes, rounds: usize) -> Result<()> {
    let network = Network::init(spec.clone(), 42)?;
    let (json, weights, onnx) = (network.network_json(), network.weights_safetensors(), network.to_onnx()?);
    let files = ModelFiles { onnx: Some(&onnx), network: Some(json.as_bytes()), weights: Some(&weights) };
    let shape: Vec<usize> = std::iter::once(batch).chain(spec.input.iter().copied()).collect();
    let mut rng = Rng::new(42);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let input = [NamedTensor { name: "input".to_owned(), tensor: Tensor::new(shape, values.into())? }];
    let mut engines = Vec::new();
    for runtime in runtimes.all().filter(|runtime| runtime.check(&files).is_ok()) {
        let session = runtime.load(&files, &LoadOptions { threads: 1 })?.session()?;
        let mut engine = Engine { name: runtime.name(), session, calls: 1, wall_us: vec![], cpu_us: vec![] };
        engine.warm_up(&input)?;
        engines.push(engine);
    }
    for _ in 0..rounds {
        for engine in &mut engines {
            engine.turn(&input)?;
        }
    }
    let peer =
        engines.iter().find(|engine| engine.name == "onnxruntime").map(|engine| engine.wall_us.clone());
    for engine in &engines {
        let ratio = peer.as_ref().map_or(String::new(), |peer| {
            let ratios = engine.wall_us.iter().zip(peer).map(|(own, peer)| own / peer);
            format!("{:.2}", median(ratios.collect()))
        });
        let (wall, cpu) = (median(engine.wall_us.clone()), median(engine.cpu_us.clone()));
        println!("{name:<8} {batch:>5}  {:<12} {wall:>9.2} {cpu:>9.2}  {ratio:>14}", engine.name);
    }
    Ok(())
}

impl Engine {
    /// Finds how many calls fill a turn.
    fn warm_up(&mut self, input: &[NamedTensor]) -> Result<()> {
        loop {
            let seconds = self.run(input)?;
            if seconds >= TURN_SECONDS / 2.0 {
                self.calls = (f64::from(self.calls) * TURN_SECONDS / seconds).ceil() as u32;
                return Ok(());
            }
            self.calls = self.calls.saturating_mul(2);
        }
    }

    fn turn(&mut self, input: &[NamedTensor]) -> Result<()> {
        let cpu_before = process_cpu_seconds()?;
        let seconds = self.run(input)?;
        let cpu = process_cpu_seconds()? - cpu_before;
        self.wall_us.push(seconds * 1e6 / f64::from(self.calls));
        self.cpu_us.push(cpu * 1e6 / f64::from(self.calls));
        Ok(())
    }

    fn run(&mut self, input: &[NamedTensor]) -> Result<f64> {
        let start = Instant::now();
        for _ in 0..self.calls {
            std::hint::black_box(self.session.run(std::hint::black_box(input))?);
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// CPU time of all threads of this process, from the scheduler's own count in nanoseconds.
fn process_cpu_seconds() -> Result<f64> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir("/proc/self/task").context("this benchmark reads Linux's /proc")? {
        // A thread that has ended meanwhile is gone from there.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        nanoseconds += first.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
