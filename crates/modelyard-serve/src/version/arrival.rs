//! A request at a version, counted however it ends.

use std::time::Instant;

use modelyard_types::ErrorKind;

use super::ServedVersion;
use crate::error::ServeError;

/// A request that reached a version, counted once it ends: by its outcome, or as cancelled where its caller
/// went away before there was one.
pub(super) struct Arrival<'a> {
    version: &'a ServedVersion,
    at: Instant,
    ended: bool,
}

impl<'a> Arrival<'a> {
    /// It arrives now.
    pub(super) fn new(version: &'a ServedVersion) -> Self {
        Self { version, at: version.clock.now(), ended: false }
    }

    /// It ended so.
    pub(super) fn end<T>(mut self, outcome: Result<T, ServeError>) -> Result<T, ServeError> {
        self.ended = true;
        self.count(outcome.as_ref().err().map(ServeError::kind));
        outcome
    }

    fn count(&self, failure: Option<ErrorKind>) {
        let took = self.version.clock.now().saturating_duration_since(self.at);
        self.version.engine.telemetry().ended(failure, took);
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Some(ErrorKind::Cancelled));
        }
    }
}
