//! `modelyard import`: bring a finished ONNX model in as a version.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use modelyard_registry::document::{Lineage, Machine, SignatureDocument, TensorDocument};
use modelyard_registry::{NewVersion, Origin};
use modelyard_runtime::{LoadOptions, ModelFiles, OnnxLimits, OnnxSummary, inspect_onnx};
use modelyard_types::{Clock, ModelName};
use serde::Serialize;

use super::GlobalArgs;
use crate::cli::arguments::StoreArgs;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::files;
use crate::live::{self, Live};
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard import resnet18.onnx --name resnet18
  modelyard serve                               and it is served

The model is inspected and loaded once before it is published. Refused, with
the reason: data outside the file, operators that no engine here runs, absurd
sizes. The first version of a model becomes `live`; later ones wait for
`modelyard models promote`.

With --json: {\"model\": name, \"version\": number, \"digest\": sha256, \"engine\":
  name, \"live\": bool, \"inputs\": [{\"name\", \"data_type\", \"shape\"}, …],
  \"outputs\": […]}";

/// Bring a finished ONNX model in as a version, to be served like one trained here.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ImportArgs {
    /// The ONNX file.
    file: PathBuf,
    /// The name under which it is registered and served.
    #[arg(long, env = "MODELYARD_NAME")]
    name: ModelName,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct ImportJson {
    model: String,
    version: u64,
    digest: String,
    engine: &'static str,
    live: bool,
    #[serde(flatten)]
    signature: SignatureDocument,
}

/// Inspects, loads and publishes the model.
///
/// # Errors
/// A file that is not there, a model that is refused, or a store that cannot be used.
pub(crate) fn run(args: &ImportArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let shown = args.file.display();
    let limits = OnnxLimits::default();
    let onnx = files::read_up_to(&args.file, limits.file_bytes_max)?;
    let refused = |failure: Failure| failure.context(format!("cannot import {shown}"));
    let summary = inspect_onnx(&onnx, &limits).map_err(|error| refused(error.into()))?;
    let runtimes = wiring::runtimes(global)?;
    let model_files = ModelFiles { onnx: Some(&onnx), ..ModelFiles::default() };
    let loaded = runtimes
        .choose(&model_files)
        .and_then(|runtime| runtime.load(&model_files, &LoadOptions::default()))
        .map_err(|error| refused(error.into()))?;
    let signature = SignatureDocument::from(loaded.signature());
    let documents = documents(args, &summary, &signature);
    let engine = loaded.runtime();
    drop(loaded);
    let mut version_files: BTreeMap<String, Vec<u8>> = documents;
    version_files.insert("model.onnx".to_owned(), onnx);
    let (version, live) = wiring::block_on(async {
        let registry = wiring::open_or_create(&args.store.store).await?;
        let new = NewVersion {
            name: args.name.clone(),
            files: version_files,
            origin: Origin::Imported,
            gates_passed: true,
            summary: serde_json::json!({ "nodes": summary.nodes, "parameters": summary.parameters }),
            parent: None,
            by: wiring::caller(),
        };
        let version = registry.publish(new).await?;
        let live = live::first_goes_live(&registry, &version).await?;
        Ok((version, live))
    })?;
    output.text(format!(
        "published {} version {} ({} nodes, {} parameters, runs on {engine})",
        version.name, version.version, summary.nodes, summary.parameters
    ));
    output.text(tensors("takes", &signature.inputs));
    output.text(tensors("gives", &signature.outputs));
    output.text(live.sentence(&version, &args.store.store));
    output.json(&ImportJson {
        model: version.name.to_string(),
        version: version.version.get(),
        digest: version.digest.clone(),
        engine,
        live: live == Live::Yes,
        signature,
    });
    Ok(())
}

fn tensors(verb: &str, tensors: &[TensorDocument]) -> String {
    let one = |t: &TensorDocument| format!("{} {} {:?}", t.name, t.data_type, t.shape);
    format!("  {verb}  {}", tensors.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// What is stored beside the network itself.
fn documents(
    args: &ImportArgs,
    summary: &OnnxSummary,
    signature: &SignatureDocument,
) -> BTreeMap<String, Vec<u8>> {
    let since = SystemClock.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let source = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let lineage = Lineage {
        source: source.clone(),
        program: concat!("modelyard ", env!("CARGO_PKG_VERSION")).to_owned(),
        machine: Machine {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            threads: 1,
        },
        created_unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        ..Lineage::default()
    };
    let card = format!(
        "# {}\n\nImported from `{}`, written by {} (ONNX opset {}, {} nodes, {} parameters).\n",
        args.name,
        source.unwrap_or_default(),
        if summary.producer.is_empty() { "an unnamed program" } else { &summary.producer },
        summary.opset,
        summary.nodes,
        summary.parameters,
    );
    BTreeMap::from([
        (SignatureDocument::FILE.to_owned(), signature.to_json().into_bytes()),
        (Lineage::FILE.to_owned(), lineage.to_json().into_bytes()),
        ("card.md".to_owned(), card.into_bytes()),
    ])
}
