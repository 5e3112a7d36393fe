//! `modelyard routes set`: put a route in force.

use clap::Args;
use clap::builder::FalseyValueParser;
use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_registry::{GateRule, NewRoute};
use modelyard_types::{ModelName, VersionSelector};

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

The route before is replaced as a whole, at once; running servers follow within
a second, without a restart and without a failed request. A canary that passes
one of its limits is withdrawn: requests go to the live version again, and the
history says why. A caller who sends the header `x-modelyard-canary: always`
gets the canary, `never` does not.

With --json: {\"model\": name, \"kind\": \"set\", \"canary\": {\"version\": number,
  \"percent\": number, …}, \"shadow\": {…}, \"at\": time, \"by\": who, \"why\": text}";

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
pub(crate) fn run(args: SetArgs, output: &mut Output) -> Result<(), Failure> {
    if args.canary.is_none() && args.shadow.is_none() {
        return Err(Failure::new(Exit::Usage, "neither --canary nor --shadow is given")
            .hint("`modelyard routes clear` leaves every request to the live version"));
    }
    let name = args.model.clone();
    let changed = wiring::block_on(async {
        let registry = args.change.open().await?;
        let mut route = Route::default();
        if let Some((selector, percent)) = args.canary.as_ref().zip(args.percent) {
            let version = registry.find(&name, selector).await?.version;
            let guard = args.limits.guard(args.tolerance);
            route.canary = Some(Canary { version, percent, sticky: args.sticky.clone(), guard });
        }
        if let Some(selector) = &args.shadow {
            let version = registry.find(&name, selector).await?.version;
            route.shadow = Some(Shadow { version, percent: args.shadow_percent, tolerance: args.tolerance });
        }
        let gates = if args.force { GateRule::Override } else { GateRule::MustPass };
        let wish = NewRoute { name: name.clone(), route, gates, by: wiring::caller(), why: args.change.why };
        Ok(registry.set_route(wish).await?)
    })?;
    change::print(&name, changed.as_ref(), output);
    Ok(())
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
