//! Sequences through a graph: every step whose model remembers them is fed its piece of each request, and keeps what
//! it remembers here, or on the server that it began on. The others answer each request by itself.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use modelyard_registry::document::ModelStep;
use modelyard_runtime::RuntimeError;
use modelyard_types::{Dim, ErrorKind, NamedTensor, Signature, TensorSpec, VersionSelector};

use super::follow::Followed;
use super::remote::{RemoteCall, Servers};
use super::step::Task;
use super::{Asked, At, Gave, GraphRun};
use crate::error::ServeError;
use crate::journey::Terms;
use crate::pool::{Ran, Work};
use crate::sequence::SequenceStep;
use crate::version::{Past, Piece, ServedVersion, check_answer};

/// What the steps of a graph remember of one sequence, by their names.
pub(crate) type StepPasts = BTreeMap<String, StepPast>;

/// What one step remembers of a sequence.
#[derive(Clone)]
pub(crate) enum StepPast {
    /// The version that the step began on, and what that remembers; none before its first request.
    Here { version: Arc<ServedVersion>, past: Option<Past> },
    /// Which of the step's servers remembers it; none before its first request.
    There { server: Option<usize> },
}

/// What a graph gave to a request of a sequence, and what its steps remember now.
type Continued = (Ran, StepPasts);

impl GraphRun {
    /// What the steps begin a sequence with, and the bytes that they will remember of it here.
    ///
    /// # Errors
    /// A graph none of whose steps remembers sequences, or one whose model cannot be opened.
    pub(crate) async fn begin_sequence(&self) -> Result<(u64, StepPasts), ServeError> {
        let (mut bytes, mut pasts) = (0, StepPasts::new());
        for (step, model) in self.wired.graph.model_steps().filter(|(step, _)| self.always.contains(*step)) {
            let failed = |cause| ServeError::Step { step: step.to_owned(), cause: Box::new(cause) };
            let Some((own, past)) = self.begin_step(step, model).await.map_err(failed)? else { continue };
            if model.scatter_rows.is_some() {
                return Err(failed(ServeError::SequenceScattered));
            }
            bytes += own;
            pasts.insert(step.to_owned(), past);
        }
        if pasts.is_empty() {
            let reason = "none of the steps that every request takes remembers one".to_owned();
            let hint = "a recurrent network that was trained here remembers, and one on other servers whose step has sequences = true";
            let source = Arc::new(RuntimeError::Stepwise { reason, hint: Some(hint.to_owned()) });
            return Err(ServeError::NoSequences { model: self.name.clone(), source });
        }
        Ok((bytes, pasts))
    }

    /// The bytes that a step will remember, and with what it begins; none where it remembers nothing.
    async fn begin_step(&self, step: &str, model: &ModelStep) -> Result<Option<(u64, StepPast)>, ServeError> {
        if model.is_remote() {
            return Ok(model.sequences.then_some((0, StepPast::There { server: None })));
        }
        let opened = self.open(step).await?;
        match opened.past_bytes().await {
            Ok(bytes) => Ok(Some((bytes, StepPast::Here { version: Arc::clone(&opened), past: None }))),
            Err(ServeError::NoSequences { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers one request of a sequence, and gives what its steps remember then. Dropping the future gives up
    /// every step.
    pub(crate) fn run_in_sequence<'g>(
        &'g self,
        work: Work,
        terms: Terms,
        step: &SequenceStep,
        pasts: StepPasts,
    ) -> Pin<Box<dyn Future<Output = Result<Continued, ServeError>> + Send + 'g>> {
        let asked = Asked { sequence: Some(step.clone()), ..Asked::new(terms) };
        Box::pin(async move {
            let answer = self.answer(work.inputs, work.rows, &asked, pasts).await;
            let answer = answer.map_err(|cause| asked.or_lost(cause))?;
            Ok((answer.ran, answer.pasts))
        })
    }

    /// Tells the servers that remember a sequence that it ended without a step. Where one is not told, it expires
    /// there.
    pub(crate) async fn end_sequence(&self, pasts: &StepPasts, step: &SequenceStep, terms: Terms) {
        let asked = Asked { sequence: Some(step.clone()), ..Asked::new(terms) };
        for (name, model) in self.wired.graph.model_steps() {
            let place = &self.places[name];
            let (Some(StepPast::There { server: Some(at) }), At::Servers(servers)) =
                (pasts.get(name), &place.at)
            else {
                continue;
            };
            let task = Task::whole(name, model, place, &asked.terms);
            if let Err(error) = self.piece_there((servers, Some(*at)), &task, Vec::new(), &asked).await {
                tracing::debug!(graph = %self.name, step = name, %error, "a server was not told of a sequence's end");
            }
        }
    }

    /// What it takes of a request of a sequence: as many steps of a series as are sent.
    pub(crate) fn pieces_signature(&self) -> Signature {
        let mut signature = self.signature().clone();
        signature.inputs.iter_mut().for_each(of_any_length);
        signature
    }

    /// Runs a step of a sequence's request with what it remembers.
    pub(super) async fn piece<'g>(
        &self,
        task: Task<'g>,
        inputs: Vec<NamedTensor>,
        asked: &Asked,
        past: Option<StepPast>,
    ) -> Result<Gave<'g>, ServeError> {
        let step = task.step;
        let (outputs, past) = match (past, &task.place.at) {
            (Some(StepPast::Here { version, past }), At::Here { version: selector, .. }) => {
                let (outputs, past) =
                    self.piece_here((&version, selector.as_ref()), &task, (inputs, past), asked).await?;
                (outputs, Some(StepPast::Here { version, past: Some(past) }))
            }
            (Some(StepPast::There { server }), At::Servers(servers)) => {
                let (server, outputs) = self.piece_there((servers, server), &task, inputs, asked).await?;
                self.check_given(task.model, &outputs, of_any_length)?;
                (outputs, Some(StepPast::There { server: Some(server) }))
            }
            _ => {
                self.check_forgetful(&task).await?;
                (self.whole_or_scattered(task, inputs).await?, None)
            }
        };
        Ok(Gave { step, outputs, version: None, past })
    }

    /// Whether a step that is not run with every request remembers nothing of them.
    async fn check_forgetful(&self, task: &Task<'_>) -> Result<(), ServeError> {
        if self.always.contains(task.step) {
            return Ok(());
        }
        match self.begin_step(task.step, task.model).await? {
            Some(_) => Err(ServeError::SequenceSwitched),
            None => Ok(()),
        }
    }

    async fn piece_here(
        &self,
        (version, selector): (&Arc<ServedVersion>, Option<&VersionSelector>),
        task: &Task<'_>,
        (inputs, past): (Vec<NamedTensor>, Option<Past>),
        asked: &Asked,
    ) -> Result<(Vec<NamedTensor>, Past), ServeError> {
        let server = self.around.server.upgrade().ok_or(ServeError::Draining)?;
        let place = asked.sequence.as_ref().ok_or_else(|| self.broken("it is in no sequence".to_owned()))?;
        let mut followed = Followed::begin(task, self.around.clock.as_ref());
        let arrived = self.around.clock.now();
        let piece = Piece { inputs, wanted: &[], past, step: place, terms: asked.terms.urgency.into() };
        let outcome = version.infer_piece(piece).await;
        let outcome = outcome.and_then(|given| check_answer(&given.0.answer).map(|()| given));
        if let Some(route) = server.choose(task.model.model.as_str(), selector, &|_| None) {
            route.watch(version, arrived, &outcome);
        }
        if let Some(followed) = &mut followed {
            followed.span.version = Some(version.version().get());
            followed.span.times = outcome.as_ref().ok().map(|(answered, _)| answered.times);
        }
        if let Some(followed) = followed {
            followed.end(&outcome);
        }
        let (answered, past) = outcome?;
        Ok((answered.answer, past))
    }

    /// Asks the server that remembers the sequence, or any where it begins.
    async fn piece_there(
        &self,
        (servers, at): (&Servers, Option<usize>),
        task: &Task<'_>,
        inputs: Vec<NamedTensor>,
        asked: &Asked,
    ) -> Result<(usize, Vec<NamedTensor>), ServeError> {
        let call = RemoteCall { sequence: asked.sequence.clone(), ..task.call(inputs) };
        let asking = self.asking(task)?;
        let Some(at) = at else { return servers.ask(&asking, &call).await };
        asked.gone_on.fetch_add(1, Ordering::Relaxed);
        let outcome = servers.ask_one(at, &asking, &call).await;
        if outcome.as_ref().is_err_and(leaves_the_sequence) {
            asked.gone_on.fetch_sub(1, Ordering::Relaxed);
        }
        Ok((at, outcome?))
    }
}

impl Asked {
    /// The failure of a request, with what that means for its sequence.
    fn or_lost(&self, cause: ServeError) -> ServeError {
        match &self.sequence {
            Some(SequenceStep { id, .. }) if self.gone_on.load(Ordering::Relaxed) > 0 => {
                ServeError::SequenceLost { id: id.clone(), cause: Box::new(cause) }
            }
            _ => cause,
        }
    }
}

/// Whether a server that failed so still remembers the sequence as it was: it was not asked, as the deadline had
/// passed or it rests, or it refused.
fn leaves_the_sequence(error: &ServeError) -> bool {
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::ResourceExhausted
    );
    // One that was asked and is late fails by `Remote`.
    is_refusal || matches!(error, ServeError::ServersRest | ServeError::DeadlineExceeded { .. })
}

/// A tensor of a series: the first size tells the rows, the others what is sent of it.
fn of_any_length(spec: &mut TensorSpec) {
    spec.shape.iter_mut().skip(1).for_each(|dim| *dim = Dim::Any);
}
