//! Tells whoever follows a request what its steps did, given up ones too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modelyard_types::{Clock, ErrorKind};

use super::step::Task;
use crate::error::ServeError;
use crate::journey::{StepSpan, Trail};

/// A step that somebody follows; told when it is dropped, as cancelled where nothing else was said before.
pub(super) struct Followed<'a> {
    trail: &'a Arc<dyn Trail>,
    clock: &'a dyn Clock,
    began: Instant,
    pub(super) span: StepSpan,
}

impl<'a> Followed<'a> {
    /// The step begins now; none where nobody follows the request.
    pub(super) fn begin(task: &Task<'a>, clock: &'a dyn Clock) -> Option<Self> {
        let trail = task.terms.journey.trail.as_ref()?;
        let span = StepSpan {
            span: trail.begin(),
            step: task.step.to_owned(),
            model: task.model.model.clone(),
            version: None,
            server: None,
            part: task.part,
            at: clock.wall(),
            took: Duration::ZERO,
            times: None,
            failure: Some(ErrorKind::Cancelled),
        };
        Some(Self { trail, clock, began: clock.now(), span })
    }

    /// What another server is told.
    pub(super) fn carried(&self) -> Vec<(&'static str, String)> {
        self.trail.carried(self.span.span)
    }

    /// How it ended.
    pub(super) fn end<T>(mut self, outcome: &Result<T, ServeError>) {
        self.span.failure = outcome.as_ref().err().map(ServeError::kind);
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.span.took = self.clock.now().saturating_duration_since(self.began);
        self.trail.ended(&self.span);
    }
}
