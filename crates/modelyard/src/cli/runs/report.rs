//! `modelyard runs report`: the page about a run.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::arguments::StoreArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard runs report 7 --out run-7.html
  modelyard runs report 7 > run-7.html

The page is one file and needs no server: learning curves, confusion matrix,
calibration, scores by class, the worst errors. It shows rows of the data.

With --json and --out: {\"run\": number, \"file\": path}";

/// Write a run's report: one HTML page with curves, scores and errors.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ReportArgs {
    /// The run's number.
    run: u64,
    /// The file to write; standard output when absent.
    #[arg(long, env = "MODELYARD_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    run: u64,
    file: &'a std::path::Path,
}

/// Writes the page.
///
/// # Errors
/// A run that is not there or has no report, or a file that cannot be written.
pub(crate) fn run(args: &ReportArgs, output: &mut Output) -> Result<(), Failure> {
    let html = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let run = registry.run(args.run).await?;
        registry.run_report(run.id)?.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("run {} has no report: it is {}", run.id, run.record.status))
                .hint("a report is written when training is over; `modelyard runs show` has every epoch")
        })
    })?;
    let Some(file) = &args.out else {
        output.bytes(&html);
        return Ok(());
    };
    std::fs::write(file, html)
        .map_err(|error| Failure::io(format!("cannot write {}", file.display()), &error))?;
    output.text(format!("written to {}", file.display()));
    output.json(&ReportJson { run: args.run, file });
    Ok(())
}
