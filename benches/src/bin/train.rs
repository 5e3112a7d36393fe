//! Training speed: samples a second of seven workloads, forward, backward and Adam, beside PyTorch's.
//!
//! `train [--threads N] [--filter NAME] [--peer-python PYTHON [--rounds N]]`. Without a peer it measures in
//! this process and prints one `RESULT` line for each workload. With one, each workload runs in processes of
//! its own, ours and PyTorch's by turns, and a table of medians follows.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use modelyard_model::{
    Activation, Adam, Conv2d, CrossEntropy, Dense, Engine, EngineConfig, Flatten, GlobalAvgPool1d, LayerSpec,
    LossSpec, Lstm, MaxPool2d, MeanSquaredError, Network, NetworkSpec, OptimizerSpec, Rng, Targets,
    TransformerEncoder,
};

/// What to measure.
struct Options {
    threads: usize,
    filter: String,
    peer_python: Option<String>,
    rounds: usize,
}

/// A network and the size of its mini-batch.
struct Workload {
    name: &'static str,
    spec: NetworkSpec,
    batch: usize,
    lesson: Lesson,
}

/// What the network is to learn from random rows.
#[derive(Clone, Copy)]
enum Lesson {
    /// Which of as many random projections as there are outputs is the largest; cross entropy.
    LargestProjection,
    /// Five times the mean of the second half of the row's values; mean squared error.
    LateMean,
}

/// The wanted answers of one mini-batch.
enum Answers {
    Classes(Vec<u32>),
    Values(Vec<f32>),
}

/// What one run of one workload measured; written as one line and read back from it.
struct Measured(BTreeMap<String, f64>);

fn main() -> Result<()> {
    let options = options()?;
    match &options.peer_python {
        None => {
            for workload in workloads().iter().filter(|workload| workload.name.contains(&options.filter)) {
                println!("RESULT workload={} {}", workload.name, measure(workload, options.threads)?);
            }
            Ok(())
        }
        Some(python) => compare(&options, python),
    }
}

fn options() -> Result<Options> {
    let mut options = Options { threads: 2, filter: String::new(), peer_python: None, rounds: 3 };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--threads" => options.threads = value.parse().context("--threads takes a number")?,
            "--filter" => options.filter = value,
            "--peer-python" => options.peer_python = Some(value),
            "--rounds" => options.rounds = value.parse().context("--rounds takes a number")?,
            _ => bail!("unknown option {flag}; there are --threads, --filter, --peer-python and --rounds"),
        }
    }
    Ok(options)
}

fn workloads() -> Vec<Workload> {
    let small = || dense(&[100, 64, 64, 10]);
    let workload = |name, spec, batch| Workload { name, spec, batch, lesson: Lesson::LargestProjection };
    vec![
        workload("a32", small(), 32),
        workload("a1024", small(), 1024),
        workload("b32", convolutions(), 32),
        workload("b256", convolutions(), 256),
        Workload { lesson: Lesson::LateMean, ..workload("c64", lstm(), 64) },
        workload("d32", transformer(), 32),
        workload("e256", dense(&[1024, 2048, 2048, 1000]), 256),
    ]
}

/// An LSTM over 64 steps of 8 values whose last output goes to one number.
fn lstm() -> NetworkSpec {
    let layers = [LayerSpec::Lstm(Lstm::new(64)), LayerSpec::Dense(Dense::new(1, None))];
    NetworkSpec::new(vec![64, 8], layers)
}

/// Dense layers with relu between them.
fn dense(widths: &[usize]) -> NetworkSpec {
    let last = widths.len() - 2;
    let activation = |at| if at == last { None } else { Some(Activation::Relu) };
    let layers = widths[1..].iter().enumerate();
    NetworkSpec::new(
        vec![widths[0]],
        layers.map(|(at, &units)| LayerSpec::Dense(Dense::new(units, activation(at)))),
    )
}

/// Two convolutions with pooling and two dense layers on 28×28 pixels.
fn convolutions() -> NetworkSpec {
    let relu = Some(Activation::Relu);
    NetworkSpec::new(
        vec![28, 28, 1],
        [
            LayerSpec::Conv2d(Conv2d::new(32, 3, relu)),
            LayerSpec::MaxPool2d(MaxPool2d::default()),
            LayerSpec::Conv2d(Conv2d::new(64, 3, relu)),
            LayerSpec::MaxPool2d(MaxPool2d::default()),
            LayerSpec::Flatten(Flatten {}),
            LayerSpec::Dense(Dense::new(64, relu)),
            LayerSpec::Dense(Dense::new(10, None)),
        ],
    )
}

/// Two encoder blocks over 64 steps of 128 features, the mean over the steps, and ten logits.
fn transformer() -> NetworkSpec {
    let block = || LayerSpec::TransformerEncoder(TransformerEncoder::new(4, 512));
    let layers = [
        block(),
        block(),
        LayerSpec::GlobalAvgPool1d(GlobalAvgPool1d::default()),
        LayerSpec::Dense(Dense::new(10, None)),
    ];
    NetworkSpec::new(vec![64, 128], layers)
}

/// Four mini-batches of random rows with their answers.
fn mini_batches(workload: &Workload, outputs: usize) -> Vec<(Vec<f32>, Answers)> {
    let mut rng = Rng::new(42);
    let features: usize = workload.spec.input.iter().product();
    let projection: Vec<f32> = (0..features * outputs).map(|_| rng.normal()).collect();
    let class = |row: &[f32]| {
        let mut scores = vec![0.0; outputs];
        for (x, weights) in row.iter().zip(projection.chunks(outputs)) {
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += x * weight);
        }
        (0u32..).zip(scores).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class)
    };
    let late_mean = |row: &[f32]| {
        let late = &row[features / 2..];
        5.0 * late.iter().sum::<f32>() / late.len() as f32
    };
    let batches = (0..4).map(|_| {
        let rows: Vec<f32> = (0..workload.batch * features).map(|_| rng.normal()).collect();
        let each = rows.chunks(features);
        let answers = match workload.lesson {
            Lesson::LargestProjection => Answers::Classes(each.map(class).collect()),
            Lesson::LateMean => Answers::Values(each.map(late_mean).collect()),
        };
        (rows, answers)
    });
    batches.collect()
}

impl Lesson {
    fn loss(self) -> LossSpec {
        match self {
            Self::LargestProjection => LossSpec::CrossEntropy(CrossEntropy::default()),
            Self::LateMean => LossSpec::MeanSquaredError(MeanSquaredError {}),
        }
    }
}

impl Answers {
    fn targets(&self) -> Targets<'_> {
        match self {
            Self::Classes(classes) => Targets::Classes(classes),
            Self::Values(values) => Targets::Values(values),
        }
    }
}

/// Warms up for 0.7 s, then measures five windows of about 0.6 s.
fn measure(workload: &Workload, threads: usize) -> Result<Measured> {
    let outputs = workload.spec.output_shape()?.iter().product();
    let batches = mini_batches(workload, outputs);
    let config = EngineConfig {
        loss: workload.lesson.loss(),
        optimizer: OptimizerSpec::Adam(Adam::default()),
        clip_norm: None,
        clip_value: None,
        average_decay: None,
        mini_batch_max: workload.batch,
        threads,
        seed: 42,
    };
    let mut engine = Engine::new(Network::init(workload.spec.clone(), 42)?, config)?;
    let mut steps = 0;
    let mut step = || -> Result<f32> {
        let (rows, answers) = &batches[steps % batches.len()];
        steps += 1;
        Ok(engine.step(rows, answers.targets(), None)?.loss)
    };
    let first = step()?;
    let start = Instant::now();
    let mut warm = 0;
    while start.elapsed() < Duration::from_millis(700) || warm < 12 {
        step()?;
        warm += 1;
    }
    let per_step = start.elapsed().as_secs_f64() / f64::from(warm);
    let count = ((0.6 / per_step).ceil() as usize).max(2);
    let (mut rates, mut last) = (Vec::new(), first);
    let cpu = cpu_seconds()?;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..count {
            last = step()?;
        }
        rates.push((count * workload.batch) as f64 / start.elapsed().as_secs_f64());
    }
    let samples = (5 * count * workload.batch) as f64;
    rates.sort_by(f64::total_cmp);
    let values = [
        ("samples_per_second", rates[2]),
        ("min", rates[0]),
        ("max", rates[4]),
        ("cpu_us_per_sample", (cpu_seconds()? - cpu) / samples * 1e6),
        ("peak_mib", peak_mib()?),
        ("loss_first", f64::from(first)),
        ("loss_last", f64::from(last)),
    ];
    Ok(Measured(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// Processor time of this process so far, from Linux's /proc in ticks of 10 ms.
fn cpu_seconds() -> Result<f64> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").context("processor time is read from Linux's /proc")?;
    let (_, after_name) =
        stat.rsplit_once(')').context("/proc/self/stat names the program in parentheses")?;
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    ensure!(ticks.len() == 2, "/proc/self/stat holds user and system time");
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory that this process has held.
fn peak_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("memory is read from Linux's /proc")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("there is a VmHWM line")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM is a number")?;
    Ok(kib / 1024.0)
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value:.4}")).collect();
        f.write_str(&fields.join(" "))
    }
}

impl Measured {
    /// Reads the `RESULT` line of a run.
    fn from_output(output: &str) -> Result<Self> {
        let line =
            output.lines().find(|line| line.starts_with("RESULT ")).context("the run printed no RESULT")?;
        let fields = line.split_whitespace().filter_map(|field| field.split_once('='));
        Ok(Self(fields.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(f64::NAN)
    }
}

/// Runs us and both of PyTorch's ways by turns and prints the table.
fn compare(options: &Options, python: &str) -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/train_pytorch.py");
    let threads = options.threads.to_string();
    println!(
        "| workload | modelyard /s | PyTorch /s | PyTorch fused /s | ratio | CPU ratio | MiB | PyTorch MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for workload in workloads().iter().filter(|workload| workload.name.contains(&options.filter)) {
        let run = |command: &mut Command| -> Result<Measured> {
            let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
            ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            Measured::from_output(&String::from_utf8_lossy(&output.stdout))
        };
        let mut runs: [Vec<Measured>; 3] = Default::default();
        for _ in 0..options.rounds {
            let own = ["--threads", &threads, "--filter", workload.name];
            runs[0].push(run(Command::new(std::env::current_exe()?).args(own))?);
            runs[1].push(run(Command::new(python).args([script, &threads, workload.name, "plain"]))?);
            runs[2].push(run(Command::new(python).args([script, &threads, workload.name, "fused"]))?);
        }
        let [own, plain, fused] = [0, 1, 2].map(|side| median(&runs[side], "samples_per_second"));
        let best = if fused > plain { 2 } else { 1 };
        println!(
            "| {} | {own:.0} | {plain:.0} | {fused:.0} | {:.2} | {:.2} | {:.0} | {:.0} |",
            workload.name,
            own / plain.max(fused),
            median(&runs[best], "cpu_us_per_sample") / median(&runs[0], "cpu_us_per_sample"),
            median(&runs[0], "peak_mib"),
            median(&runs[best], "peak_mib"),
        );
    }
    Ok(())
}

fn median(runs: &[Measured], name: &str) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(|run| run.get(name)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
