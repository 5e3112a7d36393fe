//! `modelyard models compare`: two versions side by side.

use clap::Args;
use modelyard_registry::{Comparison, FileChange};
use modelyard_types::{ModelName, VersionSelector};
use serde::Serialize;

use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard models compare digits 1 2
  modelyard models compare digits live 5

With --json: {\"model\": name, \"first\": number, \"second\": number, \"scores\":
  [{\"split\", \"metric\", \"first\": value or null, \"second\": value or null}, …],
  \"files\": [{\"name\", \"change\": \"same\", \"changed\", \"only_first\" or
  \"only_second\"}, …], \"lineage\": [{\"field\", \"first\": text or null, \"second\":
  text or null}, …]}";

/// Compare two versions of a model: scores, files, and what went into them.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct CompareArgs {
    /// The model's name.
    model: ModelName,
    /// A version number or an alias.
    first: VersionSelector,
    /// The version to hold beside it.
    second: VersionSelector,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct CompareJson<'a> {
    model: &'a str,
    first: u64,
    second: u64,
    scores: Vec<ScoreJson<'a>>,
    files: Vec<FileJson<'a>>,
    lineage: Vec<LineageJson<'a>>,
}

#[derive(Serialize)]
struct ScoreJson<'a> {
    split: &'a str,
    metric: &'a str,
    first: Option<f64>,
    second: Option<f64>,
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    change: &'static str,
}

#[derive(Serialize)]
struct LineageJson<'a> {
    field: &'static str,
    first: Option<&'a str>,
    second: Option<&'a str>,
}

/// Prints both versions side by side.
///
/// # Errors
/// A model or version that is not there, or a damaged store.
pub(crate) fn run(args: &CompareArgs, output: &mut Output) -> Result<(), Failure> {
    let found = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        Ok(registry.compare(&args.model, &args.first, &args.second).await?)
    })?;
    output.text(text(&found));
    output.json(&json(&found));
    Ok(())
}

fn text(found: &Comparison) -> String {
    let (first, second) =
        (format!("version {}", found.first.version), format!("version {}", found.second.version));
    let mut parts = vec![format!("{}: {first} and {second}", found.first.name)];
    if !found.scores.is_empty() {
        parts.push(scores(found, &first, &second));
    }
    if !found.lineage.is_empty() {
        let mut table =
            Table::new(&[("made from", Align::Left), (&first, Align::Left), (&second, Align::Left)]);
        let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        for line in &found.lineage {
            table.row([line.field.to_owned(), value(&line.first), value(&line.second)]);
        }
        parts.push(table.render(2));
    }
    let mut files = Table::new(&[("file", Align::Left), ("", Align::Left)]);
    for file in &found.files {
        let words = match file.change {
            FileChange::Same => "the same".to_owned(),
            FileChange::Changed => "different".to_owned(),
            FileChange::OnlyFirst => format!("only in {first}"),
            FileChange::OnlySecond => format!("only in {second}"),
        };
        files.row([file.name.clone(), words]);
    }
    parts.push(files.render(2));
    parts.join("\n\n")
}

fn scores(found: &Comparison, first: &str, second: &str) -> String {
    let mut table = Table::new(&[
        ("split", Align::Left),
        ("metric", Align::Left),
        (first, Align::Right),
        (second, Align::Right),
        ("change", Align::Right),
    ]);
    let value = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
    for score in &found.scores {
        let change = score.first.zip(score.second).map(|(a, b)| format!("{:+.4}", b - a));
        table.row([
            score.split.clone(),
            score.metric.clone(),
            value(score.first),
            value(score.second),
            change.unwrap_or_default(),
        ]);
    }
    table.render(2)
}

fn json(found: &Comparison) -> CompareJson<'_> {
    CompareJson {
        model: found.first.name.as_str(),
        first: found.first.version.get(),
        second: found.second.version.get(),
        scores: found
            .scores
            .iter()
            .map(|s| ScoreJson { split: &s.split, metric: &s.metric, first: s.first, second: s.second })
            .collect(),
        files: found.files.iter().map(|f| FileJson { name: &f.name, change: f.change.as_str() }).collect(),
        lineage: found
            .lineage
            .iter()
            .map(|l| LineageJson { field: l.field, first: l.first.as_deref(), second: l.second.as_deref() })
            .collect(),
    }
}
