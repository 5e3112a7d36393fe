//! Turns between connections: one that sent many requests at once has one of them answered, then waits until the
//! others of its thread had their turn.
//!
//! hyper answers up to sixteen requests that lie in a connection's buffer before it lets go of the thread; for those
//! who wait at the same desk that is sixteen times as long.

use std::sync::atomic::{AtomicBool, Ordering};

/// The turns of one connection over HTTP/1. Over HTTP/2 each request is a task of its own, and takes its turn as such.
#[derive(Default)]
pub(crate) struct Turns {
    used: AtomicBool,
}

impl Turns {
    /// The connection has its turn.
    pub(crate) fn begin(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Waits for the next turn, where this one had its request.
    pub(crate) async fn take(&self) {
        if self.used.swap(true, Ordering::Relaxed) {
            tokio::task::yield_now().await;
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;

    use super::*;

    /// How often the others had the thread while so many requests of one connection were answered.
    async fn others(requests: usize) -> usize {
        let turns = Turns::default();
        let mut connection = pin!(async {
            for _ in 0..requests {
                turns.take().await;
            }
        });
        let mut others = 0;
        poll_fn(|context| {
            turns.begin();
            let poll = connection.as_mut().poll(context);
            others += usize::from(poll.is_pending());
            poll
        })
        .await;
        others
    }

    #[tokio::test]
    async fn one_request_has_its_turn_at_once_and_many_take_turns() {
        assert_eq!(others(1).await, 0);
        assert_eq!(others(5).await, 4);
    }
}
