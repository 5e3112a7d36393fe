//! `modelyard backtest`: a forecast trained and judged anew at several origins, beside the seasonal naive one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use modelyard_registry::Registry;
use modelyard_registry::document::{RunFold, SplitScores};
use modelyard_train::{Backtest, Project, Spread, spreads};
use serde::Serialize;

use super::GlobalArgs;
use crate::cli::arguments::{ProjectStoreArgs, ThreadsArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{number, short};
use crate::signals::StopSignal;
use crate::table::{Align, Table};
use crate::training::Trainer;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard backtest demand
  modelyard backtest demand --origins 10

For forecasts whose rows are divided by time. The test part is cut into as many
stretches as there are origins. For each, everything is fitted anew, transforms
and network alike, on the rows before it; of those the latest decide when to
stop, as many as [data.split] says. No window that learns reaches into the
stretch that judges.

Nothing is published, and no gate is held against it. Each training is kept in
the store as a run: `modelyard runs list` shows them.

With --json: {\"project\": name, \"origins\": [{\"origin\": time, \"run\": number,
  \"rows\": count learned from, \"test_rows\": count}, …], \"metrics\": {name:
  {\"values\": [of each origin, …], \"mean\", \"range\": [low, high],
  \"seasonal_naive\": [of each origin, …], \"seasonal_naive_mean\"}, …}}";

/// Train and score a forecast at several moments in the past.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct BacktestArgs {
    /// The project's folder, or its modelyard.toml.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// How many times to train: so many origins, which move forward in time.
    #[arg(long, env = "MODELYARD_ORIGINS", value_name = "COUNT", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=100))]
    origins: u16,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    store: ProjectStoreArgs,
}

#[derive(Serialize)]
struct BacktestJson<'a> {
    project: &'a str,
    origins: &'a [Judged],
    metrics: &'a BTreeMap<String, Spread>,
}

/// What became of one origin.
#[derive(Serialize)]
struct Judged {
    origin: String,
    run: u64,
    rows: usize,
    test_rows: usize,
    #[serde(skip)]
    scores: SplitScores,
}

/// Trains at each origin and prints.
///
/// # Errors
/// A project that does not forecast or has too few rows, a store that cannot be written, Ctrl-C.
pub(crate) fn run(args: &BacktestArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let project = Project::read(&args.project)?;
    let store = args.store.path(project.folder());
    let mut judged = Vec::new();
    let ended = wiring::block_on(async {
        let stop = StopSignal::listen()?;
        let registry = wiring::open_or_create(&store).await?;
        let mut trainer = Trainer { global, threads: args.threads.count(), stop: &stop, output };
        judge_all(&project, usize::from(args.origins), (&registry, &mut trainer), &mut judged).await
    });
    if ended.is_err() && judged.is_empty() {
        return ended;
    }
    let scores: Vec<SplitScores> = judged.iter().map(|judged| judged.scores.clone()).collect();
    let metrics = spreads(&scores);
    output.text(table(&judged, &metrics));
    ended?;
    output.json(&BacktestJson { project: project.name().as_str(), origins: &judged, metrics: &metrics });
    Ok(())
}

/// Trains at one origin after the other; what was judged stays where a later one fails.
async fn judge_all(
    project: &Project,
    origins: usize,
    (registry, trainer): (&Registry, &mut Trainer<'_>),
    judged: &mut Vec<Judged>,
) -> Result<(), Failure> {
    let backtest = Backtest::new(project, origins)?;
    for (at, fold) in backtest.folds().iter().enumerate() {
        let (number, origin) = (at as u64 + 1, fold.origin.clone());
        trainer.output.remark(format!("origin {number} of {origins}, {origin}"));
        let prepared = backtest.prepare(at)?;
        let record = RunFold { number, of: origins as u64, origin: origin.clone() };
        let trained = trainer.train_fold(project, &prepared, registry, record).await;
        let (run, trained) =
            trained.map_err(|failure| failure.context(format!("origin {number} of {origins}, {origin}")))?;
        judged.push(Judged {
            origin,
            run,
            rows: prepared.parts.train.len(),
            test_rows: prepared.parts.test.len(),
            scores: trained.scores.splits.get("test").cloned().unwrap_or_default(),
        });
    }
    Ok(())
}

/// The origins, then each metric over them with the seasonal naive forecast's below.
fn table(judged: &[Judged], metrics: &BTreeMap<String, Spread>) -> String {
    let mut origins = Table::new(&[
        ("", Align::Right),
        ("origin", Align::Left),
        ("learned from", Align::Right),
        ("judged by", Align::Right),
        ("run", Align::Right),
    ]);
    for (at, judged) in judged.iter().enumerate() {
        let counts = [judged.rows as u64, judged.test_rows as u64, judged.run].map(|count| count.to_string());
        origins.row([(at + 1).to_string(), judged.origin.clone()].into_iter().chain(counts));
    }
    let numbers: Vec<String> = (1..=judged.len()).map(|at| at.to_string()).collect();
    let mut columns = vec![("metric", Align::Left)];
    columns.extend(numbers.iter().map(|number| (number.as_str(), Align::Right)));
    columns.extend([("mean", Align::Right), ("range", Align::Right)]);
    let mut scores = Table::new(&columns);
    for (name, spread) in metrics {
        let [low, high] = spread.range.map(short);
        let cells = spread.values.iter().map(|value| number(*value));
        scores.row(
            std::iter::once(name.clone())
                .chain(cells)
                .chain([short(spread.mean), format!("{low} to {high}")]),
        );
        if spread.seasonal_naive_mean.is_some() {
            let cells = spread.seasonal_naive.iter().map(|value| number(*value));
            let ends = [number(spread.seasonal_naive_mean), String::new()];
            scores.row(std::iter::once("  seasonal naive".to_owned()).chain(cells).chain(ends));
        }
    }
    format!("{}\n\n{}", origins.render(2), scores.render(2))
}
