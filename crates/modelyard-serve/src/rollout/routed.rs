//! The version that a route chose for one request: it answers, is watched, and the request may be copied to
//! another version whose answer is compared. The copy never delays or fails the caller.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use modelyard_data::{Answer, Row};
use modelyard_types::{Deadline, NamedTensor};
use tokio::sync::mpsc::Sender;

use super::watch::Part;
use super::{COPIES_MAX, Rollout, agreement};
use crate::error::ServeError;
use crate::journey::Terms;
use crate::urgency::Urgency;
use crate::version::{Answered, Drawing, Generation, ServedVersion, check_answer};

/// A version that answers one request.
pub struct Routed {
    version: Arc<ServedVersion>,
    watched: Option<Watched>,
}

struct Watched {
    part: Part,
    rollout: Arc<Rollout>,
    copy: Option<Mirror>,
}

/// Where a request is copied to.
#[derive(Clone)]
struct Mirror {
    version: Arc<ServedVersion>,
    tolerance: Option<f64>,
}

impl Deref for Routed {
    type Target = Arc<ServedVersion>;

    fn deref(&self) -> &Arc<ServedVersion> {
        &self.version
    }
}

impl From<Arc<ServedVersion>> for Routed {
    /// A version that the caller named, or that has no route: nothing is watched and nothing copied.
    fn from(version: Arc<ServedVersion>) -> Self {
        Self { version, watched: None }
    }
}

impl Routed {
    pub(super) fn watched(
        version: Arc<ServedVersion>,
        part: Part,
        rollout: Arc<Rollout>,
        copy: Option<(Arc<ServedVersion>, Option<f64>)>,
    ) -> Self {
        let copy = copy.map(|(version, tolerance)| Mirror { version, tolerance });
        Self { version, watched: Some(Watched { part, rollout, copy }) }
    }

    /// As [`ServedVersion::infer`], and answers that are no finite numbers are refused.
    ///
    /// # Errors
    /// As [`ServedVersion::infer`], and [`ServeError::AnswerNotFinite`].
    pub async fn infer(
        &self,
        inputs: Vec<NamedTensor>,
        wanted: &[String],
        terms: Terms,
    ) -> Result<Answered<Vec<NamedTensor>>, ServeError> {
        let copied = self.copy().map(|_| inputs.clone());
        let arrived = self.version.now();
        let outcome = self.version.infer(inputs, wanted, terms).await;
        let outcome = outcome.and_then(|outputs| check_answer(&outputs.answer).map(|()| outputs));
        self.ended(arrived, &outcome);
        if let (Ok(outputs), Some(inputs), Some(copy)) = (&outcome, copied, self.copy()) {
            let (mine, wanted, copy) = (outputs.answer.clone(), wanted.to_vec(), copy.clone());
            self.compare(async move {
                let theirs = copy.version.infer(inputs, &wanted, copy.urgency().into()).await?;
                Ok(agreement::of_tensors(&mine, &theirs.answer, copy.tolerance))
            });
        }
        outcome
    }

    /// As [`ServedVersion::predict`].
    ///
    /// # Errors
    /// As [`ServedVersion::predict`].
    pub async fn predict(
        &self,
        rows: Vec<Row>,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        let copied = self.copy().map(|_| rows.clone());
        let arrived = self.version.now();
        let outcome = self.version.predict(rows, deadline).await;
        self.ended(arrived, &outcome);
        if let (Ok(answers), Some(rows), Some(copy)) = (&outcome, copied, self.copy()) {
            let (mine, copy) = (answers.answer.clone(), copy.clone());
            self.compare(async move {
                let theirs = copy.version.predict(rows, copy.urgency().deadline).await?;
                Ok(agreement::of_answers(&mine, &theirs.answer, copy.tolerance))
            });
        }
        outcome
    }

    /// As [`ServedVersion::generate`]; continuations are watched and not copied.
    ///
    /// # Errors
    /// As [`ServedVersion::generate`].
    pub async fn generate(
        &self,
        rows: &[Row],
        wish: &Generation,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        let arrived = self.version.now();
        let outcome = self.version.generate(rows, wish, deadline).await;
        self.ended(arrived, &outcome);
        outcome
    }

    /// As [`ServedVersion::generate_telling`]; continuations are watched and not copied.
    ///
    /// # Errors
    /// As [`ServedVersion::generate_telling`].
    pub async fn generate_telling(
        &self,
        row: Row,
        wish: &Generation,
        deadline: Deadline,
        tell: &Sender<String>,
    ) -> Result<Answered<Answer>, ServeError> {
        let arrived = self.version.now();
        let outcome = self.version.generate_telling(row, wish, deadline, tell).await;
        self.ended(arrived, &outcome);
        outcome
    }

    /// As [`ServedVersion::draw`]; samples are watched and not copied.
    ///
    /// # Errors
    /// As [`ServedVersion::draw`].
    pub async fn draw(&self, wish: Drawing, deadline: Deadline) -> Result<Answered<Vec<Row>>, ServeError> {
        let arrived = self.version.now();
        let outcome = self.version.draw(wish, deadline).await;
        self.ended(arrived, &outcome);
        outcome
    }

    fn copy(&self) -> Option<&Mirror> {
        self.watched.as_ref()?.copy.as_ref()
    }

    fn ended<T>(&self, arrived: Instant, outcome: &Result<T, ServeError>) {
        self.watch(&self.version, arrived, outcome);
    }

    /// Tells the route how a request ended that `version` answered: that of its sequence, which may be another than
    /// the one that was chosen.
    pub(crate) fn watch<T>(
        &self,
        version: &Arc<ServedVersion>,
        arrived: Instant,
        outcome: &Result<T, ServeError>,
    ) {
        let Some(Watched { part, rollout, .. }) = &self.watched else { return };
        let part = match Arc::ptr_eq(version, &self.version) {
            true => *part,
            false if rollout.is_canary(version) => Part::Canary,
            // Of the others it is not known whether they are compared with the canary.
            false => return,
        };
        let now = self.version.now();
        let outcome = match outcome {
            Ok(_) => Ok(now.saturating_duration_since(arrived)),
            Err(error) => Err(error.kind()),
        };
        rollout.ended(now, part, outcome);
    }

    /// Runs the copy beside everything else, unless too many run already.
    fn compare(&self, copy: impl Future<Output = Result<bool, ServeError>> + Send + 'static) {
        let Some(Watched { part, rollout, copy: Some(target) }) = &self.watched else { return };
        // Of the two, the one that is on trial is counted.
        let judged = match part {
            Part::Canary => Arc::clone(&self.version),
            Part::Default => Arc::clone(&target.version),
        };
        let rollout = Arc::clone(rollout);
        if rollout.copies.fetch_add(1, Ordering::Relaxed) >= COPIES_MAX {
            rollout.copies.fetch_sub(1, Ordering::Relaxed);
            rollout.telemetry.compared(judged.version(), "skipped");
            return;
        }
        tokio::spawn(async move {
            let outcome = copy.await;
            rollout.copies.fetch_sub(1, Ordering::Relaxed);
            rollout.compared(judged.now(), &judged, outcome);
        });
    }
}

impl Mirror {
    /// A copy goes last and has as long as a request that names no deadline.
    fn urgency(&self) -> Urgency {
        let deadline = Deadline(self.version.now() + self.version.limits().deadline_default);
        Urgency { deadline, priority: u8::MAX }
    }
}
