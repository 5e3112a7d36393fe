//! A step that other servers run: which of them is asked, who is asked again when one fails, and who rests.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use modelyard_registry::document::TlsFiles;
use modelyard_types::{Clock, ErrorKind, ModelName, NamedTensor};

use super::breaker::{Breaker, Ticket};
use super::budget::RetryBudget;
use super::follow::Followed;
use super::step::Task;
use crate::error::ServeError;
use crate::sequence::SequenceStep;

/// Most times that one request, or one part of it, is sent.
const ATTEMPTS_MAX: usize = 3;
/// A server that does not answer within less than this is not to blame: the caller was in a hurry, or went away.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server, and how it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteServer<'a> {
    /// `host:port`, behind [`SECURE`](modelyard_registry::document::SECURE) where it is asked by TLS.
    pub name: &'a str,
    /// The files for that, where the system's own do not do.
    pub tls: Option<&'a TlsFiles>,
}

/// What a server is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteCall {
    /// The model there.
    pub model: String,
    /// Its version; none for the one that answers by default.
    pub version: Option<String>,
    /// The inputs.
    pub inputs: Vec<NamedTensor>,
    /// As [`Urgency::priority`](crate::Urgency::priority).
    pub priority: u8,
    /// Its place in a sequence that the model there remembers.
    pub sequence: Option<SequenceStep>,
}

/// How a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTerms {
    /// The time that it has for its answer.
    pub time: Duration,
    /// Servers that passed the request on, the one that asks among them.
    pub hops: u8,
    /// What else it is told by name, see [`Trail::carried`](crate::Trail::carried).
    pub carried: Vec<(&'static str, String)>,
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFailure {
    /// [`ErrorKind::Unavailable`] where another server, or the same one later, may do better.
    pub kind: ErrorKind,
    /// What it said.
    pub message: String,
}

/// What a server answers in the end.
pub type RemoteAnswer<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<NamedTensor>, RemoteFailure>> + Send + 'a>>;

/// Speaks to the servers that run steps of graphs. Whoever implements it knows a wire format; nothing else does.
pub trait RemoteModels: Send + Sync {
    /// Asks a server.
    fn infer<'a>(
        &'a self,
        server: RemoteServer<'a>,
        call: &'a RemoteCall,
        terms: RemoteTerms,
    ) -> RemoteAnswer<'a>;
}

/// The servers of one step.
pub(super) struct Servers {
    names: Vec<String>,
    /// So that they are asked in turn.
    turns: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    breakers: Vec<Breaker>,
    budget: RetryBudget,
}

/// What a call needs beside the call itself.
pub(super) struct Asking<'a> {
    pub(super) graph: &'a ModelName,
    pub(super) client: &'a dyn RemoteModels,
    pub(super) clock: &'a dyn Clock,
    pub(super) task: &'a Task<'a>,
}

impl Asking<'_> {
    /// Now, and the time from now to the deadline.
    fn time_left(&self) -> Result<(Instant, Duration), ServeError> {
        let now = self.clock.now();
        let time = self.task.terms.urgency.deadline.0.saturating_duration_since(now);
        match time.is_zero() {
            true => Err(ServeError::DeadlineExceeded { model: self.graph.clone() }),
            false => Ok((now, time)),
        }
    }
}

impl Servers {
    pub(super) fn new(names: Vec<String>) -> Self {
        let breakers = names.iter().map(|_| Breaker::default()).collect();
        let state = Mutex::new(State { breakers, budget: RetryBudget::default() });
        Self { names, turns: AtomicUsize::new(0), state }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Asks one server, and others where it is not there, while the deadline and the budget allow; tells which one
    /// answered.
    ///
    /// # Errors
    /// What the last server said, or that all of them rest.
    pub(super) async fn ask(
        &self,
        asking: &Asking<'_>,
        call: &RemoteCall,
    ) -> Result<(usize, Vec<NamedTensor>), ServeError> {
        self.lock().budget.request();
        let mut failed: Option<(usize, ServeError)> = None;
        for _ in 0..ATTEMPTS_MAX {
            let (now, time) = asking.time_left()?;
            if failed.is_some() && !self.lock().budget.take() {
                break;
            }
            let chosen = self.choose(now, failed.as_ref().map(|(at, _)| *at));
            let Some((at, ticket)) = chosen else { break };
            let trial = Trial { servers: self, at, ticket, began: now, asking, is_told: false };
            if failed.is_some() {
                asking.task.place.telemetry.retried();
            }
            match self.try_one(trial, call, time).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => failed = Some((at, error)),
                other => return other.map(|outputs| (at, outputs)),
            }
        }
        Err(failed.map_or(ServeError::ServersRest, |(_, error)| error))
    }

    /// Asks this server, once: no other one could answer, and it may have done what it did not tell.
    ///
    /// # Errors
    /// What it said, or [`ServeError::ServersRest`] where it was not asked.
    pub(super) async fn ask_one(
        &self,
        at: usize,
        asking: &Asking<'_>,
        call: &RemoteCall,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let (now, time) = asking.time_left()?;
        let ticket = self.lock().breakers[at].admit(now).ok_or(ServeError::ServersRest)?;
        let trial = Trial { servers: self, at, ticket, began: now, asking, is_told: false };
        self.try_one(trial, call, time).await
    }

    async fn try_one(
        &self,
        trial: Trial<'_>,
        call: &RemoteCall,
        time: Duration,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let (server, asking) = (&self.names[trial.at], trial.asking);
        let mut followed = Followed::begin(asking.task, asking.clock);
        let mut carried = Vec::new();
        if let Some(followed) = &mut followed {
            followed.span.server = Some(server.clone());
            carried = followed.carried();
        }
        let hops = asking.task.terms.journey.hops.saturating_add(1);
        let late = |_| RemoteFailure {
            kind: ErrorKind::DeadlineExceeded,
            message: "it did not answer before the deadline".to_owned(),
        };
        let reached = RemoteServer { name: server, tls: asking.task.model.tls.as_ref() };
        let asked = asking.client.infer(reached, call, RemoteTerms { time, hops, carried });
        let answer = tokio::time::timeout(time, asked).await;
        let answer = answer.map_err(late).and_then(|answer| answer);
        match answer.as_ref().map_err(|failure| failure.kind) {
            Err(ErrorKind::Unavailable) => trial.failed(),
            Err(ErrorKind::DeadlineExceeded) if time >= PATIENCE => trial.failed(),
            Err(ErrorKind::DeadlineExceeded) => drop(trial),
            _ => trial.succeeded(),
        }
        let outcome = answer.map_err(|RemoteFailure { kind, message }| {
            let graph = asking.graph.as_str();
            tracing::info!(graph, server, kind = kind.as_str(), message, "a server did not run a step");
            ServeError::Remote { kind, message }
        });
        if let Some(followed) = followed {
            followed.end(&outcome);
        }
        outcome
    }

    /// The next server that does not rest, with its breaker's ticket; the one that just failed only where there is
    /// no other.
    fn choose(&self, now: Instant, failed: Option<usize>) -> Option<(usize, Ticket)> {
        let count = self.names.len();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let others = (0..count).map(|step| (turn + step) % count).filter(|at| Some(*at) != failed);
        let mut state = self.lock();
        others.chain(failed).find_map(|at| Some((at, state.breakers[at].admit(now)?)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that a breaker let through. Dropped without a word, because its caller went away, it tells of a
/// failure where the server had time enough, and else nothing.
struct Trial<'a> {
    servers: &'a Servers,
    at: usize,
    ticket: Ticket,
    began: Instant,
    asking: &'a Asking<'a>,
    is_told: bool,
}

impl Trial<'_> {
    fn succeeded(mut self) {
        self.is_told = true;
        self.servers.lock().breakers[self.at].succeeded(self.ticket);
    }

    fn failed(mut self) {
        self.is_told = true;
        self.note_failure(self.asking.clock.now());
    }

    fn note_failure(&self, now: Instant) {
        if self.servers.lock().breakers[self.at].failed(now, self.ticket) {
            let (server, graph) = (&self.servers.names[self.at], self.asking.graph.as_str());
            tracing::warn!(graph, server, "a server rests after failures in a row");
            self.asking.task.place.telemetry.opened();
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        let now = self.asking.clock.now();
        if now.saturating_duration_since(self.began) >= PATIENCE {
            self.note_failure(now);
        } else {
            self.servers.lock().breakers[self.at].abandoned(now, self.ticket);
        }
    }
}
