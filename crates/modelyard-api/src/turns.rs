//! Turns between connections: one that sent many requests at once has one of them answered; for the next it stands in
//! line with others like it, of whom one is answered each time that all other connections of the thread had a turn.
//!
//! hyper answers up to sixteen requests that lie in a connection's buffer before it lets go of the thread; for those
//! who wait at the same desk that is sixteen times as long, and a hundred such connections make it a hundred times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

/// Where the connections of one thread stand in line.
pub(crate) type Line = Arc<Mutex<()>>;

/// The turns of one connection over HTTP/1. Over HTTP/2 each request is a task of its own, and takes its turn as such.
pub(crate) struct Turns {
    used: AtomicBool,
    line: Line,
}

impl Turns {
    /// Those of a connection of the thread to which the line belongs.
    pub(crate) fn new(line: &Line) -> Self {
        Self { used: AtomicBool::new(false), line: Arc::clone(line) }
    }

    /// The connection has its turn.
    pub(crate) fn begin(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Waits for the next turn, where this one had its request.
    pub(crate) async fn take(&self) {
        if self.used.swap(true, Ordering::Relaxed) {
            // Who is first in line steps back once more: until everybody else had a turn.
            let _first = self.line.lock().await;
            tokio::task::yield_now().await;
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// How often the others had the thread while so many requests of one connection were answered.
    async fn others(requests: usize) -> usize {
        let turns = Turns::new(&Line::default());
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

    #[tokio::test]
    async fn of_all_who_sent_many_one_is_answered_at_a_time() {
        let line = Line::default();
        let answers = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let (turns, answers) = (Turns::new(&line), Arc::clone(&answers));
            tokio::spawn(async move {
                for _ in 0..3 {
                    turns.take().await;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::task::yield_now().await;
        let mut before = answers.load(Ordering::Relaxed);
        assert_eq!(before, 20, "the first of each at once");
        while before < 60 {
            tokio::task::yield_now().await;
            let now = answers.load(Ordering::Relaxed);
            assert!(now <= before + 1, "{} were answered between two turns of another", now - before);
            before = now;
        }
    }
}
