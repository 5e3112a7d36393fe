//! `modelyard check`: the project file against its data, without training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use modelyard_train::project::Split;
use modelyard_train::{CheckReport, Project, check};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::thousands;
use crate::table::{Align, Table};

const HELP: &str = "\
Examples:
  modelyard check flowers

Unknown keys, shapes that do not fit, columns that are not there and values
that are no numbers are told with file, line and the nearest valid name,
before anything is trained.

With --json: {\"model\": name, \"task\": text, \"rows\": {split: count, …},
  \"columns\": [{\"name\", \"kind\", \"output\": bool}, …], \"classes\": [{\"label\",
  \"rows\": {split: count, …}}, …], \"input_shape\": [size, …], \"layers\":
  [{\"name\", \"output_shape\", \"parameters\"}, …], \"parameters\": count, \"loss\":
  name, \"warnings\": [text, …]}";

/// Check a project file against its data, without training.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct CheckArgs {
    /// The project's folder, or its modelyard.toml.
    #[arg(default_value = ".")]
    project: PathBuf,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    model: &'a str,
    task: &'a str,
    rows: BTreeMap<&'static str, usize>,
    columns: Vec<ColumnJson<'a>>,
    classes: Vec<ClassJson<'a>>,
    input_shape: &'a [usize],
    layers: Vec<LayerJson<'a>>,
    parameters: usize,
    loss: &'a str,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct ColumnJson<'a> {
    name: &'a str,
    kind: &'a str,
    output: bool,
}

#[derive(Serialize)]
struct ClassJson<'a> {
    label: &'a str,
    rows: BTreeMap<&'static str, usize>,
}

#[derive(Serialize)]
struct LayerJson<'a> {
    name: &'a str,
    output_shape: &'a [usize],
    parameters: usize,
}

/// Checks and tells what there is.
///
/// # Errors
/// Whatever training would refuse to start with.
pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<(), Failure> {
    let project = Project::read(&args.project)?;
    let report = check(&project)?;
    output.text(text(&report));
    output.json(&json(&report));
    Ok(())
}

fn text(report: &CheckReport) -> String {
    let mut parts = vec![format!("{}: {}", report.name, report.task)];
    let mut columns = Table::new(&[("column", Align::Left), ("kind", Align::Left), ("", Align::Left)]);
    for column in &report.columns {
        let role = if column.output { "output" } else { "input" };
        columns.row([column.name.clone(), column.kind.clone(), role.to_owned()]);
    }
    parts.push(columns.render(2));
    parts.push(rows(report));
    let mut layers = Table::new(&[("layer", Align::Left), ("gives", Align::Left), ("weights", Align::Right)]);
    layers.row(["input".to_owned(), format!("{:?}", report.input_shape), "0".to_owned()]);
    for layer in &report.layers {
        let weights = thousands(layer.parameters as f64);
        layers.row([layer.name.clone(), format!("{:?}", layer.output_shape), weights]);
    }
    parts.push(layers.render(2));
    let weights = thousands(report.parameters as f64);
    parts.push(format!("  {weights} weights, trained to make {} small", report.loss));
    parts.extend(report.warnings.iter().map(|warning| format!("warning: {warning}")));
    parts.push("the project fits its data".to_owned());
    parts.join("\n\n")
}

fn rows(report: &CheckReport) -> String {
    let mut columns = vec![("rows", Align::Left)];
    columns.extend(report.rows.iter().map(|(split, _)| (split.as_str(), Align::Right)));
    let mut table = Table::new(&columns);
    let counts =
        |rows: &[(Split, usize)]| rows.iter().map(|(_, count)| count.to_string()).collect::<Vec<_>>();
    table.row(std::iter::once("all".to_owned()).chain(counts(&report.rows)));
    for class in &report.classes {
        table.row(std::iter::once(class.label.clone()).chain(counts(&class.rows)));
    }
    table.render(2)
}

fn json(report: &CheckReport) -> CheckJson<'_> {
    let counts =
        |rows: &[(Split, usize)]| rows.iter().map(|(split, count)| (split.as_str(), *count)).collect();
    CheckJson {
        model: &report.name,
        task: report.task,
        rows: counts(&report.rows),
        columns: report
            .columns
            .iter()
            .map(|c| ColumnJson { name: &c.name, kind: &c.kind, output: c.output })
            .collect(),
        classes: report
            .classes
            .iter()
            .map(|c| ClassJson { label: &c.label, rows: counts(&c.rows) })
            .collect(),
        input_shape: &report.input_shape,
        layers: report
            .layers
            .iter()
            .map(|l| LayerJson { name: &l.name, output_shape: &l.output_shape, parameters: l.parameters })
            .collect(),
        parameters: report.parameters,
        loss: report.loss,
        warnings: &report.warnings,
    }
}
