//! `modelyard export`: a version's files, out of the store.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_registry::VersionFiles;
use serde::Serialize;

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::{Exit, Failure};
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
    let (version, files) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let version = registry.find(&args.model.model, &args.model.version).await?;
        let files = registry.load(&version).await?;
        Ok((version, files))
    })?;
    let single = args.file.as_deref().or_else(|| {
        args.out.as_deref().filter(|out| out.extension().is_some_and(|e| e == "onnx")).map(|_| "model.onnx")
    });
    let written = match (single, &args.out) {
        (Some(name), Some(out)) => vec![write_new(out, pick(&files, name)?)?],
        (Some(name), None) => {
            output.bytes(pick(&files, name)?);
            return Ok(());
        }
        (None, Some(out)) => write_all(&files, out)?,
        (None, None) => write_all(&files, Path::new(&format!("{}-{}", version.name, version.version)))?,
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

fn write_all(files: &VersionFiles, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error: std::io::Error| Failure::io(format!("cannot make {}", folder.display()), &error);
    fs::create_dir_all(folder).map_err(cannot)?;
    files.iter().map(|(name, bytes)| write_new(&folder.join(name), bytes)).collect()
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let cannot = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::BadInput, format!("{} is there already", path.display()))
                .hint("remove it, or name another place with --out")
        }
        _ => Failure::io(format!("cannot write {}", path.display()), &error),
    };
    let mut file = fs::File::create_new(path).map_err(cannot)?;
    std::io::Write::write_all(&mut file, bytes).map_err(cannot)?;
    Ok(path.to_owned())
}
