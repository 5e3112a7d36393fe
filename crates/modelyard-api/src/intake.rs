//! A body while it comes in: at a pace, until an instant, and within what all bodies together may take.
//!
//! A body that drips would else hold its connection and its buffer for as long as its sender likes, and many
//! bodies just under their own limit would fill the memory before the first of them is complete.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use modelyard_types::ErrorKind;
use tokio::time::{Instant, Sleep};

use crate::config::ApiConfig;
use crate::error::Failure;

/// This much must come, or the end, before a body is given as much time again.
const STEP_BYTES: usize = 16 << 10;

/// The limits on bodies that come in, shared by all connections.
#[derive(Clone)]
pub(crate) struct Intake {
    timeout: Duration,
    pause: Duration,
    together_max: usize,
    together: Arc<AtomicUsize>,
}

impl Intake {
    pub(crate) fn new(config: &ApiConfig) -> Self {
        let (timeout, pause) = (config.body_timeout, config.body_pause);
        Self { timeout, pause, together_max: config.bodies_bytes_max, together: Arc::default() }
    }

    /// The same body, which fails with [`Halted`] where it passes a limit.
    pub(crate) fn watch(&self, body: Body) -> Watched {
        Watched { body, intake: self.clone(), held: 0, waiting: None }
    }
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Halted {
    #[error("the body took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    #[error("the body came too slowly: less than {} KiB in {} s", STEP_BYTES >> 10, .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("the bodies of requests that come in fill the memory set aside for them")]
    Full,
}

impl From<Halted> for Failure {
    fn from(halted: Halted) -> Self {
        match halted {
            Halted::TooLong(_) | Halted::TooSlow(_) => Self::new(ErrorKind::Cancelled, halted.to_string()),
            Halted::Full => {
                Self::new(ErrorKind::ResourceExhausted, halted.to_string()).with_hint("try again later")
            }
        }
    }
}

/// A body under watch. What it holds of the common limit is given back when it is dropped.
pub(crate) struct Watched {
    body: Body,
    intake: Intake,
    held: usize,
    /// From the moment on that the body was waited for: most come with their head and never are.
    waiting: Option<Waiting>,
}

struct Waiting {
    /// When the whole body must be there.
    ends: Instant,
    /// When the next step must be there.
    step: Pin<Box<Sleep>>,
    came: usize,
}

impl Waiting {
    fn new(intake: &Intake) -> Self {
        let now = Instant::now();
        let ends = now + intake.timeout;
        let step = Box::pin(tokio::time::sleep_until(ends.min(now + intake.pause)));
        Self { ends, step, came: 0 }
    }

    fn take(&mut self, bytes: usize, pause: Duration) {
        self.came += bytes;
        if self.came >= STEP_BYTES {
            self.came = 0;
            self.step.as_mut().reset(self.ends.min(Instant::now() + pause));
        }
    }
}

impl Watched {
    /// As a body again, for readers that know no limits themselves.
    pub(crate) fn into_body(mut self) -> Body {
        if self.body.is_end_stream() { std::mem::take(&mut self.body) } else { Body::new(self) }
    }

    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), Halted> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.held += bytes;
        let together = self.intake.together.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(waiting) = &mut self.waiting {
            waiting.take(bytes, self.intake.pause);
        }
        if together > self.intake.together_max { Err(Halted::Full) } else { Ok(()) }
    }

    fn late(&self) -> Halted {
        let ended = self.waiting.as_ref().is_some_and(|waiting| waiting.step.deadline() >= waiting.ends);
        if ended { Halted::TooLong(self.intake.timeout) } else { Halted::TooSlow(self.intake.pause) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.intake.together.fetch_sub(self.held, Ordering::Relaxed);
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| {
                let frame = frame?;
                this.take(&frame)?;
                Ok(frame)
            }));
        }
        let waiting = this.waiting.get_or_insert_with(|| Waiting::new(&this.intake));
        ready!(waiting.step.as_mut().poll(context));
        Poll::Ready(Some(Err(this.late().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a body was halted for, where that is why reading it failed.
pub(crate) fn halted(error: &(dyn Error + 'static)) -> Option<Halted> {
    let mut error = Some(error);
    while let Some(this) = error {
        if let Some(halted) = this.downcast_ref::<Halted>() {
            return Some(*halted);
        }
        error = this.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn intake(together_max: usize) -> Intake {
        let short = Duration::from_millis(20);
        Intake { timeout: 10 * short, pause: short, together_max, together: Arc::default() }
    }

    async fn read(intake: &Intake, body: Body) -> Result<usize, Halted> {
        match intake.watch(body).collect().await {
            Ok(whole) => Ok(whole.to_bytes().len()),
            Err(error) => Err(halted(error.as_ref()).expect("only limits end it")),
        }
    }

    #[tokio::test]
    async fn a_body_that_drips_is_halted() {
        let drips = futures_util::stream::unfold(
            tokio::time::interval(Duration::from_millis(1)),
            |mut drops| async {
                drops.tick().await;
                Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"."))), drops))
            },
        );
        let halted = read(&intake(1 << 20), Body::new(StreamBody::new(drips))).await;
        assert_eq!(halted, Err(Halted::TooSlow(Duration::from_millis(20))));
    }

    #[tokio::test]
    async fn bodies_share_what_they_may_hold() {
        let intake = intake(100);
        let body = |bytes: usize| Body::new(Full::new(Bytes::from(vec![0; bytes])));
        let first = intake.watch(body(60));
        let mut first = Box::pin(first);
        let frame = first.frame().await.expect("a frame").expect("within the limit");
        assert_eq!(frame.data_ref().map(Bytes::len), Some(60));
        assert_eq!(read(&intake, body(41)).await, Err(Halted::Full));
        assert_eq!(read(&intake, body(40)).await, Ok(40));
        drop(first);
        assert_eq!(read(&intake, body(100)).await, Ok(100));
    }
}
