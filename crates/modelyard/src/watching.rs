//! Who watches a server, as flags: the access log, traces, and Triton's names on the metrics page.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use modelyard_api::{AccessLog, ApiConfig, Otlp, Watcher, Watchers};

use crate::failure::{Exit, Failure};
use crate::logging;

/// Where the access log goes where no file is meant.
const STDERR: &str = "-";

/// What is written and sent about requests. Payloads never are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Telemetry")]
pub(crate) struct WatchArgs {
    /// Write a line of JSON for each request to this file, or to standard error by `-`.
    #[arg(long, env = "MODELYARD_ACCESS_LOG", value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Send traces to an OpenTelemetry collector, such as http://127.0.0.1:4318.
    #[arg(long, env = "MODELYARD_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of traces that begin here to be sent, from 0 to 1. A caller's trace is sent where the caller
    /// records it.
    #[arg(long, env = "MODELYARD_OTLP_SHARE", value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    otlp_share: f64,
    /// Let clients change which calls are traced and which lines are logged, by /v2/trace/setting, /v2/logging
    /// and their gRPC calls.
    #[arg(long, env = "MODELYARD_TELEMETRY_CONTROL")]
    telemetry_control: bool,
    /// Show the metrics under the names of NVIDIA's server, too.
    #[arg(long, env = "MODELYARD_TRITON_METRICS")]
    triton_metrics: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is no number from 0 to 1"))
}

impl WatchArgs {
    /// Opens what is written to, and begins to watch.
    ///
    /// # Errors
    /// A log that cannot be opened, or an endpoint that is none.
    pub(crate) fn start(&self, api: &mut ApiConfig) -> Result<(), Failure> {
        api.triton_metrics = self.triton_metrics;
        api.telemetry_control = self.telemetry_control;
        api.log = logging::settings().map(Arc::new);
        let mut watchers: Vec<Arc<dyn Watcher>> = Vec::new();
        if let Some(path) = &self.access_log {
            let log = open(path).and_then(AccessLog::start).map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot write the access log {}", path.display()))
                    .caused_by(&error)
                    .hint("choose a file that can be written with --access-log, or - for standard error")
            })?;
            watchers.push(Arc::new(log));
        }
        if let Some(endpoint) = &self.otlp_endpoint {
            let otlp = Otlp::start(endpoint, self.otlp_share).map_err(|error| {
                Failure::new(Exit::Usage, "cannot send traces by --otlp-endpoint")
                    .caused_by(&error)
                    .hint("name a collector by http://HOST:PORT, such as http://127.0.0.1:4318")
            })?;
            api.traces = Some(otlp.settings());
            watchers.push(Arc::new(otlp));
        }
        api.watchers = Watchers::new(watchers);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    if path == Path::new(STDERR) {
        return Ok(Box::new(io::stderr()));
    }
    Ok(Box::new(OpenOptions::new().create(true).append(true).open(path)?))
}
