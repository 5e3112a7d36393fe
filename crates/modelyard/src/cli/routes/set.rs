//! `modelyard routes set`: put a route in force.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::FalseyValueParser;
use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_registry::{GateRule, NewRoute, Registry, RegistryError, RouteChange};
use modelyard_types::{ModelName, Version, VersionSelector};

use super::change;
use crate::cli::arguments::ChangeArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard routes set digits --canary 4 --percent 10
  modelyard routes set digits --canary 4 --percent 50 --sticky x-user-id
  modelyard routes set digits --canary 4 --percent 10 --max-disagreement 0.05 --max-latency-ratio 1.5
  modelyard routes set digits --shadow 4        compare answers, answer nobody
  modelyard routes set digits --models models --store routes --live 3 --canary 4 --percent 10

The route before is replaced as a whole, at once; running servers follow within
a second, without a restart and without a failed request. A canary that passes
one of its limits is withdrawn: requests go to the live version again, and the
history says why. A caller who sends the header `x-modelyard-canary: always`
gets the canary, `never` does not.

Routes of models that lie in a folder are kept in a store beside it, which
`modelyard serve --models FOLDER --routes STORE` makes and follows.

With --json: {\"model\": name, \"kind\": \"set\", \"live\": number, \"canary\":
  {\"version\": number, \"percent\": number, …}, \"shadow\": {…}, \"at\": time,
  \"by\": who, \"why\": text}; what the route does not have is left out";

/// Let a version answer a share of the requests, or copies of them, beside the live version.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct SetArgs {
    /// The model's name.
    model: ModelName,
    /// The version that answers a share of the requests that name none: a number or an alias.
    #[arg(long, env = "MODELYARD_CANARY", value_name = "VERSION", requires = "percent")]
    canary: Option<VersionSelector>,
    /// The canary's share in percent; with 0 only callers who ask for it get it.
    #[arg(long, env = "MODELYARD_PERCENT", requires = "canary")]
    percent: Option<f64>,
    /// The header whose value decides who gets the canary, so that each caller stays with one version.
    #[arg(long, env = "MODELYARD_STICKY", value_name = "HEADER", requires = "canary")]
    sticky: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
    /// The version that gets copies of requests, whose answers are compared and thrown away.
    #[arg(long, env = "MODELYARD_SHADOW", value_name = "VERSION")]
    shadow: Option<VersionSelector>,
    /// How many of the requests are copied, in percent.
    #[arg(long, env = "MODELYARD_SHADOW_PERCENT", value_name = "PERCENT", default_value = "100")]
    shadow_percent: f64,
    /// How far numbers of two answers may be apart, relative to their size. Without it, answers of
    /// several numbers agree where the same one is the greatest.
    #[arg(long, env = "MODELYARD_TOLERANCE")]
    tolerance: Option<f64>,
    /// Take a canary even though it missed a gate.
    #[arg(long, env = "MODELYARD_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,
    /// The model lies in this folder, which is served by `modelyard serve --models FOLDER --routes STORE`; the route is
    /// kept in that store, named by --store.
    #[arg(long = "models", env = "MODELYARD_MODELS", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The version of a folder that is live, whatever higher ones lie there [default: the highest]. In a store,
    /// `modelyard models promote` says which one is.
    #[arg(long, env = "MODELYARD_LIVE", value_name = "VERSION", requires = "folder")]
    live: Option<Version>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// When a canary is withdrawn.
#[derive(Debug, Args)]
struct LimitArgs {
    /// Withdraw the canary when more of its requests fail than this share of 1; 1 lets all fail.
    #[arg(long, env = "MODELYARD_MAX_ERROR_RATE", value_name = "SHARE", default_value = "0.05")]
    max_error_rate: f64,
    /// Withdraw the canary when its 95th percentile of latency is so many times the live version's.
    #[arg(long, env = "MODELYARD_MAX_LATENCY_RATIO", value_name = "TIMES")]
    max_latency_ratio: Option<f64>,
    /// Withdraw the canary when more of its answers differ from the live version's than this share of
    /// 1; its requests are then copied to the live version, too.
    #[arg(long, env = "MODELYARD_MAX_DISAGREEMENT", value_name = "SHARE")]
    max_disagreement: Option<f64>,
    /// Judge the canary after this many requests.
    #[arg(long, env = "MODELYARD_MIN_REQUESTS", value_name = "COUNT", default_value = "20")]
    min_requests: u64,
    /// Judge it by this many seconds at a time.
    #[arg(long, env = "MODELYARD_WINDOW_SECONDS", value_name = "SECONDS", default_value = "60")]
    window_seconds: u64,
}

/// Puts the route in force.
///
/// # Errors
/// A model or version that is not there, a canary that missed a gate, or a number that makes no sense.
pub(crate) fn run(args: &SetArgs, output: &mut Output) -> Result<(), Failure> {
    if args.canary.is_none() && args.shadow.is_none() && args.live.is_none() {
        return Err(Failure::new(Exit::Usage, "neither --canary nor --shadow is given")
            .hint("`modelyard routes clear` leaves every request to the live version"));
    }
    let changed = wiring::block_on(async {
        match &args.folder {
            Some(folder) => set_in_folder(args, folder).await,
            None => set_in_store(args).await,
        }
    })?;
    change::print(&args.model, changed.as_ref(), output);
    if let Some(folder) = &args.folder {
        output.remark(format!("followed by `{}`", follower(args, folder)));
    }
    Ok(())
}

/// The command that serves the model and follows its route. A folder that is one model itself gives it another name
/// than the route's, unless it is told.
fn follower(args: &SetArgs, folder: &Path) -> String {
    let names = wiring::open_models(folder, None).and_then(|models| Ok(models.names()?));
    let named = match names.is_ok_and(|names| names.contains(&args.model)) {
        true => String::new(),
        false => format!(" --model {}", args.model),
    };
    let store = args.change.store().display();
    format!("modelyard serve --models {}{named} --routes {store}", folder.display())
}

async fn set_in_store(args: &SetArgs) -> Result<Option<RouteChange>, Failure> {
    let registry = args.change.open().await?;
    let canary = version_of(&registry, args, args.canary.as_ref()).await?;
    let shadow = version_of(&registry, args, args.shadow.as_ref()).await?;
    Ok(registry.set_route(args.wish(canary, shadow)).await?)
}

async fn version_of(
    registry: &Registry,
    args: &SetArgs,
    selector: Option<&VersionSelector>,
) -> Result<Option<Version>, Failure> {
    let Some(selector) = selector else { return Ok(None) };
    let error = match registry.find(&args.model, selector).await {
        Ok(found) => return Ok(Some(found.version)),
        Err(error) => error,
    };
    let lies_elsewhere =
        matches!(error, RegistryError::NoSuchModel { .. }) && registry.route(&args.model).await.is_ok();
    let failure = Failure::from(error);
    Err(match lies_elsewhere {
        true => failure.hint("it lies in a folder: name that by --models FOLDER"),
        false => failure,
    })
}

/// Holds the route against what lies in the folder, and writes it into the store beside it.
async fn set_in_folder(args: &SetArgs, path: &Path) -> Result<Option<RouteChange>, Failure> {
    let folder = wiring::open_models(path, Some(args.model.clone()))?;
    let canary = args.canary.as_ref().map(number).transpose()?;
    let shadow = args.shadow.as_ref().map(number).transpose()?;
    let wish = args.wish(canary, shadow);
    folder.check_route(&args.model, &wish.route)?;
    let registry = args.change.open().await.map_err(|failure| match failure.exit {
        Exit::NotFound => failure.hint(format!(
            "routes of a folder's models are kept in a store of their own, named by --store; \
             `modelyard serve --models {} --routes STORE` makes it",
            path.display()
        )),
        _ => failure,
    })?;
    Ok(registry.set_route_elsewhere(wish).await?)
}

fn number(selector: &VersionSelector) -> Result<Version, Failure> {
    match selector {
        VersionSelector::Number(version) => Ok(*version),
        VersionSelector::Alias(alias) => {
            Err(Failure::new(Exit::NotFound, format!("there is no version {alias} in a folder"))
                .hint("its versions have numbers, and no aliases"))
        }
    }
}

impl SetArgs {
    fn wish(&self, canary: Option<Version>, shadow: Option<Version>) -> NewRoute {
        let canary = canary.zip(self.percent).map(|(version, percent)| {
            let guard = self.limits.guard(self.tolerance);
            Canary { version, percent, sticky: self.sticky.clone(), guard }
        });
        let shadow =
            shadow.map(|version| Shadow { version, percent: self.shadow_percent, tolerance: self.tolerance });
        NewRoute {
            name: self.model.clone(),
            route: Route { live: self.live, canary, shadow },
            gates: if self.force { GateRule::Override } else { GateRule::MustPass },
            by: wiring::caller(),
            why: self.change.why.clone(),
        }
    }
}

impl LimitArgs {
    fn guard(&self, tolerance: Option<f64>) -> Guard {
        Guard {
            requests_min: self.min_requests,
            window_seconds: self.window_seconds,
            error_rate_max: Some(self.max_error_rate),
            latency_ratio_max: self.max_latency_ratio,
            disagreement_max: self.max_disagreement,
            tolerance,
        }
    }
}
