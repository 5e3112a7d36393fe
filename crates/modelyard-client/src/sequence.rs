//! Series in pieces: who remembers which request begins a sequence, which ends it, and whether it can go on.

use std::hash::{BuildHasher, RandomState};

use modelyard_types::NamedTensor;

use crate::client::Client;
use crate::error::ClientError;
use crate::inference::{Inference, InferenceAnswer, SequenceId, SequencePlace};

/// A sequence on one server: every step is answered by what came before it. Made by [`Client::sequence`].
///
/// A step that certainly [changed nothing](ClientError::changed_nothing) leaves the sequence as it was and may be sent
/// again. Of every other failure it is not known whether the step was taken, and the sequence cannot be gone on with.
/// One that is neither ended by [`ModelSequence::end`] nor by its last step is forgotten by the server after a while.
#[derive(Debug)]
pub struct ModelSequence<'a> {
    client: &'a Client,
    model: String,
    version: Option<String>,
    id: SequenceId,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Begun,
    InDoubt,
    Over,
}

impl<'a> ModelSequence<'a> {
    pub(crate) fn new(client: &'a Client, model: &str) -> Self {
        // Models that are told the number of a sequence take it as a signed one.
        let id = SequenceId::Number(RandomState::new().hash_one(model) >> 1 | 1);
        Self { client, model: model.to_owned(), version: None, id, state: State::New }
    }

    /// The same with a name that was chosen, in place of a number by chance.
    #[must_use]
    pub fn with_id(self, id: SequenceId) -> Self {
        Self { id, ..self }
    }

    /// The same on this version, by its number or an alias, in place of the one that answers by default.
    #[must_use]
    pub fn on_version(self, version: impl Into<String>) -> Self {
        Self { version: Some(version.into()), ..self }
    }

    /// What it is called.
    pub fn id(&self) -> &SequenceId {
        &self.id
    }

    /// The next piece, of one row.
    ///
    /// # Errors
    /// As [`Client::infer`], and [`ClientError::Sequence`] where it has ended or cannot be gone on with.
    pub async fn step(&mut self, inputs: Vec<NamedTensor>) -> Result<InferenceAnswer, ClientError> {
        self.send(inputs, false).await
    }

    /// The last piece.
    ///
    /// # Errors
    /// As [`ModelSequence::step`].
    pub async fn last_step(&mut self, inputs: Vec<NamedTensor>) -> Result<InferenceAnswer, ClientError> {
        self.send(inputs, true).await
    }

    /// Ends it without a further step, where it has not ended yet.
    ///
    /// # Errors
    /// As [`Client::infer`].
    pub async fn end(mut self) -> Result<(), ClientError> {
        if matches!(self.state, State::Begun | State::InDoubt) {
            self.state = State::Over;
            self.client.infer(&self.inference(Vec::new(), false, true)).await?;
        }
        Ok(())
    }

    async fn send(&mut self, inputs: Vec<NamedTensor>, end: bool) -> Result<InferenceAnswer, ClientError> {
        let what = match self.state {
            State::New | State::Begun => None,
            State::InDoubt => Some("is in doubt: it is not known whether its last step was taken"),
            State::Over => Some("has ended"),
        };
        if let Some(what) = what {
            return Err(ClientError::Sequence { model: self.model.clone(), id: self.id.clone(), what });
        }
        let before = self.state;
        // One that begins anew is never in doubt.
        self.state = if before == State::New { State::New } else { State::InDoubt };
        let outcome = self.client.infer(&self.inference(inputs, before == State::New, end)).await;
        match &outcome {
            Ok(_) => self.state = if end { State::Over } else { State::Begun },
            Err(error) if error.changed_nothing() => self.state = before,
            Err(_) => {}
        }
        outcome
    }

    fn inference(&self, inputs: Vec<NamedTensor>, start: bool, end: bool) -> Inference {
        // It stays with the version that its first step chose.
        let version = self.version.clone().filter(|_| start);
        let sequence = Some(SequencePlace { id: self.id.clone(), start, end });
        Inference { version, sequence, ..Inference::new(self.model.as_str(), inputs) }
    }
}
