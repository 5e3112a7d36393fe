//! `modelyard evaluate`: a registered version's scores on other data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use modelyard_registry::document::Scores;
use modelyard_train::evaluate::task_of;
use modelyard_train::project::Split;
use serde::Serialize;

use crate::cli::arguments::ThreadsArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::report::report;
use crate::stored::{ModelAndData, Stored};

const HELP: &str = "\
Examples:
  modelyard evaluate digits november.csv
  modelyard evaluate digits november.csv --model-version 3

The data must hold the answers, under the names that the project file gives
them. The gates that the project sets for its test rows are held against these
scores: one that is missed ends with exit code 4.

With --json: {\"model\": name, \"version\": number, \"data\": path, \"gates_passed\":
  bool, \"scores\": scores.json, with these rows as its split \"test\"}";

/// Score a registered version on data that holds the answers.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    asked: ModelAndData,
    /// The file with the answers, where the format keeps them apart (IDX, NPY).
    #[arg(long, env = "MODELYARD_LABELS", value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsArgs,
}

#[derive(Serialize)]
struct EvaluateJson<'a> {
    model: &'a str,
    version: u64,
    data: &'a std::path::Path,
    gates_passed: bool,
    scores: &'a Scores,
}

/// Scores and prints.
///
/// # Errors
/// A version or file that is not there, data that does not fit, or a missed gate.
pub(crate) fn run(args: &EvaluateArgs, output: &mut Output) -> Result<(), Failure> {
    let stored = Stored::load(&args.asked)?;
    let data = &args.asked.data;
    let dataset = stored.read(data, args.labels.as_deref(), &stored.model.pipeline().spec_of_columns())?;
    let rows = dataset.samples();
    let scored = stored.model.evaluate(&dataset, &rows, args.threads.count())?;
    let test = stored.project.gates().iter().filter(|gate| gate.split == Split::Test);
    let gates = test.map(|gate| gate.judge(Some(&scored))).collect();
    let splits = BTreeMap::from([(Split::Test.as_str().to_owned(), scored)]);
    let scores = Scores { task: task_of(stored.model.pipeline()).name().to_owned(), splits, gates };
    let (name, number) = (&stored.version.name, stored.version.version);
    output.text(format!("{name} version {number} on {}\n\n{}", data.display(), report(&scores)));
    output.json(&EvaluateJson {
        model: name.as_str(),
        version: number.get(),
        data,
        gates_passed: scores.gates_passed(),
        scores: &scores,
    });
    if scores.gates_passed() {
        return Ok(());
    }
    let message = format!("{name} version {number} misses a gate on {}", data.display());
    Err(Failure::new(Exit::GateMissed, message))
}
