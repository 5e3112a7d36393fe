//! `modelyard graphs set`: declare a graph, or another one in its place.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use modelyard_api::open_inference::GrpcServers;
use modelyard_registry::NewGraph;
use modelyard_registry::document::{Graph, ModelStep, SignatureDocument, Work};
use modelyard_serve::RemoteServer;
use modelyard_types::ModelName;

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::Output;
use crate::wiring;

/// Most bytes of the file that declares a graph.
const FILE_BYTES_MAX: usize = 1 << 20;
/// How long a server has to tell what its model takes and gives.
const METADATA_WITHIN: Duration = Duration::from_secs(5);

const HELP: &str = "\
Examples:
  modelyard graphs set diagnosis diagnosis.toml

  # diagnosis.toml: two opinions on one X-ray, the mean is the answer
  outputs = { scores = \"both\" }
  [[steps]]
  name = \"a\"
  model = \"lungs-small\"
  inputs = { input = \"request.image\" }
  [[steps]]
  name = \"b\"
  model = \"lungs-large\"
  servers = [\"10.0.0.7:8080\", \"10.0.0.8:8080\"]
  inputs = { input = \"request.image\" }
  [[steps]]
  name = \"both\"
  combine = \"mean\"
  of = [\"a\", \"b\"]

The graph before is replaced as a whole, at once; running servers follow within
a second. It is refused where its steps do not go together: an unknown model, a
tensor of another type or shape, steps that wait for each other. A step with
`servers` runs there, by gRPC; what its model takes and gives is asked of the
first of them that answers, unless `takes` and `gives` say it. With
`sequences = true` its model remembers sequences there. A server written as
grpcs://host:port is asked by TLS, with the system's certificates or those of
tls = { ca = \"ca.pem\", certificate = \"own.pem\", key = \"own-key.pem\" }.

With --json: {\"graph\": name, \"version\": number, \"kind\": \"set\", \"declared\":
  {\"steps\": […], \"outputs\": {…}}, \"at\": time, \"by\": who, \"why\": text}";

/// Put a graph in force, as a TOML file declares it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct SetArgs {
    /// The name under which it is served.
    name: ModelName,
    /// The file that declares it.
    file: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Puts the graph in force.
///
/// # Errors
/// A file that declares no graph, steps that do not go together, or servers that do not answer.
pub(crate) fn run(args: SetArgs, output: &mut Output) -> Result<(), Failure> {
    let name = args.name.clone();
    let mut graph = read(&args.file)?;
    place_files(&mut graph, args.file.parent().unwrap_or(Path::new("")))?;
    let change = wiring::block_on(async {
        let registry = args.change.open().await?;
        ask_servers(&mut graph).await?;
        let wish = NewGraph { name: name.clone(), graph, by: wiring::caller(), why: args.change.why };
        Ok(registry.set_graph(wish).await?)
    })?;
    change::print(&name, &change, output);
    Ok(())
}

fn read(path: &Path) -> Result<Graph, Failure> {
    let bytes = files::read_up_to(path, FILE_BYTES_MAX)?;
    let bad = |why: String| {
        Failure::new(Exit::BadInput, format!("{} declares no graph: {why}", path.display()))
            .hint("`modelyard graphs set --help` shows one; docs/guides/graphs.md tells all keys")
    };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
    toml::from_str(&text).map_err(|error| bad(error.to_string().trim_end().to_owned()))
}

/// Files that a step names stand beside the file that declares it; servers run elsewhere and get whole paths.
fn place_files(graph: &mut Graph, folder: &Path) -> Result<(), Failure> {
    for step in &mut graph.steps {
        let Work::Model(ModelStep { tls: Some(files), .. }) = &mut step.work else { continue };
        for file in [&mut files.ca, &mut files.certificate, &mut files.key].into_iter().flatten() {
            let path = std::path::absolute(folder.join(file.as_str()))
                .map_err(|error| Failure::io(format!("cannot place {file}"), &error))?;
            *file = path.display().to_string();
        }
    }
    Ok(())
}

/// Fills in what the models on other servers take and give, where the file does not say it.
async fn ask_servers(graph: &mut Graph) -> Result<(), Failure> {
    let servers = GrpcServers::default();
    for step in &mut graph.steps {
        let Work::Model(model) = &mut step.work else { continue };
        if !model.is_remote() || !model.takes.is_empty() || !model.gives.is_empty() {
            continue;
        }
        let told = ask_one(&servers, model).await.map_err(|why| {
            let message =
                format!("step {:?}: its servers do not tell what {} takes: {why}", step.name, model.model);
            Failure::new(Exit::Unavailable, message)
                .hint("start them, or write takes and gives into the file")
        })?;
        (model.takes, model.gives) = (told.inputs, told.outputs);
    }
    Ok(())
}

async fn ask_one(servers: &GrpcServers, step: &ModelStep) -> Result<SignatureDocument, String> {
    let mut failures = Vec::new();
    for server in &step.servers {
        let version = step.version.as_deref();
        let reached = RemoteServer { name: server, tls: step.tls.as_ref() };
        match servers.signature(reached, &step.model, version, METADATA_WITHIN).await {
            Ok(signature) => return Ok(SignatureDocument::from(&signature)),
            Err(failure) => failures.push(format!("{server}: {}", failure.message)),
        }
    }
    Err(failures.join("; "))
}
