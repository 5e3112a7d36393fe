//! The sessions of one loaded version and the threads that run them, fed by the scheduler.
//!
//! The queue is one lock, held for a few hundred nanoseconds at a time. Handing a request to another thread
//! and back costs more processor time than a small network needs, so a caller runs the next batch itself
//! when a session is free and the batch is known to be short; everything else goes to the worker threads,
//! which start when first needed. Where company pays, a caller first waits a round (see [`crate::rounds`]): each
//! one comes back to the queue by itself, so none depends on another that may have gone away meanwhile. A session
//! that panics takes only its batch with it.

mod state;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use modelyard_runtime::{LoadedModel, RuntimeError, Session};
use modelyard_types::{Clock, ModelName, NamedTensor};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::batch::{self, RowShape};
use crate::config::ServeConfig;
use crate::error::ServeError;
use crate::heap::GiveBack;
use crate::probe::{Probe, probe};
use crate::scheduler::{Batch, Entry, Next, Refusal, Scheduler, Ticket};
use crate::statistics::Times;
use crate::target::Ended;
use crate::telemetry::VersionTelemetry;
use crate::urgency::Urgency;
use state::State;

/// What a session made of a request, and how long that took.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outputs: Vec<NamedTensor>,
    pub(crate) times: Times,
}

type Outputs = Result<Ran, ServeError>;

struct Job {
    inputs: Vec<NamedTensor>,
    /// Its caller waits a round and then sees to it.
    in_round: bool,
    reply: oneshot::Sender<Outputs>,
}

/// A request as the pool takes it: checked, and its inputs in the signature's order.
pub(crate) struct Work {
    /// The inputs.
    pub(crate) inputs: Vec<NamedTensor>,
    /// Their rows.
    pub(crate) rows: usize,
    /// Their free sizes.
    pub(crate) shape: RowShape,
    /// When the answer is of no use any more, and who goes first.
    pub(crate) urgency: Urgency,
}

/// A batch, and the session to run it where one is free; else one may be made.
type Assignment = (Option<Box<dyn Session>>, Batch<Job>);

struct Core {
    model: ModelName,
    network: Arc<dyn LoadedModel>,
    batch_rows_max: Option<usize>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<VersionTelemetry>,
    has_target: bool,
    state: Mutex<State>,
    wake: Condvar,
    // The last to be dropped.
    _memory: GiveBack,
}

/// The sessions of one loaded version. Dropping it ends its threads.
pub(crate) struct Pool {
    core: Arc<Core>,
}

impl Pool {
    /// Makes the first session and warms it up.
    ///
    /// # Errors
    /// Where the runtime cannot make a session.
    pub(crate) fn start(
        model: &ModelName,
        network: Arc<dyn LoadedModel>,
        config: &ServeConfig,
        clock: Arc<dyn Clock>,
        telemetry: Arc<VersionTelemetry>,
    ) -> Result<Self, RuntimeError> {
        let mut session = network.session()?;
        let signature = network.signature();
        let probed = catch_unwind(AssertUnwindSafe(|| probe(session.as_mut(), signature, clock.as_ref())));
        let (Probe { joined, cost }, sessions) = match probed {
            Ok(probed) => (probed, vec![session]),
            Err(_) => (Probe::default(), Vec::new()),
        };
        let joined = joined && config.batch_size_max > 1;
        tracing::debug!(%model, runtime = network.runtime(), joined, ?cost, "probed a network");
        let target = config.target(joined);
        let has_target = target.is_some();
        let mut scheduler = Scheduler::new(config.limits(joined));
        if let Some(target) = &target {
            scheduler.keep(target.limits());
        }
        let state = State::new(scheduler, target, cost, sessions, config.sessions_max);
        let core = Core {
            model: model.clone(),
            network,
            batch_rows_max: joined.then_some(config.batch_size_max.max(1)),
            clock,
            telemetry,
            has_target,
            state: Mutex::new(state),
            wake: Condvar::new(),
            _memory: GiveBack,
        };
        Ok(Self { core: Arc::new(core) })
    }

    /// The series of this version.
    pub(crate) fn telemetry(&self) -> &VersionTelemetry {
        &self.core.telemetry
    }

    /// The same, for another pool of this version.
    pub(crate) fn shared_telemetry(&self) -> Arc<VersionTelemetry> {
        Arc::clone(&self.core.telemetry)
    }

    /// Most rows of one batch; none where requests are not joined.
    pub(crate) fn batch_rows_max(&self) -> Option<usize> {
        self.core.batch_rows_max
    }

    /// Rows that wait now.
    pub(crate) fn queued_rows(&self) -> usize {
        self.core.lock().scheduler.queued_rows()
    }

    /// Batches that may be computed at once just now.
    pub(crate) fn sessions_at_once(&self) -> usize {
        self.core.lock().sessions_at_once()
    }

    /// Whether not one more row would be taken into the queue.
    pub(crate) fn is_full(&self) -> bool {
        let now = self.core.clock.now();
        self.core.lock().scheduler.is_full(now)
    }

    /// Queues the request and waits for its answer, until its deadline. Dropping the future cancels it.
    ///
    /// # Errors
    /// A full queue, a passed deadline, or what the session said.
    pub(crate) async fn run(&self, work: Work) -> Outputs {
        let core = &self.core;
        let deadline = work.urgency.deadline.0;
        let Submitted { ticket, mut answer, in_round } = core.submit(work)?;
        let guard = CancelOnDrop { core, ticket };
        if in_round {
            tokio::task::yield_now().await;
        }
        let mut told = answer.try_recv();
        if in_round && matches!(told, Err(TryRecvError::Empty)) {
            core.end_round(ticket);
            told = answer.try_recv();
        }
        let told = match told {
            Ok(outputs) => Some(outputs),
            // The sender is dropped without a word only where the scheduler found the request expired.
            Err(TryRecvError::Closed) => None,
            Err(TryRecvError::Empty) => {
                let told = tokio::time::timeout_at(deadline.into(), answer).await;
                told.ok().and_then(Result::ok)
            }
        };
        if told.is_some() {
            // Answered, so no longer in the queue.
            std::mem::forget(guard);
        }
        told.unwrap_or_else(|| Err(core.late()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.core.lock().closed = true;
        self.core.wake.notify_all();
    }
}

/// A request that was taken in.
struct Submitted {
    ticket: Ticket,
    answer: oneshot::Receiver<Outputs>,
    /// Its caller is to come back after a round.
    in_round: bool,
}

struct CancelOnDrop<'a> {
    core: &'a Core,
    ticket: Ticket,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        drop(self.core.lock().scheduler.cancel(self.ticket));
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every statement that can panic, so a poisoned lock is as good as new.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> ServeError {
        ServeError::DeadlineExceeded { model: self.model.clone() }
    }

    /// Queues a request. Where it is short work, the next batch is run at once, or the request is to wait a round.
    fn submit(self: &Arc<Self>, work: Work) -> Result<Submitted, ServeError> {
        let Work { inputs, rows, shape, urgency } = work;
        let Urgency { deadline, priority } = urgency;
        let (reply, answer) = oneshot::channel();
        let now = self.clock.now();
        let mut state = self.lock();
        let in_round = state.waits_a_round(rows);
        let work = Job { inputs, in_round, reply };
        let entry = Entry { shape, priority, rows, deadline: deadline.0, work };
        let ticket = state.scheduler.enqueue(now, entry).map_err(|(refusal, _)| match refusal {
            Refusal::QueueFull => ServeError::QueueFull { model: self.model.clone() },
            Refusal::Expired => self.late(),
        })?;
        if !in_round {
            self.run_or_call(state, now);
        }
        Ok(Submitted { ticket, answer, in_round })
    }

    /// Sees to a request whose round is over, if it still waits.
    fn end_round(self: &Arc<Self>, ticket: Ticket) {
        let mut state = self.lock();
        let Some(job) = state.scheduler.get_mut(ticket) else { return };
        job.in_round = false;
        let now = self.clock.now();
        if self.run_or_call(state, now) == Some(ticket) {
            self.lock().rounds.was_alone();
        }
    }

    /// Runs the next batch where that is short work, and tells which request was alone in it; else calls a worker
    /// thread to it.
    fn run_or_call(self: &Arc<Self>, mut state: MutexGuard<'_, State>, now: Instant) -> Option<Ticket> {
        let Some((session, batch)) = state.take_short(now) else {
            self.call_thread(&mut state);
            return None;
        };
        drop(state);
        let alone = if let [only] = batch.members.as_slice() { Some(only.ticket) } else { None };
        self.finish(session, batch);
        alone
    }

    /// Runs a batch, gives the session back, and sees to it that what queued up meanwhile is run too.
    fn finish(self: &Arc<Self>, session: Box<dyn Session>, batch: Batch<Job>) {
        let (rows, members) = (batch.rows, batch.members.len());
        let (session, took) = self.execute(session, batch);
        let mut state = self.lock();
        state.cost.observe(rows, took);
        if members > 1 {
            state.rounds.met_company();
        }
        match session {
            Some(session) => state.sessions.push(session),
            None => state.sessions_made -= 1,
        }
        if state.scheduler.any(|job| !job.in_round) {
            self.call_thread(&mut state);
        }
    }

    /// Wakes an idle worker thread, or starts one.
    fn call_thread(self: &Arc<Self>, state: &mut State) {
        if !state.may_begin() {
            // Whoever ends a batch looks at the queue again.
            return;
        }
        if state.threads_idle > 0 {
            self.wake.notify_one();
            return;
        }
        if state.threads >= state.sessions_max {
            return;
        }
        let core = Arc::clone(self);
        let name = format!("model {}", self.model);
        match std::thread::Builder::new().name(name).spawn(move || core.work()) {
            Ok(_) => state.threads += 1,
            Err(error) => tracing::error!(model = %self.model, %error, "cannot start a worker thread"),
        }
    }

    /// A worker thread's life.
    fn work(self: Arc<Self>) {
        while let Some((session, batch)) = self.await_batch() {
            let session = match session {
                Some(session) => session,
                None => match self.new_session() {
                    Ok(session) => session,
                    Err(error) => {
                        self.lock().sessions_made -= 1;
                        self.fail(batch, &error);
                        continue;
                    }
                },
            };
            self.finish(session, batch);
        }
        self.lock().threads -= 1;
    }

    /// Blocks until there is a batch and a session (or leave to make one); none when the pool is closed.
    fn await_batch(&self) -> Option<Assignment> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let now = self.clock.now();
            drop(state.scheduler.take_expired(now));
            let mut wait = None;
            if state.may_begin() {
                match state.scheduler.next_batch(now) {
                    Next::Batch(batch) => {
                        let session = state.sessions.pop();
                        if session.is_none() {
                            state.sessions_made += 1;
                        }
                        return Some((session, batch));
                    }
                    Next::WaitUntil(at) => wait = Some(at.saturating_duration_since(now)),
                    Next::Idle => {}
                }
            }
            state.threads_idle += 1;
            state = match wait {
                Some(wait) => self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.threads_idle -= 1;
        }
    }

    fn new_session(&self) -> Result<Box<dyn Session>, Failure> {
        match catch_unwind(AssertUnwindSafe(|| self.network.session())) {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(Failure::Said(Arc::new(error))),
            Err(_) => Err(Failure::Broke("making a session panicked".to_owned())),
        }
    }

    /// Runs a batch, answers its members, and tells what it took. The session is lost where it panicked.
    fn execute(
        &self,
        mut session: Box<dyn Session>,
        mut batch: Batch<Job>,
    ) -> (Option<Box<dyn Session>>, Duration) {
        let joined;
        let inputs: &[NamedTensor] = match batch.members.as_slice() {
            [only] => &only.work.inputs,
            members => {
                let inputs: Vec<&[NamedTensor]> = members.iter().map(|m| m.work.inputs.as_slice()).collect();
                joined = batch::join(&inputs);
                &joined
            }
        };
        let start = self.clock.now();
        let ran = catch_unwind(AssertUnwindSafe(|| session.run(inputs)));
        let compute = self.clock.now().saturating_duration_since(start);
        self.observe(&batch, compute);
        let (session, outputs) = match ran {
            Ok(Err(RuntimeError::Panicked { .. })) | Err(_) => {
                (None, Err(Failure::Broke("its session panicked and was replaced".to_owned())))
            }
            Ok(outputs) => (Some(session), outputs.map_err(|error| Failure::Said(Arc::new(error)))),
        };
        match outputs {
            Ok(outputs) if batch.members.len() == 1 => {
                let member = batch.members.pop().expect("the length was looked at");
                let times = Times { queue: member.waited, compute };
                // A caller that went away needs no answer.
                drop(member.work.reply.send(Ok(Ran { outputs, times })));
            }
            Ok(outputs) => self.answer(batch, &outputs, compute),
            Err(failure) => self.fail(batch, &failure),
        }
        (session, compute)
    }

    fn answer(&self, batch: Batch<Job>, outputs: &[NamedTensor], compute: Duration) {
        let rows: Vec<usize> = batch.members.iter().map(|member| member.rows).collect();
        match batch::split(outputs, &rows) {
            Ok(parts) => {
                for (member, outputs) in batch.members.into_iter().zip(parts) {
                    let times = Times { queue: member.waited, compute };
                    drop(member.work.reply.send(Ok(Ran { outputs, times })));
                }
            }
            Err(what) => self.fail(batch, &Failure::Broke(what)),
        }
    }

    fn fail(&self, batch: Batch<Job>, failure: &Failure) {
        tracing::error!(model = %self.model, rows = batch.rows, error = ?failure, "a batch failed");
        for member in batch.members {
            let model = self.model.clone();
            let error = match failure {
                Failure::Said(source) => ServeError::Run { model, source: Arc::clone(source) },
                Failure::Broke(what) => ServeError::Broken { model, what: what.clone() },
            };
            drop(member.work.reply.send(Err(error)));
        }
    }

    fn observe(&self, batch: &Batch<Job>, took: Duration) {
        for member in &batch.members {
            self.telemetry.rode(member.waited, took);
        }
        self.telemetry.computed(batch.rows, took, self.clock.wall());
        if self.has_target {
            let State { scheduler, target, .. } = &mut *self.lock();
            if let Some(target) = target {
                let (at, backlog) = (self.clock.now(), scheduler.queued_rows() > 0);
                let requests = batch.members.iter().map(|member| (member.rows, member.waited));
                target.observe(Ended { at, rows: batch.rows, took, backlog }, requests);
                scheduler.keep(target.limits());
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Failure {
    Said(Arc<RuntimeError>),
    Broke(String),
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
