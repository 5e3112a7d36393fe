//! `modelyard models show`: everything about one version.

use clap::Args;
use modelyard_registry::ModelVersion;
use serde::Serialize;
use serde_json::Value;

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::report;
use crate::table::{Align, Table};
use crate::wiring::{self, size, timestamp};

const HELP: &str = "\
Examples:
  modelyard models show digits                  what is live
  modelyard models show digits 3
  modelyard models show digits --versions       a line for each version

With --json: {\"model\": name, \"version\": number, \"digest\": sha256, \"created\":
  time, \"by\": who, \"origin\": \"trained\" or \"imported\", \"gates_passed\": bool,
  \"parent\": number or null, \"aliases\": [alias, …], \"files\": [{\"name\", \"size\",
  \"sha256\"}, …], \"scores\": scores.json or null}; with --versions: {\"versions\":
  [the same without \"scores\", …]}, oldest first";

/// Show one version: where it came from, how good it is, which files it has.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// A line for each version of the model instead.
    #[arg(long, env = "MODELYARD_VERSIONS", value_parser = clap::builder::FalseyValueParser::new())]
    versions: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// A version, as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct VersionJson {
    model: String,
    version: u64,
    digest: String,
    created: String,
    by: String,
    origin: &'static str,
    gates_passed: bool,
    parent: Option<u64>,
    aliases: Vec<String>,
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    name: String,
    size: u64,
    sha256: String,
}

#[derive(Serialize)]
struct ShowJson {
    #[serde(flatten)]
    version: VersionJson,
    scores: Option<Value>,
}

#[derive(Serialize)]
struct VersionsJson {
    versions: Vec<VersionJson>,
}

impl VersionJson {
    pub(crate) fn new(version: &ModelVersion) -> Self {
        let file = |entry: &modelyard_registry::FileEntry| FileJson {
            name: entry.name.clone(),
            size: entry.size,
            sha256: entry.sha256.clone(),
        };
        Self {
            model: version.name.to_string(),
            version: version.version.get(),
            digest: version.digest.clone(),
            created: timestamp(version.created_unix_ms),
            by: version.by.clone(),
            origin: version.origin.as_str(),
            gates_passed: version.gates_passed,
            parent: version.parent.map(|parent| parent.get()),
            aliases: version.aliases.iter().map(ToString::to_string).collect(),
            files: version.files.iter().map(file).collect(),
        }
    }
}

/// Prints the version or the versions.
///
/// # Errors
/// A model or version that is not there, or whose files are damaged.
pub(crate) fn run(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    if args.versions { all(args, output) } else { one(args, output) }
}

fn one(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let (version, scores) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let version = registry.find(&args.model.model, &args.model.version).await?;
        let scores = registry.load_file(&version, "scores.json").await?;
        Ok((version, scores))
    })?;
    output.text(heading(&version));
    if let Some(scores) = &scores {
        output.text(format!("\n{}", report::stored_scores(scores)?));
    }
    let mut files = Table::new(&[("file", Align::Left), ("size", Align::Right), ("sha256", Align::Left)]);
    for file in &version.files {
        files.row([file.name.clone(), size(file.size), file.sha256.clone()]);
    }
    output.text(format!("\n{}", files.render(2)));
    let scores = scores.map(|bytes| serde_json::from_slice(&bytes).unwrap_or(Value::Null));
    output.json(&ShowJson { version: VersionJson::new(&version), scores });
    Ok(())
}

fn heading(version: &ModelVersion) -> String {
    let aliases: Vec<&str> = version.aliases.iter().map(|alias| alias.as_str()).collect();
    let aliases = if aliases.is_empty() { "none".to_owned() } else { aliases.join(", ") };
    let parent = version.parent.map(|parent| format!("\n  parent     version {parent}")).unwrap_or_default();
    format!(
        "{} version {}\n  published  {} by {}\n  origin     {}\n  aliases    {aliases}\n  gates      {}\n  digest     {}{parent}",
        version.name,
        version.version,
        timestamp(version.created_unix_ms),
        version.by,
        version.origin,
        if version.gates_passed { "passed" } else { "missed" },
        version.digest,
    )
}

fn all(args: &ShowArgs, output: &mut Output) -> Result<(), Failure> {
    let versions = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.versions(&args.model.model).await?)
    })?;
    let mut table = Table::new(&[
        ("version", Align::Right),
        ("published", Align::Left),
        ("by", Align::Left),
        ("origin", Align::Left),
        ("gates", Align::Left),
        ("size", Align::Right),
        ("aliases", Align::Left),
    ]);
    for version in &versions {
        let aliases: Vec<&str> = version.aliases.iter().map(|alias| alias.as_str()).collect();
        table.row([
            version.version.to_string(),
            timestamp(version.created_unix_ms),
            version.by.clone(),
            version.origin.to_string(),
            if version.gates_passed { "passed" } else { "missed" }.to_owned(),
            size(version.size_bytes()),
            aliases.join(", "),
        ]);
    }
    output.text(table.render(0));
    output.json(&VersionsJson { versions: versions.iter().map(VersionJson::new).collect() });
    Ok(())
}
