//! `modelyard export`: a version's files, out of the store.

use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_registry::VersionFiles;
use serde::Serialize;

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard export digits --out digits.onnx     the network alone, as ONNX
  modelyard export digits 3 --out digits-3/     every file of the version, into a new folder
  modelyard export digits --file scores.json    one file, on standard output

What is written was checked against the version's digest.

With --json: {\"model\": name, \"version\": number, \"files\": [path, …]}";

/// Write a version's ONNX file, or all of its files.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Where to: a file ending in `.onnx` for the network alone, otherwise a folder for everything.
    #[arg(long, short, env = "MODELYARD_OUT", value_name = "PATH")]
    out: Option<PathBuf>,
    /// One file of the version, by name; to standard output where --out is not given.
    #[arg(long, env = "MODELYARD_FILE", value_name = "NAME")]
    file: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ExportJson {
    model: String,
    version: u64,
    files: Vec<PathBuf>,
}

/// Writes the files.
///
/// # Errors
/// A version that is not there or is damaged, a file that it does not have, or a place that is taken.
pub(crate) fn run(args: &ExportArgs, output: &mut Output) -> Result<(), Failure> {
    let (version, stored) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let version = registry.find(&args.model.model, &args.model.version).await?;
        let files = registry.load(&version).await?;
        Ok((version, files))
    })?;
    let single = args.file.as_deref().or_else(|| {
        args.out.as_deref().filter(|out| out.extension().is_some_and(|e| e == "onnx")).map(|_| "model.onnx")
    });
    let written = match (single, &args.out) {
        (Some(name), Some(out)) => vec![write(out.clone(), pick(&stored, name)?)?],
        (Some(name), None) => {
            output.bytes(pick(&stored, name)?);
            return Ok(());
        }
        (None, Some(out)) => write_all(&stored, out)?,
        (None, None) => write_all(&stored, Path::new(&format!("{}-{}", version.name, version.version)))?,
    };
    for path in &written {
        output.text(path.display().to_string());
    }
    output.json(&ExportJson {
        model: version.name.to_string(),
        version: version.version.get(),
        files: written,
    });
    Ok(())
}

fn pick<'a>(files: &'a VersionFiles, name: &str) -> Result<&'a [u8], Failure> {
    files.get(name).map(AsRef::as_ref).ok_or_else(|| {
        let names: Vec<&str> = files.iter().map(|(name, _)| name).collect();
        Failure::new(Exit::NotFound, format!("the version has no file {name:?}"))
            .hint(format!("it has {}", names.join(", ")))
    })
}

fn write_all(stored: &VersionFiles, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    files::make_folder(folder)?;
    stored.iter().map(|(name, bytes)| write(folder.join(name), bytes)).collect()
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<PathBuf, Failure> {
    files::write_new(&path, bytes)?;
    Ok(path)
}
