//! How a connection is written to. Each answer waits until everybody else of the thread who is ready had a turn, and
//! who does not read its answer is hung up on.
//!
//! Answers that are written one right after the other wake a client once that else goes to sleep and is woken for
//! each: with sixteen connections that was a tenth of what a small request costs, and a quarter of what came through.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// The other side must take this much within the limit before it is given as much time again.
const STEP_BYTES: usize = 16 << 10;

/// A stream whose writes begin a turn late, and fail where they make no headway.
pub(crate) struct Patient {
    stream: TcpStream,
    limit: Duration,
    /// Everybody else had a turn since the answer was made.
    stepped_back: bool,
    waiting: Option<Waiting>,
}

/// What it waits for while the other side reads too little.
struct Waiting {
    ends: Pin<Box<Sleep>>,
    taken: usize,
}

impl Patient {
    /// Waits this long for each step of an answer to be taken.
    pub(crate) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, stepped_back: false, waiting: None }
    }

    /// Whether the answer is to wait for its turn: it is the last in line then.
    fn steps_back(&mut self, context: &Context<'_>) -> bool {
        let first = !std::mem::replace(&mut self.stepped_back, true);
        if first {
            context.waker().wake_by_ref();
        }
        first
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
        // Flushed once everything was taken: the next answer has its own turn, and its own time.
        (self.stepped_back, self.waiting) = (false, None);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_answer_waits_for_one_turn_of_all_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("taken");
        let (stream, _) = listener.accept().await.expect("somebody came");
        let mut patient = Patient::new(stream, Duration::from_secs(10));
        for _ in 0..2 {
            let mut turns = 0;
            let wrote = poll_fn(|context| {
                turns += 1;
                Pin::new(&mut patient).poll_write(context, b"answer")
            });
            assert_eq!((wrote.await.expect("written"), turns), (6, 2));
            // What is left of an answer does not step back again.
            let mut rest = pin!(patient.write(b"s"));
            let rest = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context)));
            assert!(matches!(rest.await, Poll::Ready(Ok(1))));
            patient.flush().await.expect("flushed");
        }
        let mut got = [0; 14];
        client.read_exact(&mut got).await.expect("both answers");
        assert_eq!(&got, b"answersanswers");
    }
}
