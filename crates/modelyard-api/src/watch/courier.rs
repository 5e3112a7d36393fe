//! A thread that carries things away in batches, fed by a bounded queue: who hands a thing over never waits,
//! and what does not fit is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Things that wait at most.
const QUEUE_MAX: usize = 4096;
/// Things carried at once at most.
pub(crate) const BATCH_MAX: usize = 512;

enum Parcel<T> {
    Thing(T),
    Finish(SyncSender<()>),
}

/// The queue's end where things are handed over.
pub(super) struct Courier<T> {
    queue: SyncSender<Parcel<T>>,
    lost: Arc<AtomicU64>,
}

impl<T: Send + 'static> Courier<T> {
    /// Starts the thread. It waits `pause` for company before it carries the first things of a batch, or until
    /// there are `batch_max`, at most [`BATCH_MAX`]; `carry` is told how many were lost since the last time, too.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub(super) fn start(
        name: &str,
        pause: Duration,
        batch_max: Arc<AtomicUsize>,
        carry: impl FnMut(Vec<T>, u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, things) = sync_channel(QUEUE_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&things, &counted, (pause, &batch_max), carry))?;
        Ok(Self { queue, lost })
    }

    /// Hands a thing over, or counts it as lost.
    pub(super) fn send(&self, thing: T) {
        if self.queue.try_send(Parcel::Thing(thing)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was handed over was carried.
    pub(super) fn finish(&self) {
        let (done, carried) = sync_channel(1);
        if self.queue.send(Parcel::Finish(done)).is_ok() {
            // A thread that is gone carries nothing more.
            let _ = carried.recv();
        }
    }
}

fn work<T>(
    things: &Receiver<Parcel<T>>,
    lost: &AtomicU64,
    (pause, batch_max): (Duration, &AtomicUsize),
    mut carry: impl FnMut(Vec<T>, u64),
) {
    let mut batch = Vec::new();
    let mut waits = true;
    loop {
        let next = match (batch.is_empty(), waits) {
            (true, _) => things.recv().map_err(|_| RecvTimeoutError::Disconnected),
            // Company may come for one pause; after that only what waits already is taken.
            (false, true) => things.recv_timeout(pause),
            (false, false) => things.recv_timeout(Duration::ZERO),
        };
        let finished = match next {
            Ok(Parcel::Thing(thing)) => {
                waits = batch.is_empty();
                batch.push(thing);
                if batch.len() < batch_max.load(Ordering::Relaxed) {
                    continue;
                }
                None
            }
            Ok(Parcel::Finish(done)) => Some(done),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                if !batch.is_empty() {
                    carry(batch, lost.swap(0, Ordering::Relaxed));
                }
                return;
            }
        };
        if !batch.is_empty() {
            carry(std::mem::take(&mut batch), lost.swap(0, Ordering::Relaxed));
        }
        if let Some(done) = finished {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn everything_arrives_in_order_before_the_finish() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let carry = move |batch: Vec<u32>, _| into.lock().expect("not poisoned").extend(batch);
        let batch_max = Arc::new(AtomicUsize::new(BATCH_MAX));
        let courier = Courier::start("test", Duration::from_secs(600), batch_max, carry).expect("a thread");
        (0..1000).for_each(|number| courier.send(number));
        courier.finish();
        assert_eq!(*seen.lock().expect("not poisoned"), (0..1000).collect::<Vec<_>>());
    }
    #[test]
    fn a_smaller_batch_is_carried_without_a_pause() {
        let (sizes, seen) = sync_channel(1);
        let carry = move |batch: Vec<u32>, _| sizes.send(batch.len()).expect("the test listens");
        let batch_max = Arc::new(AtomicUsize::new(3));
        let courier = Courier::start("test", Duration::from_secs(600), batch_max, carry).expect("a thread");
        (0..3).for_each(|number| courier.send(number));
        assert_eq!(seen.recv(), Ok(3));
    }
}
