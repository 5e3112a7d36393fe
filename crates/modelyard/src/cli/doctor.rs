//! `modelyard doctor`: what this machine and this store have, what is missing, and how to get it.

use std::path::Path;

use clap::Args;
use modelyard_api::ApiConfig;
use modelyard_runtime::{OnnxLimits, RuntimeReport, instruction_sets};
use modelyard_serve::ServeConfig;
use serde::Serialize;

use super::GlobalArgs;
use crate::cli::arguments::StoreArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring::{self, size};

const HELP: &str = "\
Examples:
  modelyard doctor
  modelyard doctor --store examples/digits/.modelyard

With --json: {\"version\": text, \"threads\": count, \"instruction_sets\": [name,
  …], \"engines\": [{\"name\", \"available\": bool, \"version\": text or null, \"path\":
  path or null, \"runs\": text, \"missing\": text or null}, …], \"limits\": {name:
  number, …}, \"store\": {\"path\", \"state\": \"ok\", \"absent\" or \"unusable\",
  \"detail\": text}}";

/// Say which engines, instruction sets and limits there are, and whether the store is well.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct DoctorJson {
    version: &'static str,
    threads: usize,
    instruction_sets: Vec<&'static str>,
    engines: Vec<EngineJson>,
    limits: LimitsJson,
    store: StoreJson,
}

#[derive(Serialize)]
struct EngineJson {
    name: &'static str,
    available: bool,
    version: Option<String>,
    path: Option<std::path::PathBuf>,
    runs: &'static str,
    missing: Option<String>,
}

#[derive(Serialize)]
struct LimitsJson {
    onnx_file_bytes_max: usize,
    onnx_nodes_max: usize,
    body_bytes_max: usize,
    request_rows_max: usize,
    queue_rows_max: usize,
    batch_size_max: usize,
    deadline_ms: u128,
    connections_max: usize,
}

#[derive(Serialize)]
struct StoreJson {
    path: std::path::PathBuf,
    state: &'static str,
    detail: String,
}

/// Looks around and tells.
///
/// # Errors
/// A library given with `--onnxruntime` that is not there; all else that is missing is told, not an error.
pub(crate) fn run(args: &DoctorArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let found = DoctorJson {
        version: env!("CARGO_PKG_VERSION"),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        instruction_sets: instruction_sets()
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _)| name)
            .collect(),
        engines: wiring::runtimes(global)?.report().into_iter().map(EngineJson::from).collect(),
        limits: limits(),
        store: store(&args.store.store),
    };
    output.text(text(&found));
    output.json(&found);
    Ok(())
}

impl From<RuntimeReport> for EngineJson {
    fn from(report: RuntimeReport) -> Self {
        let RuntimeReport { name, version, path, runs, missing } = report;
        Self { name, available: missing.is_none(), version, path, runs, missing }
    }
}

fn limits() -> LimitsJson {
    let (onnx, serve, api) = (OnnxLimits::default(), ServeConfig::default(), ApiConfig::default());
    LimitsJson {
        onnx_file_bytes_max: onnx.file_bytes_max,
        onnx_nodes_max: onnx.nodes_max,
        body_bytes_max: api.body_bytes_max,
        request_rows_max: serve.request_rows_max,
        queue_rows_max: serve.queue_rows_max,
        batch_size_max: serve.batch_size_max,
        deadline_ms: serve.deadline_default.as_millis(),
        connections_max: api.connections_max,
    }
}

/// The state of a store, without making one.
fn store(path: &Path) -> StoreJson {
    let (state, detail) = if !path.exists() {
        ("absent", "none yet; `modelyard up` and `modelyard import` make one".to_owned())
    } else {
        let counted = wiring::block_on(async {
            let registry = wiring::open_existing(path).await?;
            let models = registry.models().await?;
            Ok((models.len(), models.iter().map(|model| model.versions).sum::<u64>()))
        });
        match counted {
            Ok((models, versions)) => ("ok", format!("models: {models}, versions: {versions}")),
            Err(failure) => ("unusable", failure.to_string()),
        }
    };
    StoreJson { path: path.to_owned(), state, detail }
}

fn text(found: &DoctorJson) -> String {
    let mut lines = vec![
        format!("modelyard {}", found.version),
        format!("  threads          {}", found.threads),
        format!("  instructions     {}", found.instruction_sets.join(" ")),
        format!("  store            {}: {}", found.store.path.display(), found.store.detail),
        "engines".to_owned(),
    ];
    for engine in &found.engines {
        let version = engine.version.as_deref().unwrap_or("not found");
        let path = engine.path.as_ref().map(|path| format!(", {}", path.display())).unwrap_or_default();
        lines.push(format!("  {:<16} {version}{path}", engine.name));
        lines.push(format!("  {:<16} runs {}", "", engine.runs));
        lines.extend(engine.missing.as_ref().map(|missing| format!("  {:<16} missing: {missing}", "")));
    }
    let limits = &found.limits;
    lines.push("limits".to_owned());
    lines.push(format!("  request body     {}", size(limits.body_bytes_max as u64)));
    lines.push(format!(
        "  rows             {} a request, {} waiting",
        limits.request_rows_max, limits.queue_rows_max
    ));
    lines.push(format!("  batch            {} rows", limits.batch_size_max));
    lines.push(format!("  deadline         {} ms", limits.deadline_ms));
    lines.push(format!("  connections      {}", limits.connections_max));
    lines.push(format!(
        "  imported ONNX    {}, {} nodes",
        size(limits.onnx_file_bytes_max as u64),
        limits.onnx_nodes_max
    ));
    lines.join("\n")
}
