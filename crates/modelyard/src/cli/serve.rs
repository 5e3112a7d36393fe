//! `modelyard serve`: every model of a store or folder, under its name, over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_registry::Registry;
use modelyard_serve::{ModelFolder, RoutedFolder, Server};
use modelyard_types::ModelName;
use serde::Serialize;

use super::GlobalArgs;
use crate::cli::arguments::StoreArgs;
use crate::curl::url;
use crate::failure::{Exit, Failure};
use crate::model_settings;
use crate::output::Output;
use crate::serving::{LISTEN, ReservedPort, Serving, ServingArgs};
use crate::signals::StopSignal;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard serve --store examples/digits/.modelyard
  modelyard serve --listen 0.0.0.0:80 --model digits
  modelyard serve --models model_repository     ONNX files, or a Triton model repository
  modelyard serve --models model_repository --routes routes    with canaries and shadows

Then:
  http://127.0.0.1:8080/                        a page to try the models on
  POST /predict                                 {\"input\": {…}}, where one model is served
  POST /v1/models/NAME:predict                  {\"instances\": [{…}, …]}
  POST /v2/models/NAME/infer                    the Open Inference Protocol, version 2
  inference.GRPCInferenceService                the same over gRPC, on the same port
  GET  /metrics                                 for Prometheus

A version that is promoted while the server runs is picked up without a
restart, and so is a file that changes in a folder of models. Ctrl-C answers the requests in flight, then ends with exit code 0.

With --json, once it listens: {\"address\": \"host:port\", \"url\": text, \"models\":
  [{\"model\": name, \"version\": number or null, \"problem\": text or null}, …]}";

/// Serve the models of a store, or of a folder, over HTTP.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Serve the models of this folder in place of a store's: name.onnx files, a Triton model repository
    /// (name/1/model.onnx with config.pbtxt), or one model directly in it, as KServe's /mnt/models.
    #[arg(long = "models", env = "MODELYARD_MODELS", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Follow the routes that this store keeps for the models of the folder; it is made where there is none.
    /// `modelyard routes set NAME --models FOLDER --store STORE` sets them.
    #[arg(long, env = "MODELYARD_ROUTES", value_name = "STORE", requires = "folder")]
    routes: Option<PathBuf>,
    /// A file that says how single models are served: a section [models.NAME] with runtime, threads,
    /// workers, batch_size_max, batch_delay_ms, preferred_batch_sizes, queue_rows_max, request_rows_max.
    #[arg(long, env = "MODELYARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve this model only; may be given more than once. For a folder that is one model itself, its name.
    #[arg(long = "model", env = "MODELYARD_MODEL", value_name = "NAME", value_delimiter = ',')]
    models: Vec<ModelName>,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, env = "MODELYARD_LISTEN", default_value = LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    limits: ServingArgs,
}

#[derive(Serialize)]
struct ServeJson {
    address: String,
    url: String,
    models: Vec<ModelJson>,
}

#[derive(Serialize)]
struct ModelJson {
    model: String,
    version: Option<u64>,
    problem: Option<String>,
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// A store or folder that cannot be used or has no models, or a port in use.
pub(crate) fn run(args: ServeArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    wiring::block_on(async {
        let stop = StopSignal::listen()?;
        let port = ReservedPort::take(args.listen)?;
        let models = args.config.as_deref().map(model_settings::read).transpose()?;
        let mut limits = args.limits.resolve(None).with_models(models.unwrap_or_default());
        args.limits.watch(&mut limits)?;
        let only = (!args.models.is_empty()).then(|| args.models.clone());
        let serving = match (&args.folder, &args.routes) {
            (Some(path), Some(routes)) => {
                let source = routed(path, &args.models, routes).await?;
                Serving::start(source, global, limits, only).await?
            }
            (Some(path), None) => Serving::start(folder(path, &args.models)?, global, limits, only).await?,
            (None, _) => Serving::start(store(&args).await?, global, limits, only).await?,
        };
        serving.run(port, stop, |address, server| announce(address, server, output)).await?;
        output.remark("stopped");
        Ok(())
    })
}

/// The folder of models; a single name is that of the only model, where the folder is one itself.
fn folder(path: &Path, names: &[ModelName]) -> Result<ModelFolder, Failure> {
    let own_name = if let [name] = names { Some(name.clone()) } else { None };
    wiring::open_models(path, own_name)
}

/// The folder of models with the routes that a store keeps for them.
async fn routed(path: &Path, names: &[ModelName], routes: &Path) -> Result<RoutedFolder, Failure> {
    let folder = folder(path, names)?;
    if lies_within(routes, path) {
        let message = format!("the store {} would lie in the folder of models", routes.display());
        return Err(Failure::new(Exit::Usage, message)
            .hint("nothing is ever written there; name a place outside of it by --routes"));
    }
    Ok(folder.with_routes(wiring::open_or_create(routes).await?))
}

/// Whether a place, which may not be there yet, lies in a folder that is.
fn lies_within(place: &Path, folder: &Path) -> bool {
    let (Ok(place), Ok(folder)) = (std::path::absolute(place), folder.canonicalize()) else { return false };
    let nearest = place.ancestors().find_map(|above| above.canonicalize().ok());
    nearest.is_some_and(|nearest| nearest.starts_with(folder))
}

/// The store, which must have what was asked for.
async fn store(args: &ServeArgs) -> Result<Registry, Failure> {
    let registry = wiring::open_existing(&args.store.store).await?;
    if registry.models().await?.is_empty() {
        let message = format!("the store {} holds no models", args.store.store.display());
        return Err(Failure::new(Exit::NotFound, message)
            .hint("train one with `modelyard up` or bring one in with `modelyard import`"));
    }
    for name in &args.models {
        // Only to say which name was meant, where there is no such model.
        registry.versions(name).await?;
    }
    Ok(registry)
}

fn announce(address: SocketAddr, server: &Server, output: &mut Output) {
    let models: Vec<ModelJson> = server
        .models()
        .into_iter()
        .map(|status| ModelJson {
            model: status.name.to_string(),
            version: status.answering().map(|version| version.get()),
            problem: status.problem,
        })
        .collect();
    for model in &models {
        match (&model.version, &model.problem) {
            (Some(version), None) => output.text(format!("{} version {version}", model.model)),
            (Some(version), Some(problem)) => {
                output.text(format!("{} version {version} ({problem})", model.model));
            }
            (None, problem) => {
                let problem = problem.as_deref().unwrap_or("no version to serve");
                output.text(format!("{} is not served: {problem}", model.model));
            }
        }
    }
    output.text(format!("serving on {}/  (Ctrl-C stops)", url(address)));
    output.json(&ServeJson { address: address.to_string(), url: url(address), models });
}
