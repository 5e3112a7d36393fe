//! Forward and backward of each kind of layer at a usual size, one thread: how much of the rate that large matrix
//! products reach on this machine is left of it.
//!
//! `layers [--filter NAME] [--rounds N]`. Each layer stands between a batch normalisation, which has weights and so
//! asks for the derivative by its output, and a squared loss; what a network without the layer takes is taken off
//! (its loss is of more values: shares of layers that give few values are up to a twentieth too high).
//! The rates count a layer's own multiplications and additions. Beside it stand the bare product of the same size
//! and a large one, and the share of the larger rate. All take turns in every round, and the medians are shown, so
//! that a busy machine slows them alike. Time is the thread's own.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod subjects;

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use modelyard_model::{
    Dense, Engine, EngineConfig, Forward, LayerSpec, LossSpec, MeanSquaredError, Network, NetworkSpec,
    OptimizerSpec, Rng, Sgd, Targets,
};

use subjects::{Subject, frame_layer, subjects};

/// The large product: rows, inner dimension, columns. The rows of one block stay in cache.
const LARGE: [usize; 3] = [2048, 256, 256];
/// Seconds that one side computes in one turn.
const TURN_SECONDS: f64 = 0.1;

/// What can be run again and again.
trait Side {
    fn run(&mut self) -> Result<()>;
}

/// A side with what it measured: seconds of one run in each round.
struct Measured {
    side: Box<dyn Side>,
    runs: u32,
    seconds: Vec<f64>,
}

fn main() -> Result<()> {
    let (filter, rounds) = options()?;
    let mut large = Measured::new(Product::new(LARGE, 1)?)?;
    println!(
        "| layer | input | rows | GFLOP/s | same product | large product | share | thought to be bound by |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for subject in subjects().into_iter().filter(|subject| subject.name.contains(&filter)) {
        let mut layer = Measured::new(Step::new(&subject, subject.layers())?)?;
        let mut frame = Measured::new(Step::new(&subject, vec![frame_layer()])?)?;
        let mut product = subject.product.map(|size| Product::new(size, subject.rows)).transpose()?;
        let mut product = product.take().map(Measured::new).transpose()?;
        for _ in 0..rounds {
            layer.turn()?;
            frame.turn()?;
            large.turn()?;
            product.as_mut().map(Measured::turn).transpose()?;
        }
        let frame = if subject.is_first() { 0.0 } else { frame.median() };
        let product = product.as_mut().map(Measured::median);
        print(&subject, layer.median() - frame, product, large.median());
    }
    Ok(())
}

fn options() -> Result<(String, usize)> {
    let (mut filter, mut rounds) = (String::new(), 7);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--filter" => filter = value,
            "--rounds" => rounds = value.parse().context("--rounds takes a number")?,
            _ => bail!("unknown option {flag}; there are --filter and --rounds"),
        }
    }
    ensure!(rounds > 0, "--rounds takes a number from 1");
    Ok((filter, rounds))
}

/// One training step of some layers.
struct Step {
    engine: Engine,
    rows: Vec<f32>,
    targets: Vec<f32>,
}

impl Step {
    fn new(subject: &Subject, layers: Vec<LayerSpec>) -> Result<Self> {
        let tokens = subject.is_first();
        let spec = NetworkSpec::new(subject.input.clone(), layers);
        let outputs: usize = spec.output_shape()?.iter().product();
        let inputs: usize = subject.input.iter().product();
        let mut rng = Rng::new(42);
        let value = |rng: &mut Rng| if tokens { (5_000.0 * rng.uniform()).floor() } else { rng.normal() };
        let rows = (0..subject.rows * inputs).map(|_| value(&mut rng)).collect();
        let config = EngineConfig {
            loss: LossSpec::MeanSquaredError(MeanSquaredError {}),
            optimizer: OptimizerSpec::Sgd(Sgd { learning_rate: 1e-9, ..Sgd::default() }),
            clip_norm: None,
            clip_value: None,
            average_decay: None,
            mini_batch_max: subject.rows,
            threads: 1,
            seed: 42,
        };
        let engine = Engine::new(Network::init(spec, 42)?, config)?;
        Ok(Self { engine, rows, targets: vec![0.0; subject.rows * outputs] })
    }
}

impl Side for Step {
    fn run(&mut self) -> Result<()> {
        self.engine.step(&self.rows, Targets::Values(&self.targets), None)?;
        Ok(())
    }
}

/// A bare matrix product: a dense layer without bias or activation.
struct Product {
    forward: Forward,
    rows: usize,
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Product {
    fn new([rows, inner, columns]: [usize; 3], times: usize) -> Result<Self> {
        let dense = Dense { use_bias: false, ..Dense::new(columns, None) };
        let network = Network::init(NetworkSpec::new(vec![inner], [LayerSpec::Dense(dense)]), 42)?;
        let (mut rng, rows) = (Rng::new(42), rows * times);
        let input = (0..rows * inner).map(|_| rng.normal()).collect();
        Ok(Self { forward: Forward::new(&Arc::new(network)), rows, input, output: Vec::new() })
    }
}

impl Side for Product {
    fn run(&mut self) -> Result<()> {
        Ok(self.forward.run(&self.input, self.rows, &mut self.output)?)
    }
}

impl Measured {
    /// Finds how many runs fill a turn.
    fn new(side: impl Side + 'static) -> Result<Self> {
        let mut measured = Self { side: Box::new(side), runs: 1, seconds: Vec::new() };
        loop {
            let seconds = measured.run()?;
            if seconds >= TURN_SECONDS / 2.0 {
                let runs = f64::from(measured.runs) * TURN_SECONDS / seconds;
                return Ok(Self { runs: runs.ceil() as u32, ..measured });
            }
            measured.runs = measured.runs.saturating_mul(2);
        }
    }

    fn turn(&mut self) -> Result<()> {
        let seconds = self.run()? / f64::from(self.runs);
        self.seconds.push(seconds);
        Ok(())
    }

    fn run(&mut self) -> Result<f64> {
        let start = thread_seconds()?;
        for _ in 0..self.runs {
            self.side.run()?;
        }
        Ok(thread_seconds()? - start)
    }

    fn median(&mut self) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        self.seconds.get(self.seconds.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn print(subject: &Subject, layer: f64, product: Option<f64>, large: f64) {
    let input: Vec<String> = subject.input.iter().map(ToString::to_string).collect();
    let start = format!("| {} | {} | {} |", subject.name, input.join("×"), subject.rows);
    let bound = subject.bound;
    if subject.multiplications == 0 {
        let values = (subject.rows * subject.input.iter().product::<usize>()) as f64;
        let time = match layer / values * 1e9 {
            time if time > 0.05 => format!("{time:.2} ns a value"),
            _ => "less than the frame's own noise".to_owned(),
        };
        println!("{start} none: {time} | | | | {bound} |");
        return;
    }
    // Forward once, backward twice: by the weights and by the inputs.
    let rate = 6.0 * (subject.rows * subject.multiplications) as f64 / layer / 1e9;
    let large = 2.0 * LARGE.iter().product::<usize>() as f64 / large / 1e9;
    let same = product
        .zip(subject.product)
        .map(|(seconds, size)| 2.0 * (subject.rows * size.iter().product::<usize>()) as f64 / seconds / 1e9);
    let share = rate / same.unwrap_or(0.0).max(large);
    let same = same.map_or_else(String::new, |rate| format!("{rate:.0}"));
    println!("{start} {rate:.0} | {same} | {large:.0} | {share:.2} | {bound} |");
}

/// This thread's processor time, from the scheduler's own count in nanoseconds.
fn thread_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("Linux's /proc is read")?;
    let first = text.split_whitespace().next().context("schedstat is empty")?;
    Ok(first.parse::<f64>()? / 1e9)
}
