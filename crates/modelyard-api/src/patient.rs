//! How a connection is written to. Each answer waits until everybody else of the thread who is ready had a turn, unless
//! somebody stands in line there (see [`crate::turns`]), and who does not read its answer is hung up on.
//!
//! Answers that are written one right after the other wake a client once that else goes to sleep and is woken for
//! each: with sixteen connections that was a tenth of what a small request costs, and a quarter of what came through.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::turns::Line;

/// The other side must take this much within the limit before it is given as much time again.
const STEP_BYTES: usize = 16 << 10;

/// A stream whose writes begin a turn late, and fail where they make no headway.
pub(crate) struct Patient {
    stream: TcpStream,
    limit: Duration,
    turn: Turn,
    line: Line,
    waiting: Option<Waiting>,
}

/// Whether what is to be written has had everybody else go first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Something came in, so that what is written next is a new answer.
    New,
    /// It stepped back.
    Waits,
    /// It may go on, as all may that is written before something comes in again.
    Had,
}

/// What it waits for while the other side reads too little.
struct Waiting {
    ends: Pin<Box<Sleep>>,
    taken: usize,
}

impl Patient {
    /// Waits this long for each step of an answer to be taken. The line is that of its thread.
    pub(crate) fn new(stream: TcpStream, limit: Duration, line: &Line) -> Self {
        Self { stream, limit, turn: Turn::New, line: Arc::clone(line), waiting: None }
    }

    /// Whether the answer is to wait: all who are ready go first then. One of those who stand in line has its request
    /// answered in that time, which may be long beside what this one took.
    fn steps_back(&mut self, context: &Context<'_>) -> bool {
        let steps_back = self.turn == Turn::New && self.line.try_lock().is_ok();
        self.turn = if steps_back { Turn::Waits } else { Turn::Had };
        if steps_back {
            context.waker().wake_by_ref();
        }
        steps_back
    }

    fn watch(
        &mut self,
        wrote: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Ok(count)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.taken += count;
                    if waiting.taken >= STEP_BYTES {
                        self.waiting = None;
                    }
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let limit = self.limit;
                let waiting = self
                    .waiting
                    .get_or_insert_with(|| Waiting { ends: Box::pin(tokio::time::sleep(limit)), taken: 0 });
                match waiting.ends.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.turn == Turn::Had && buffer.filled().len() > before {
            self.turn = Turn::New;
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.steps_back(context) {
            return Poll::Pending;
        }
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.steps_back(context) {
            return Poll::Pending;
        }
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Flushed once everything was taken: the next answer has its own time.
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Writes a byte, and gives how many turns that took.
    async fn turns(patient: &mut Patient) -> usize {
        let mut turns = 0;
        let wrote = poll_fn(|context| {
            turns += 1;
            Pin::new(&mut *patient).poll_write(context, b"a")
        });
        assert_eq!(wrote.await.expect("written"), 1);
        turns
    }

    #[tokio::test]
    async fn an_answer_waits_for_one_turn_of_all_others_and_its_rest_for_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("taken");
        let (stream, _) = listener.accept().await.expect("somebody came");
        let line = Line::default();
        let mut patient = Patient::new(stream, Duration::from_secs(10), &line);
        for _ in 0..2 {
            client.write_all(b"asks").await.expect("taken");
            patient.read_exact(&mut [0; 4]).await.expect("all of it");
            assert_eq!(turns(&mut patient).await, 2);
            patient.flush().await.expect("flushed");
            assert_eq!(
                turns(&mut patient).await,
                1,
                "as another frame of the same answer, or another answer"
            );
        }
        client.write_all(b"asks").await.expect("taken");
        patient.read_exact(&mut [0; 4]).await.expect("all of it");
        let somebody = line.lock().await;
        assert_eq!(turns(&mut patient).await, 1, "where somebody stands in line");
        drop(somebody);
        // Who never stops sending does not keep its own answers waiting.
        client.write_all(b"asks").await.expect("taken");
        patient.read_exact(&mut [0; 2]).await.expect("half of it");
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut patient).poll_write(context, b"a"))).await;
        assert!(first.is_pending());
        patient.read_exact(&mut [0; 2]).await.expect("the rest");
        assert_eq!(turns(&mut patient).await, 1);
    }
}
