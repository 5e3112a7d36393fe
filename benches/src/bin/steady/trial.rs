//! What every trial has: a store with models, a server over it, and lines that say what was measured.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use modelyard_bench::client::post;
use modelyard_bench::load::{Load, Outcome};
use modelyard_bench::models::{heavy, import, infer_body, mlp};
use modelyard_bench::process::descriptors;
use modelyard_bench::server::Server;

use crate::options::Options;

/// Clients of an ordinary load.
pub(crate) const CLIENTS: usize = 16;
/// How long the peak is looked for.
const PEAK_TIME: Duration = Duration::from_secs(4);

/// One way to wear a server out.
pub(crate) struct Trial {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) run: fn(&Ground) -> Result<Vec<Line>>,
}

/// One line of the table.
pub(crate) struct Line {
    /// What was measured.
    pub(crate) what: &'static str,
    /// The number.
    pub(crate) measured: String,
    /// What it had to be.
    pub(crate) limit: String,
    /// Whether it was.
    pub(crate) held: bool,
}

/// A line of a number that must not pass a limit.
pub(crate) fn at_most(what: &'static str, measured: f64, limit: f64, unit: &str) -> Line {
    let held = measured <= limit;
    Line { what, measured: format!("{measured:.1} {unit}"), limit: format!("≤ {limit:.1} {unit}"), held }
}

/// A line of a number that must reach a limit.
pub(crate) fn at_least(what: &'static str, measured: f64, limit: f64, unit: &str) -> Line {
    let held = measured >= limit;
    Line { what, measured: format!("{measured:.1} {unit}"), limit: format!("≥ {limit:.1} {unit}"), held }
}

/// A line of a number that is only told.
pub(crate) fn told(what: &'static str, measured: String) -> Line {
    Line { what, measured, limit: String::new(), held: true }
}

/// A line that there was no error, with the first in words where there was.
pub(crate) fn no_errors(what: &'static str, outcome: &Outcome) -> Line {
    let (errors, good) = (outcome.errors(), outcome.good.count());
    let first = outcome.first.as_ref().map(|first| format!(": {first}")).unwrap_or_default();
    let measured = format!("{errors} of {}{first}", errors + good + outcome.refused.count());
    Line { what, measured, limit: "0".to_owned(), held: errors == 0 && good > 0 }
}

/// The store that all trials share.
pub(crate) struct Ground {
    /// What was asked for.
    pub(crate) options: Options,
    /// `small` in two versions, and `heavy`.
    pub(crate) store: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ground {
    /// Makes the models and imports them.
    ///
    /// # Errors
    /// Where the binary refuses one.
    pub(crate) fn prepare(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = folder.path().join("store");
        for seed in [1, 2] {
            import(&options.binary, &store, "small", &mlp(seed)?)?;
        }
        import(&options.binary, &store, "heavy", &heavy(3)?)?;
        Ok(Self { options, store, _folder: folder })
    }

    /// A server over one of the models.
    ///
    /// # Errors
    /// Where it does not start.
    pub(crate) fn serve(&self, model: &str, options: &[&str]) -> Result<Server> {
        let only = ["--model", model];
        Server::start(&self.options.binary, &self.store, &[&only[..], options].concat())
    }
}

/// The request that `small` takes.
pub(crate) fn small_request() -> Arc<[u8]> {
    post("/v2/models/small/infer", infer_body(&[100]).to_string().as_bytes()).into()
}

/// The request that `heavy` takes.
pub(crate) fn heavy_request() -> Arc<[u8]> {
    post("/v2/models/heavy/infer", infer_body(&[8, 8, 1]).to_string().as_bytes()).into()
}

/// As many good answers a second as so many clients get.
///
/// # Errors
/// Where a request fails.
pub(crate) fn peak(server: &Server, request: &Arc<[u8]>, connections: usize) -> Result<f64> {
    let load = Load { address: server.address(), request: Arc::clone(request), connections, rate: None };
    load.run(PEAK_TIME / 4);
    let outcome = load.run(PEAK_TIME);
    let first = outcome.first.clone().unwrap_or_default();
    ensure!(outcome.errors() == 0 && outcome.good.count() > 0, "the peak cannot be found: {first}");
    Ok(outcome.goodput())
}

/// Waits until the server has so many descriptors open or fewer; gives how long that took.
pub(crate) fn until_closed(server: &Server, descriptors_max: usize, patience: Duration) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if descriptors(server.process()) <= descriptors_max {
            return Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}
