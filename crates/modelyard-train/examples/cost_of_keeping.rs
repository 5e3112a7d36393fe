//! Measures what the checkpoints and the record of a run cost, beside the training itself.
//!
//! `cargo run --release -p modelyard-train --example cost_of_keeping`

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use modelyard_registry::Checkpoints;
use modelyard_train::{EpochRecord, Host, Job, Prepared, Project, Silent, fit, prepare};
use modelyard_types::Clock;

/// Checkpoints are written this often unless the project file says otherwise.
const USUAL: Duration = Duration::from_secs(600);
/// The record of a run is written at most this often.
const RECORD: Duration = Duration::from_secs(10);

const PROJECT: &str = r#"
[project]
name = "cost"
[data]
source = "rows.csv"
[[inputs]]
name = "x"
kind = "vector"
columns = "c0..c63"
[[outputs]]
name = "y"
kind = "number"
[network]
layers = [
  { type = "dense", units = 1024, activation = "relu" },
  { type = "dense", units = 1024, activation = "relu" },
  { type = "dense", units = 1 },
]
[training]
epochs = 4
batch_size = 128
checkpoint = { every_steps = 1 }
"#;

struct RealClock;

#[allow(clippy::disallowed_methods, reason = "an example is its own binary: it may read the clock")]
impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

fn write_project(folder: &Path) -> std::io::Result<()> {
    let header: Vec<String> = (0..64).map(|column| format!("c{column}")).collect();
    let mut rows = format!("{},y\n", header.join(","));
    for row in 0..4_000u32 {
        for column in 0..64u32 {
            let _ = write!(rows, "{},", (row * 31 + column * 17) % 101);
        }
        let _ = writeln!(rows, "{}", row % 7);
    }
    std::fs::write(folder.join("rows.csv"), rows)?;
    std::fs::write(folder.join("modelyard.toml"), PROJECT)
}

/// Trains; gives the time in epochs and the epochs.
fn train(
    (project, prepared): (&Project, &Prepared),
    checkpoints: Option<&Checkpoints>,
) -> Result<(Duration, Vec<EpochRecord>), modelyard_train::TrainError> {
    let host = Host { clock: &RealClock, threads: 2, program: "cost_of_keeping" };
    let job = Job { checkpoints, ..Job::new(project, prepared) };
    let trained = fit(&job, &host, &mut Silent, &AtomicBool::new(false))?;
    Ok((trained.elapsed, trained.history))
}

#[allow(clippy::print_stdout, reason = "the numbers are what it is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    write_project(folder.path())?;
    let project = Project::read(folder.path())?;
    let prepared = prepare(&project)?;
    let both = (&project, &prepared);
    let checkpoints = Checkpoints::open(folder.path(), 2)?;
    train(both, None)?;
    let (without, history) = train(both, None)?;
    let (with, _) = train(both, Some(&checkpoints))?;
    let steps = history.len() * prepared.parts.train.len().div_ceil(128);
    let newest = checkpoints.newest_first()?.into_iter().next().ok_or("one was written")?;
    let bytes = std::fs::metadata(checkpoints.path().join(newest.name))?.len();
    let each = with.saturating_sub(without) / u32::try_from(steps)?;
    println!("{steps} steps: {without:.2?} without checkpoints, {with:.2?} with one after each");
    println!("a checkpoint of {:.1} MB: {each:.2?}", bytes as f64 / 1e6);
    println!("  of a run that writes one every 10 minutes: {:.4} %", percent(each, USUAL));

    let epochs: Vec<EpochRecord> = history.iter().cycle().take(10_000).cloned().collect();
    let start = RealClock.now();
    let text = serde_json::to_string(&epochs)?;
    let wrote = RealClock.now().duration_since(start);
    println!("a record of 10,000 epochs, {:.1} MB: {wrote:.2?}", text.len() as f64 / 1e6);
    println!("  of a run that writes it every 10 seconds: {:.4} %", percent(wrote, RECORD));
    Ok(())
}

fn percent(cost: Duration, every: Duration) -> f64 {
    100.0 * cost.as_secs_f64() / every.as_secs_f64()
}
