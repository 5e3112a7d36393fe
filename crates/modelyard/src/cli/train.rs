//! `modelyard train`: check, train, score and publish a version, without serving it.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use modelyard_train::Project;

use super::GlobalArgs;
use crate::cli::arguments::{ProjectStoreArgs, ThreadsArgs};
use crate::failure::Failure;
use crate::live::{self, Live};
use crate::output::Output;
use crate::recording::Resume;
use crate::signals::StopSignal;
use crate::training::{RunJson, Trainer, gate_missed, scores_of, train_and_publish, unchanged};
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard train flowers
  modelyard train flowers --force               even though nothing has changed
  modelyard train flowers --resume              go on where it was stopped or killed

The first version that passes its gates becomes `live`. Later ones are
published beside it: compare them with `modelyard models compare` and make one
live with `modelyard models promote`. A missed gate ends with exit code 4; the
version is published all the same, for inspection.

Ctrl-C writes a checkpoint and stops; others are written every 10 minutes, or as
[training] checkpoint says. --resume goes on from the newest one, bit for bit as
if training had never stopped, where neither the project file nor the data has
changed. `modelyard runs list` shows every run.

With --json: {\"model\": name, \"version\": number, \"digest\": sha256, \"store\":
  path, \"trained\": bool (false: nothing has changed), \"epochs\": count or null,
  \"kept_epoch\": number or null, \"seconds\": number or null, \"scores\":
  scores.json, \"parity\": [{\"engine\", \"difference\"}, …], \"gates_passed\": bool,
  \"live\": bool}";

/// Check, train, score and publish a version, without serving it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct TrainArgs {
    /// The project's folder, or its modelyard.toml.
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Train even though neither the project file, the data nor this program has changed.
    #[arg(long, env = "MODELYARD_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
    /// Go on with a run that was stopped or killed, as if it never had been: with the newest one of the
    /// project that did not finish, or with `--resume=RUN`.
    #[arg(long, env = "MODELYARD_RESUME", value_name = "RUN")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "newest")]
    resume: Option<Resume>,
    #[command(flatten)]
    threads: ThreadsArgs,
    #[command(flatten)]
    store: ProjectStoreArgs,
}

/// Trains and publishes.
///
/// # Errors
/// Whatever is wrong with the project, its data or the store; a missed gate; Ctrl-C.
pub(crate) fn run(args: TrainArgs, global: &GlobalArgs, output: &mut Output) -> Result<(), Failure> {
    let project = Project::read(&args.project)?;
    let store = args.store.path(project.folder());
    wiring::block_on(async {
        let stop = StopSignal::listen()?;
        let registry = wiring::open_or_create(&store).await?;
        let same =
            if args.force || args.resume.is_some() { None } else { unchanged(&project, &registry).await? };
        let (version, json) = match same {
            Some(version) => {
                let (name, number) = (&version.name, version.version);
                output.text(format!(
                    "nothing has changed since version {number} of {name} was trained; --force trains anew"
                ));
                let scores = scores_of(&registry, &version).await?;
                let live = Live::of(&version);
                let json = RunJson::unchanged(&version, scores, live, &store);
                (version, json)
            }
            None => {
                let mut trainer = Trainer { global, threads: args.threads.count(), stop: &stop, output };
                let run = train_and_publish(&project, &registry, args.resume, &mut trainer).await?;
                let live = live::first_goes_live(&registry, &run.version).await?;
                output.text(format!("published {} version {}", run.version.name, run.version.version));
                if run.version.gates_passed {
                    output.text(live.sentence(&run.version, &store));
                }
                let json = RunJson::trained(&run, live, &store);
                (run.version, json)
            }
        };
        output.json(&json);
        if version.gates_passed { Ok(()) } else { Err(gate_missed(&registry, &version, &store).await) }
    })
}
