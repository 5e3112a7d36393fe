//! `modelyard models verify`: whether a version's files are still what was published.

use clap::Args;
use serde::Serialize;

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard models verify digits
  modelyard models verify digits 3

Ends with exit code 6 where a file is missing or changed.

With --json: {\"model\": name, \"version\": number, \"digest\": sha256, \"files\":
  count, \"bytes\": count, \"intact\": bool, \"faults\": [{\"file\": name, \"fault\":
  text}, …]}";

/// Read every file of a version and compare it with what was published.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct VerifyJson {
    model: String,
    version: u64,
    digest: String,
    files: usize,
    bytes: u64,
    intact: bool,
    faults: Vec<FaultJson>,
}

#[derive(Serialize)]
struct FaultJson {
    file: String,
    fault: String,
}

/// Checks the files.
///
/// # Errors
/// A version that is not there, or whose files are not what was published.
pub(crate) fn run(args: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    let (name, selector) = (&args.model.model, &args.model.version);
    let report = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.verify(name, selector).await?)
    })?;
    let faults: Vec<FaultJson> = report
        .faults
        .iter()
        .map(|(file, fault)| FaultJson { file: file.clone(), fault: fault.to_string() })
        .collect();
    let intact = report.is_intact();
    if intact {
        output.text(format!("{name} version {}: {} files, all intact", report.version, report.files));
    }
    for fault in &faults {
        output.text(format!("{}: {}", fault.file, fault.fault));
    }
    output.json(&VerifyJson {
        model: name.to_string(),
        version: report.version.get(),
        digest: report.digest,
        files: report.files,
        bytes: report.bytes,
        intact,
        faults,
    });
    if intact {
        return Ok(());
    }
    let message = format!("{name} version {} is damaged", report.version);
    Err(Failure::new(Exit::Store, message)
        .hint(format!("restore the store from a backup, or `modelyard models rollback {name}`")))
}
