//! `modelyard up`: from a project's folder to a live prediction, in one command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use modelyard_registry::{ModelVersion, Registry, RegistryError};
use modelyard_train::Project;
use modelyard_types::{Alias, VersionSelector};

use super::GlobalArgs;
use crate::cli::arguments::{ProjectStoreArgs, ThreadsArgs};
use crate::curl::{curl_line, url};
use crate::failure::Failure;
use crate::live::{self, Live};
use crate::output::Output;
use crate::serving::{LISTEN, ReservedPort, Serving, ServingArgs};
use crate::signals::StopSignal;
use crate::training::{
    RunJson, ServingJson, Summary, Trainer, gate_missed, scores_of, train_and_publish, unchanged,
};
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard up examples/digits
  modelyard up examples/digits --listen 0.0.0.0:9000
  modelyard up examples/digits --no-serve       stop after publishing

Reads the project file and its data, checks one against the other, trains,
scores, holds the scores against the gates, writes ONNX and checks that it
answers as the trained network does, publishes a version, points the alias
`live` at it, and serves it. Where neither the project file, the data nor this
program has changed since a version was trained, nothing is trained (--force
trains all the same), and the version that is live is served. A missed gate ends with exit
code 4: the version is published for inspection, and what was live stays live.
Ctrl-C answers the requests in flight, then ends with exit code 0; while
training, it stops with exit code 130 and publishes nothing.

With --json, one object, once it listens (or is done, with --no-serve): what
  `train --json` prints, and \"address\": \"host:port\", \"url\": text, \"curl\": text
  or null";

/// Train, score, publish and serve a project.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct UpArgs {
    /// The project's folder, or its modelyard.toml.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Where to listen; port 0 takes any free one.
    #[arg(long, env = "MODELYARD_LISTEN", default_value = LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Stop after publishing.
    #[arg(long, env = "MODELYARD_NO_SERVE", value_parser = FalseyValueParser::new())]
    no_serve: bool,
    /// Train even though neither the project file, the data nor this program has changed.
    #[arg(long, env = "MODELYARD_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    store: ProjectStoreArgs,
    #[command(flatten)]
    limits: ServingArgs,
}

/// Goes all the way.
///
/// # Errors
/// Whatever is wrong with the project, its data, the store or the port; a missed gate; Ctrl-C in training.
pub(crate) fn run(args: UpArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let project = Project::read(&args.project)?;
    let store = args.store.path(project.folder());
    wiring::block_on(async {
        let stop = StopSignal::listen()?;
        // Taken before the training, which may be long.
        let port = if args.no_serve { None } else { Some(ReservedPort::take(args.listen)?) };
        let registry = wiring::open_or_create(&store).await?;
        let same = if args.force { None } else { unchanged(&project, &registry).await? };
        let (version, mut json) = match same {
            Some(version) => kept(&registry, version, &store, output).await?,
            None => {
                let mut trainer = Trainer { global, threads: args.threads.count(), stop: &stop, output };
                trained(&project, &registry, &store, &mut trainer).await?
            }
        };
        let Some(port) = port.filter(|_| version.gates_passed) else {
            output.json(&json);
            return if version.gates_passed {
                Ok(())
            } else {
                Err(gate_missed(&registry, &version, &store).await)
            };
        };
        let mut limits = args.limits.resolve(Some(project.serving()));
        args.limits.watch(&mut limits)?;
        let serving = Serving::start(registry, global, limits, Some(vec![project.name().clone()])).await?;
        let damaged = |failure: Failure| failure.hint("--force trains anew");
        serving.must_answer().map_err(damaged)?;
        let announce = |address, _: &_| {
            json.serving = Some(announce(address, &version, project.folder(), output));
            output.json(&json);
        };
        serving.run(port, stop, announce).await?;
        output.remark("stopped");
        Ok(())
    })
}

/// A version that needs no training; where another one is live, that is the one that answers.
async fn kept(
    registry: &Registry,
    version: ModelVersion,
    store: &Path,
    output: &mut Output,
) -> Result<(ModelVersion, RunJson), Failure> {
    let (name, number) = (&version.name, version.version);
    output.text(format!(
        "nothing to train: project file, data and program are those of version {number} of {name} (--force trains anew)"
    ));
    let mut live = Live::of(&version);
    let mut version = version;
    if live == Live::No && version.gates_passed {
        output.text(live.sentence(&version, store));
        match registry.find(&version.name, &VersionSelector::Alias(Alias::live())).await {
            Ok(other) if other.gates_passed => {
                output.text(format!("version {} is live, and answers", other.version));
                (version, live) = (other, Live::Yes);
            }
            // Forced live, though it missed a gate: only a person undoes that.
            Ok(_) => {}
            Err(RegistryError::NoSuchAlias { .. }) => {
                live = live::go_live(registry, &version, "modelyard up").await?
            }
            Err(error) => return Err(error.into()),
        }
    }
    let scores = scores_of(registry, &version).await?;
    let json = RunJson::unchanged(&version, scores, live, store);
    Ok((version, json))
}

/// A version trained now; it goes live where it passed its gates.
async fn trained(
    project: &Project,
    registry: &Registry,
    store: &Path,
    trainer: &mut Trainer<'_>,
) -> Result<(ModelVersion, RunJson), Failure> {
    let run = train_and_publish(project, registry, None, trainer).await?;
    let (name, number) = (&run.version.name, run.version.version);
    trainer.output.text(format!("published {name} version {number} in {}", store.display()));
    let live = match run.version.gates_passed {
        true => live::go_live(registry, &run.version, "modelyard up").await?,
        false => Live::of(&run.version),
    };
    if live == Live::Yes {
        trainer.output.text(format!("live now points at version {number}"));
    }
    let json = RunJson::trained(&run, live, store);
    Ok((run.version, json))
}

/// Says where it serves, and how to ask.
fn announce(address: SocketAddr, version: &ModelVersion, project: &Path, output: &mut Output) -> ServingJson {
    output.text(format!("serving on {}/  (Ctrl-C stops)", url(address)));
    let example = Summary::of(version).and_then(Summary::into_example);
    let curl = example.as_ref().map(|example| curl_line(address, example, project));
    if let (Some(example), Some(curl)) = (&example, &curl) {
        let truth = serde_json::to_string(&example.truth).expect("JSON stays JSON");
        output.text(format!("\ntry it (the data says {truth}):\n{curl}"));
    }
    ServingJson { address: address.to_string(), url: url(address), curl }
}
