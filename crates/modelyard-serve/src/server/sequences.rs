//! Requests that belong together: what is remembered of each sequence, who may go on with it, and in which order.
//!
//! A sequence stays with the version that it began on. What fails is as if it had not been asked: the past is
//! renewed once the answer is written, and not otherwise. Where another server may have gone on by then, it is lost.

use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use modelyard_types::{ModelName, NamedTensor};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

use super::Server;
use crate::error::ServeError;
use crate::journey::Terms;
use crate::rollout::Routed;
use crate::sequence::{Key, Refused, SequenceStep, Sequences};
use crate::statistics::Times;
use crate::telemetry::HeldSequence;
use crate::version::{Answered, Past, Piece, ServedVersion, check_answer};

/// What is known of a sequence while it lives.
pub(super) struct Sequence {
    version: Arc<ServedVersion>,
    /// The models that remember it as steps of a graph, once it began.
    steps: OnceLock<Vec<ModelName>>,
    /// Held while a request runs; whoever waits for it gets it in the order of coming.
    state: AsyncMutex<State>,
}

enum State {
    /// No request was answered yet. With it the one whose place it takes, whose steps elsewhere may still run.
    Fresh(Option<Arc<Sequence>>),
    /// What is remembered after the last answer.
    Remembers(Remembered),
    /// Its last request was answered.
    Over,
}

struct Remembered {
    past: Past,
    held: HeldSequence,
}

/// A request's place in its sequence, kept until it is dropped.
pub struct SequenceTurn<'a> {
    server: &'a Server,
    opened: &'a Routed,
    key: Key,
    step: SequenceStep,
    sequence: Arc<Sequence>,
    is_over: bool,
}

impl Sequence {
    /// Whether this model remembers it as a step of a graph, or may be about to.
    pub(super) fn has_step_of(&self, name: &ModelName) -> bool {
        if let Some(all) = self.steps.get() {
            return all.contains(name);
        }
        let Some(wired) = self.version.graph() else { return false };
        wired.graph.model_steps().any(|(_, step)| !step.is_remote() && step.model == name.as_str())
    }
}

impl State {
    /// The sequence whose place is taken, which is forgotten by that.
    fn take_replaced(&mut self) -> Option<Arc<Sequence>> {
        if let Self::Fresh(replaced) = self { replaced.take() } else { None }
    }
}

impl Drop for Sequence {
    fn drop(&mut self) {
        // One after the other: as many calls as sequences that took each other's place would be too deep.
        let mut next = self.state.get_mut().take_replaced();
        while let Some(mut old) = next.and_then(Arc::into_inner) {
            next = old.state.get_mut().take_replaced();
        }
    }
}

impl Server {
    /// Takes a request into its sequence, which begins on the version opened for it. Requests of one sequence are
    /// answered in the order in which this was called for them.
    ///
    /// # Errors
    /// A sequence that does not live, or lives on another version than the one `named`; too many at once.
    pub fn take_turn<'a>(
        &'a self,
        opened: &'a Routed,
        named: bool,
        step: SequenceStep,
    ) -> Result<SequenceTurn<'a>, ServeError> {
        let key = (opened.model().clone(), step.id.clone());
        let taken = self.enter_sequence(opened, &key, step.start);
        let sequence = taken.map_err(|refused| self.refused(&key, refused))?;
        let turn = SequenceTurn { server: self, opened, key, step, sequence, is_over: false };
        let version = turn.version();
        if named && version.version() != opened.version() {
            let (model, id) = (opened.model().clone(), turn.step.id.clone());
            let version = version.version();
            return Err(self.counted(ServeError::SequenceVersion { model, id, version }));
        }
        Ok(turn)
    }

    fn enter_sequence(
        &self,
        opened: &Arc<ServedVersion>,
        key: &Key,
        start: bool,
    ) -> Result<Arc<Sequence>, Refused> {
        let now = self.now();
        if !start {
            return self.sequences().enter(now, key);
        }
        let idle = opened.limits().sequence_idle;
        let state = AsyncMutex::new(State::Fresh(None));
        let sequence = Arc::new(Sequence { version: Arc::clone(opened), steps: OnceLock::new(), state });
        let mut sequences = self.sequences();
        let expired = if sequences.is_full() { sequences.expire(now) } else { Vec::new() };
        let begun = sequences.begin(now, key, Arc::clone(&sequence), idle);
        if let Ok(Some(old)) = &begun
            && old.version.remembers_elsewhere()
        {
            let mut state = sequence.state.try_lock().expect("nobody finds it while the table is held");
            *state = State::Fresh(Some(Arc::clone(old)));
        }
        // Others go on while those that are gone give their memory back.
        drop(sequences);
        self.loader.telemetry.sequences_expired(expired.len());
        begun.map(|_replaced| sequence)
    }

    fn refused(&self, (model, id): &Key, refused: Refused) -> ServeError {
        let (model, id) = (model.clone(), id.clone());
        self.counted(match refused {
            Refused::Unknown => {
                let idle = self.sequence_idle(&model);
                ServeError::UnknownSequence { model, id, idle }
            }
            Refused::Full => ServeError::SequencesFull { limit: self.config().sequences_max },
            Refused::Crowded => ServeError::SequenceCrowded { model, id },
        })
    }

    /// How long a model's sequences live without a request.
    fn sequence_idle(&self, model: &ModelName) -> Duration {
        let offers = self.offers();
        let limits = offers.get(model).map(|offer| offer.settings.limits(self.config()));
        limits.map_or(self.config().sequence_idle, |limits| limits.sequence_idle)
    }

    fn counted(&self, error: ServeError) -> ServeError {
        self.count_failure(error.kind());
        error
    }

    /// Forgets the sequences that were idle for too long.
    pub(super) fn expire_sequences(&self) {
        let expired = self.sequences().expire(self.now());
        self.loader.telemetry.sequences_expired(expired.len());
    }

    pub(super) fn sequences(&self) -> MutexGuard<'_, Sequences<Sequence>> {
        // The table is whole after every call, so a poisoned lock is as good as new.
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SequenceTurn<'_> {
    /// The version that the sequence began on.
    pub fn version(&self) -> &Arc<ServedVersion> {
        &self.sequence.version
    }

    /// Waits until the requests before it are answered, and is answered by what they left. A request of no inputs
    /// that ends its sequence does only that. Whatever can fail of writing the answer belongs into `write`, which
    /// is called before the sequence goes on.
    ///
    /// # Errors
    /// As [`ServedVersion::infer`], and a model that takes no sequences, more than one row, a sequence that was
    /// not begun or has ended meanwhile, a deadline that passes in the wait, or what `write` fails with. The
    /// sequence is then as it was, but for [`ServeError::SequenceLost`].
    pub async fn infer<T>(
        mut self,
        inputs: Vec<NamedTensor>,
        wanted: &[String],
        terms: Terms,
        write: impl FnOnce(Vec<NamedTensor>) -> Result<T, ServeError>,
    ) -> Result<Answered<T>, ServeError> {
        let takes_inputs = !self.version().signature().inputs.is_empty();
        if takes_inputs && inputs.is_empty() && self.step.end && !self.step.start {
            let answer = write(Vec::new()).map_err(|error| self.server.counted(error))?;
            self.only_end(terms).await?;
            return Ok(Answered { answer, times: Times::default() });
        }
        let arrived = self.server.now();
        let outcome = self.answer(inputs, wanted, terms, write).await;
        self.opened.watch(self.version(), arrived, &outcome);
        outcome
    }

    async fn only_end(mut self, terms: Terms) -> Result<(), ServeError> {
        let sequence = Arc::clone(&self.sequence);
        let mut state = self.wait(&sequence, &terms).await?;
        self.is_over = true;
        match std::mem::replace(&mut *state, State::Over) {
            State::Remembers(remembered) => {
                self.version().end_sequence(&remembered.past, &self.step, terms).await;
                Ok(())
            }
            State::Fresh(_) | State::Over => Err(self.server.refused(&self.key, Refused::Unknown)),
        }
    }

    /// Waits until no other request of the sequence runs.
    async fn wait<'s>(
        &self,
        sequence: &'s Sequence,
        terms: &Terms,
    ) -> Result<AsyncMutexGuard<'s, State>, ServeError> {
        let waited = tokio::time::timeout_at(terms.urgency.deadline.0.into(), sequence.state.lock()).await;
        waited.map_err(|_| self.server.counted(ServeError::DeadlineExceeded { model: self.key.0.clone() }))
    }

    /// Waits until nothing runs any more of the sequence whose place this one takes, and of those before it: on
    /// other servers it would go on with what begins now.
    async fn outlast(&self, replaced: &Arc<Sequence>, terms: &Terms) -> Result<(), ServeError> {
        let mut next = Some(Arc::clone(replaced));
        while let Some(old) = next {
            let mut state = self.wait(&old, terms).await?;
            next = match std::mem::replace(&mut *state, State::Over) {
                State::Fresh(before) => before,
                State::Remembers(_) | State::Over => None,
            };
        }
        Ok(())
    }

    async fn answer<T>(
        &mut self,
        inputs: Vec<NamedTensor>,
        wanted: &[String],
        terms: Terms,
        write: impl FnOnce(Vec<NamedTensor>) -> Result<T, ServeError>,
    ) -> Result<Answered<T>, ServeError> {
        let sequence = Arc::clone(&self.sequence);
        let mut state = self.wait(&sequence, &terms).await?;
        let (past, new) = match &mut *state {
            State::Fresh(replaced) if self.step.start => {
                if let Some(old) = replaced {
                    self.outlast(old, &terms).await?;
                    *replaced = None;
                }
                let (past, held) = self.begin().await.map_err(|error| self.server.counted(error))?;
                (past, Some(held))
            }
            State::Remembers(remembered) => (Some(remembered.past.clone()), None),
            state => {
                self.is_over = !matches!(state, State::Fresh(Some(_)));
                return Err(self.server.refused(&self.key, Refused::Unknown));
            }
        };
        // What other servers remember may be gone on with whatever becomes of this request.
        let is_elsewhere = past.as_ref().is_some_and(Past::is_elsewhere);
        let before = is_elsewhere.then(|| std::mem::replace(&mut *state, State::Over));
        let piece = Piece { inputs, wanted, past, step: &self.step, terms };
        let outcome = sequence.version.infer_piece(piece).await;
        let has_gone_on = is_elsewhere && new.is_none();
        let outcome =
            outcome.and_then(|(answered, past)| Ok((self.written(answered, has_gone_on, write)?, past)));
        let (answered, past) = match outcome {
            Ok(given) => given,
            Err(error) => {
                match before {
                    Some(_) if matches!(error, ServeError::SequenceLost { .. }) => self.is_over = true,
                    Some(before) => *state = before,
                    None => {}
                }
                return Err(error);
            }
        };
        let bytes = past.size();
        let was = before.unwrap_or_else(|| std::mem::replace(&mut *state, State::Over));
        let mut held = match (was, new) {
            (State::Remembers(remembered), _) => remembered.held,
            (State::Fresh(_) | State::Over, new) => {
                let mut held = new.expect("a sequence that begins has room");
                held.begin();
                held
            }
        };
        self.is_over = self.step.end;
        if !self.is_over {
            self.server.resize_past(&mut held, bytes);
            *state = State::Remembers(Remembered { past, held });
        }
        Ok(answered)
    }

    /// The answer as its caller gets it. Where other servers have gone on with the sequence to give it, a failure
    /// to write it loses what they remember.
    fn written<T>(
        &self,
        Answered { answer, times }: Answered<Vec<NamedTensor>>,
        has_gone_on: bool,
        write: impl FnOnce(Vec<NamedTensor>) -> Result<T, ServeError>,
    ) -> Result<Answered<T>, ServeError> {
        let written = check_answer(&answer).and_then(|()| write(answer));
        let answer = written.map_err(|cause| match has_gone_on {
            true => ServeError::SequenceLost { id: self.step.id.clone(), cause: Box::new(cause) },
            false => cause,
        });
        Ok(Answered { answer: answer.map_err(|error| self.server.counted(error))?, times })
    }

    /// What the sequence begins with, and room for what is remembered of it.
    async fn begin(&self) -> Result<(Option<Past>, HeldSequence), ServeError> {
        let version = self.version();
        let (bytes, past) = version.begin_sequence().await?;
        let steps = past.iter().flat_map(Past::models).cloned().collect();
        self.sequence.steps.set(steps).expect("only the request that made it begins it, once");
        Ok((past, self.server.room_for_past(version.model(), bytes)?))
    }
}

impl Drop for SequenceTurn<'_> {
    fn drop(&mut self) {
        let is_over = self.is_over
            || self.sequence.state.try_lock().is_ok_and(|state| match *state {
                // What began and was not answered never was, but for what the next one must still wait for.
                State::Fresh(ref replaced) => self.step.start && replaced.is_none(),
                State::Over => true,
                State::Remembers(_) => false,
            });
        self.server.sequences().leave(self.server.now(), &self.key, &self.sequence, is_over);
    }
}
