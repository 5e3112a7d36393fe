//! Serving, for `serve` and `up` alike: the limits as flags, the port, and the life of the server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use modelyard_api::ApiConfig;
use modelyard_serve::{ModelSettings, ModelSource, ServeConfig, Server};
use modelyard_train::project::ServingSection;
use modelyard_types::ModelName;
use tokio::net::{TcpListener, TcpSocket};

use crate::cli::GlobalArgs;
use crate::clock::SystemClock;
use crate::failure::{Exit, Failure};
use crate::signals::StopSignal;
use crate::watching::WatchArgs;
use crate::wiring;

/// Where a server listens unless told otherwise: this machine only.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// The limits of serving, as flags. What is not given comes from the project's `[serving]`, or the defaults.
#[derive(Debug, Args)]
#[command(next_help_heading = "Serving limits")]
pub(crate) struct ServingArgs {
    /// The most rows that are computed together.
    #[arg(long, env = "MODELYARD_BATCH_SIZE_MAX", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size_max: Option<u32>,
    /// How long a request may wait for others to share a batch with, in milliseconds.
    #[arg(long, env = "MODELYARD_BATCH_DELAY_MS", value_name = "MS")]
    batch_delay_ms: Option<u64>,
    /// Keep 99 of 100 answers within this time, in milliseconds: how many rows are computed together, how long
    /// a request waits for others, how many may wait and how many batches run at once then follow from what is
    /// measured.
    #[arg(long, env = "MODELYARD_LATENCY_TARGET_MS", value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    latency_target_ms: Option<u64>,
    /// The most rows that may wait for one model; further requests are refused with 429.
    #[arg(long, env = "MODELYARD_QUEUE_ROWS_MAX", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    queue_rows_max: Option<u32>,
    /// The most rows of one request; more are refused with 413.
    #[arg(long, env = "MODELYARD_REQUEST_ROWS_MAX", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    request_rows_max: Option<u32>,
    /// The most bytes of one request's body; more are refused with 413.
    #[arg(long, env = "MODELYARD_BODY_BYTES_MAX", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    body_bytes_max: Option<u32>,
    /// How long a request may take where it names no deadline itself, in milliseconds; then it gets 504.
    #[arg(long, env = "MODELYARD_DEADLINE_MS", value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    deadline_ms: Option<u64>,
    /// How many batches of one model are computed at the same time.
    #[arg(long, env = "MODELYARD_WORKERS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// The most bytes of networks that are in memory at once, such as 2GiB or 500MB, by the sizes of their files,
    /// and of what is remembered of sequences. Models that were asked longest ago leave, and are loaded again when
    /// they are asked.
    #[arg(long, env = "MODELYARD_MEMORY_BUDGET", value_name = "SIZE", value_parser = size)]
    memory_budget: Option<u64>,
    /// The most sequences of requests that live at once; further ones are refused with 429.
    #[arg(long, env = "MODELYARD_SEQUENCES_MAX", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    sequences_max: Option<u32>,
    /// How long a sequence lives without a request, in milliseconds.
    #[arg(long, env = "MODELYARD_SEQUENCE_IDLE_MS", value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    sequence_idle_ms: Option<u64>,
    /// Let clients load and unload models by /v2/repository and its gRPC calls.
    #[arg(long, env = "MODELYARD_REPOSITORY_CONTROL")]
    repository_control: bool,
    /// Let clients on this machine keep tensors in POSIX shared memory, by /v2/systemsharedmemory and its gRPC calls.
    /// They may name any object that this process can open.
    #[arg(long, env = "MODELYARD_SHARED_MEMORY")]
    shared_memory: bool,
    /// The name that the server tells in its metadata; some of Triton's clients insist on `triton`.
    #[arg(long, env = "MODELYARD_SERVER_NAME", value_name = "NAME", default_value = "modelyard")]
    server_name: String,
    #[command(flatten)]
    watching: WatchArgs,
}

/// The limits of both halves of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    serve: ServeConfig,
    api: ApiConfig,
}

impl Limits {
    /// The same, with what single models want.
    pub(crate) fn with_models(mut self, models: BTreeMap<ModelName, ModelSettings>) -> Self {
        self.serve.models = models;
        self
    }
}

impl ServingArgs {
    /// Begins to watch what is to be served within these limits.
    ///
    /// # Errors
    /// As [`WatchArgs::start`].
    pub(crate) fn watch(&self, limits: &mut Limits) -> Result<(), Failure> {
        self.watching.start(&mut limits.api)
    }

    /// The flags over the project's settings over the defaults.
    pub(crate) fn resolve(&self, project: Option<&ServingSection>) -> Limits {
        let none = ServingSection::default();
        let project = project.unwrap_or(&none);
        let rows = |flag: Option<u32>| flag.map(|rows| rows as usize);
        let mut limits = Limits::default();
        let Limits { serve, api } = &mut limits;
        set(&mut serve.batch_size_max, rows(self.batch_size_max).or(project.batch_size_max));
        set(&mut serve.queue_rows_max, rows(self.queue_rows_max).or(project.queue_rows_max));
        set(&mut serve.request_rows_max, rows(self.request_rows_max));
        set(&mut serve.sessions_max, self.workers.map(usize::from).or(project.workers));
        set(&mut serve.batch_delay, milliseconds(self.batch_delay_ms.or(project.batch_delay_ms)));
        set(&mut serve.deadline_default, milliseconds(self.deadline_ms.or(project.deadline_ms)));
        set(&mut serve.sequences_max, rows(self.sequences_max));
        set(&mut serve.sequence_idle, milliseconds(self.sequence_idle_ms));
        serve.memory_budget_bytes = self.memory_budget;
        serve.latency_target = milliseconds(self.latency_target_ms);
        set(&mut api.body_bytes_max, rows(self.body_bytes_max));
        api.repository_control = self.repository_control;
        api.shares_memory = self.shared_memory;
        api.server_name.clone_from(&self.server_name);
        limits
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

/// A number of bytes with a unit of thousands or of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        unit => return Err(format!("{unit:?} is no unit of bytes; known are KB, MB, GB, KiB, MiB and GiB")),
    };
    let number: u64 = digits.trim_end().parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(|| format!("{text:?} is out of range"))
}

fn milliseconds(value: Option<u64>) -> Option<Duration> {
    value.map(Duration::from_millis)
}

/// A port that is ours, but where nobody is answered yet: taken before a long training, so that it does not
/// end in a port that somebody else has.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    socket: TcpSocket,
    wanted: SocketAddr,
}

impl ReservedPort {
    /// Takes the port. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// A port in use, or an address that is not this machine's.
    pub(crate) fn take(wanted: SocketAddr) -> Result<Self, Failure> {
        let socket = if wanted.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let bound = socket.and_then(|socket| {
            // A server that was stopped a moment ago leaves the port in TIME_WAIT, which is no reason to refuse.
            socket.set_reuseaddr(true)?;
            socket.bind(wanted)?;
            Ok(socket)
        });
        bound.map(|socket| Self { socket, wanted }).map_err(|error| refused(wanted, &error))
    }

    /// Begins to take connections.
    fn listen(self) -> Result<(TcpListener, SocketAddr), Failure> {
        let listener = self.socket.listen(BACKLOG).map_err(|error| refused(self.wanted, &error))?;
        let address = listener.local_addr().map_err(|error| refused(self.wanted, &error))?;
        Ok((listener, address))
    }
}

fn refused(wanted: SocketAddr, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "another program listens there, perhaps an earlier modelyard: stop it, or choose another port \
             with --listen {}:0 (any free one)",
            wanted.ip()
        ),
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need more rights; choose a higher one".to_owned()
        }
        _ => "choose an address of this machine with --listen, such as 127.0.0.1:8080".to_owned(),
    };
    Failure::new(Exit::Unavailable, format!("cannot listen on {wanted}")).caused_by(error).hint(hint)
}

/// Loaded models, ready to be served.
pub(crate) struct Serving {
    server: Arc<Server>,
    api: ApiConfig,
}

impl Serving {
    /// Loads every model of a store or folder, or those named.
    ///
    /// # Errors
    /// A source that cannot be read, a model named that is not in it, or an engine that is not known.
    pub(crate) async fn start(
        source: impl ModelSource + 'static,
        global: &GlobalArgs,
        limits: Limits,
        only: Option<Vec<ModelName>>,
    ) -> Result<Self, Failure> {
        let runtimes = Arc::new(wiring::runtimes(global)?);
        let clock = Arc::new(SystemClock);
        for name in limits.serve.models.values().filter_map(|settings| settings.runtime.as_deref()) {
            runtimes.by_name(name)?;
        }
        let configured: Vec<ModelName> = limits.serve.models.keys().cloned().collect();
        let server = Server::start(source, runtimes, limits.serve, clock, only).await?;
        for name in configured {
            // A name that is misspelt there would be left to the defaults without a word.
            server
                .model(name.as_str())
                .map_err(|error| Failure::from(error).context("in the --config file"))?;
        }
        Ok(Self { server, api: limits.api })
    }

    /// Whether every model has a version that answers.
    ///
    /// # Errors
    /// The first model without one, with the reason.
    pub(crate) fn must_answer(&self) -> Result<(), Failure> {
        match self.server.models().into_iter().find(|status| status.answering().is_none()) {
            None => Ok(()),
            Some(status) => {
                let problem = status.problem.unwrap_or_else(|| "it has no version to serve".to_owned());
                Err(Failure::new(Exit::Store, format!("{} cannot be served: {problem}", status.name)))
            }
        }
    }

    /// Answers requests until told to stop, then lets those in flight end. `listening` is called once, as
    /// soon as connections are taken.
    ///
    /// # Errors
    /// A port that another process took in the meantime, or a listener that breaks.
    pub(crate) async fn run(
        self,
        port: ReservedPort,
        stop: StopSignal,
        listening: impl FnOnce(SocketAddr, &Server),
    ) -> Result<(), Failure> {
        let (listener, address) = port.listen()?;
        listening(address, &self.server);
        modelyard_api::serve(listener, self.server, self.api, stop.wait()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        serving: ServingArgs,
    }

    #[test]
    fn a_flag_wins_over_the_project_and_the_project_over_the_default() {
        let flags = Flags::parse_from(["x", "--batch-size-max", "5", "--deadline-ms", "70"]).serving;
        let project =
            ServingSection { batch_size_max: Some(9), workers: Some(3), ..ServingSection::default() };
        let limits = flags.resolve(Some(&project));
        assert_eq!(limits.serve.batch_size_max, 5);
        assert_eq!(limits.serve.sessions_max, 3);
        assert_eq!(limits.serve.deadline_default, Duration::from_millis(70));
        assert_eq!(limits.serve.queue_rows_max, ServeConfig::default().queue_rows_max);
    }

    #[test]
    fn sizes_have_units_of_thousands_and_of_1024() {
        for (text, want) in [("7", 7), ("1500b", 1500), ("2GiB", 2 << 30), ("3 mb", 3_000_000), ("4k", 4096)]
        {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for bad in ["", "GiB", "2TB", "-1", "1.5GiB", "0", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_port_that_somebody_listens_on_cannot_be_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let failure = ReservedPort::take(address).expect_err("the port is in use");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.to_string().contains("hint: another program listens there"), "{failure}");
    }
}
