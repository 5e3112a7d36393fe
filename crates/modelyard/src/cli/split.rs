//! `modelyard split`: cut an ONNX model into stages that can run on different servers.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_registry::document::Graph;
use modelyard_runtime::{OnnxLimits, SplitOnnx, Stage, split_onnx};
use modelyard_types::ModelName;
use serde::Serialize;

use super::GlobalArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::Output;
use crate::wiring;

/// The file that declares the graph of the stages.
const GRAPH_FILE: &str = "graph.toml";

const HELP: &str = "\
Examples:
  modelyard split resnet50.onnx --at /layer3/Relu_output_0
  modelyard split resnet50.onnx --at /layer2/Relu_output_0 --at /layer3/Relu_output_0 --out stages

Into the folder go one ONNX file for each stage and graph.toml, which joins them.
Import each stage on the server that is to run it, write the servers' addresses
into graph.toml, and put the graph in force: `modelyard graphs set`.

A tensor that the file gives no type and shape for is looked at by running the
model a few times. Answers are the whole model's; an engine that computes layers
across the cut as one, as ONNX Runtime may, can differ in the last bits.

With --json: {\"graph\": path, \"stages\": [{\"model\": name, \"file\": path, \"inputs\":
  [name, …]}, …]}";

/// Cut an ONNX model at named tensors into stages that can run on different servers.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct SplitArgs {
    /// The ONNX file.
    file: PathBuf,
    /// A tensor at which to cut; several make more stages.
    #[arg(long, env = "MODELYARD_AT", value_name = "TENSOR", required = true)]
    at: Vec<String>,
    /// The name of the whole; its stages are NAME-1, NAME-2 and so on [default: the file's].
    #[arg(long, env = "MODELYARD_NAME")]
    name: Option<ModelName>,
    /// The folder for the stages [default: NAME-stages].
    #[arg(long, short, env = "MODELYARD_OUT", value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct SplitJson<'s> {
    graph: PathBuf,
    stages: Vec<StageJson<'s>>,
}

#[derive(Serialize)]
struct StageJson<'s> {
    model: String,
    file: PathBuf,
    inputs: Vec<&'s str>,
}

/// Writes the stages and the graph that joins them.
///
/// # Errors
/// A model that is refused or has no such tensor, or a folder with something in it.
pub(crate) fn run(args: &SplitArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let shown = args.file.display();
    let (name, models) = names(args)?;
    let limits = OnnxLimits::default();
    let onnx = files::read_up_to(&args.file, limits.file_bytes_max)?;
    let runtimes = wiring::runtimes(global)?;
    let split = split_onnx(&onnx, &args.at, &limits, &runtimes)
        .map_err(|error| Failure::from(error).context(format!("cannot split {shown}")))?;
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}-stages")));
    make(&folder)?;
    let mut stages = Vec::new();
    for (model, stage) in models.into_iter().zip(&split.stages) {
        let file = folder.join(format!("{model}.onnx"));
        write(&file, &stage.onnx)?;
        output.text(format!("{}: {} KiB", file.display(), stage.onnx.len().div_ceil(1024)));
        let inputs = stage.inputs.iter().map(|(name, _)| name.as_str()).collect();
        stages.push(StageJson { model: model.to_string(), file, inputs });
    }
    let graph = folder.join(GRAPH_FILE);
    write(&graph, declaration(&name, &split).as_bytes())?;
    output.text(format!("{}: joins them", graph.display()));
    for StageJson { model, file, .. } in &stages {
        output.remark(format!("next: modelyard import {} --name {model}", file.display()));
    }
    output.remark(format!("then: modelyard graphs set {name} {}", graph.display()));
    output.json(&SplitJson { graph, stages });
    Ok(())
}

/// The name of the whole, and those of its stages: one more than there are cuts.
fn names(args: &SplitArgs) -> Result<(ModelName, Vec<ModelName>), Failure> {
    let refused = |why: String, hint: &str| Failure::new(Exit::BadInput, why).hint(hint);
    let (stages, most) = (args.at.len() + 1, Graph::STEPS_MAX);
    if stages > most {
        let why = format!("{} cuts make {stages} stages, and a graph joins {most} at most", args.at.len());
        return Err(refused(why, "leave some of the cuts out"));
    }
    let whole = name(args)?;
    let models = (1..=stages).map(|number| format!("{whole}-{number}").parse::<ModelName>());
    let models = models
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refused(format!("{error}"), "give a shorter name with --name"))?;
    Ok((whole, models))
}

/// The name given, or that of the file.
fn name(args: &SplitArgs) -> Result<ModelName, Failure> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.parse().map_err(|error| {
        Failure::new(Exit::BadInput, format!("{error}")).hint("name the stages yourself with --name")
    })
}

/// Makes a folder, which must be new or empty.
fn make(folder: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::io(format!("cannot make {}", folder.display()), &error);
    fs::create_dir_all(folder).map_err(cannot)?;
    match fs::read_dir(folder).map_err(cannot)?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::new(Exit::BadInput, format!("{} is not empty", folder.display()))
            .hint("name another folder with --out")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

/// The graph as `modelyard graphs set` takes it.
fn declaration(name: &ModelName, split: &SplitOnnx) -> String {
    let mut text = format!(
        "# {name} in {} stages. Import each on the server that is to run it, write that server where a stage\n\
         # runs elsewhere, then: modelyard graphs set {name} {GRAPH_FILE}\n\n[outputs]\n",
        split.stages.len()
    );
    for (output, stage) in &split.outputs {
        text.push_str(&format!(
            "{} = {}\n",
            quoted(output),
            quoted(&format!("stage-{}.{output}", stage + 1))
        ));
    }
    for (at, Stage { inputs, .. }) in split.stages.iter().enumerate() {
        let number = at + 1;
        text.push_str(&format!(
            "\n[[steps]]\nname = \"stage-{number}\"\nmodel = \"{name}-{number}\"\n# servers = [\"host:port\"]\n\
             [steps.inputs]\n"
        ));
        for (input, from) in inputs {
            let source = match from {
                Some(stage) => format!("stage-{}.{input}", stage + 1),
                None => format!("request.{input}"),
            };
            text.push_str(&format!("{} = {}\n", quoted(input), quoted(&source)));
        }
    }
    text
}

/// A text as TOML writes it: as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
