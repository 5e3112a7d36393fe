//! The batching scheduler as a pure state machine: requests go in, batches come out. Time is an argument,
//! models are never run and nothing blocks, so every order of events can be simulated.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many emptied groups keep their buffers: models of one fixed row shape then never allocate one again.
const EMPTY_GROUPS_MAX: usize = 4;

/// What bounds batches and the queue.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most rows that requests are joined to. One larger request still rides, alone.
    pub batch_rows_max: usize,
    /// How long the oldest request of a group waits for company; zero means it takes who waits already.
    pub batch_delay: Duration,
    /// Rows, smallest first, at which a group waits for no more; its batch then has as many as the greatest
    /// of these that are there. What waited its time goes with all that is there.
    pub preferred_rows: Vec<usize>,
    /// Most rows that wait at once.
    pub queue_rows_max: usize,
}

impl Limits {
    /// Rows for which a group waits no longer.
    fn enough_rows(&self) -> usize {
        self.preferred_rows.first().map_or(self.batch_rows_max, |&first| first.min(self.batch_rows_max))
    }

    /// Most rows of a batch that is cut from a group of so many.
    fn rows_max(&self, waiting: usize, is_due: bool) -> usize {
        if is_due || waiting >= self.batch_rows_max {
            return self.batch_rows_max;
        }
        let preferred = self.preferred_rows.iter().rev().find(|&&rows| rows <= waiting);
        preferred.map_or(self.batch_rows_max, |&rows| rows.min(self.batch_rows_max))
    }
}

/// The limits that may change while requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// As [`Limits::batch_rows_max`].
    pub batch_rows_max: usize,
    /// As [`Limits::batch_delay`].
    pub batch_delay: Duration,
    /// As [`Limits::queue_rows_max`].
    pub queue_rows_max: usize,
}

/// One request as it is put into the queue.
#[derive(Debug)]
pub struct Entry<S, T> {
    /// Requests are joined only where this is equal: what makes their tensors fit end to end.
    pub shape: S,
    /// Smaller goes first. Requests are joined only with others of their own priority.
    pub priority: u8,
    /// Rows of the request, at least 1.
    pub rows: usize,
    /// From this instant on the request is not run any more.
    pub deadline: Instant,
    /// What the caller wants back with the batch.
    pub work: T,
}

/// The receipt for an accepted request; later ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Why a request was not accepted. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The rows waiting and these would pass [`Limits::queue_rows_max`].
    QueueFull,
    /// The deadline is past already.
    Expired,
}

/// One request inside a batch.
#[derive(Debug, PartialEq)]
pub struct Member<T> {
    /// The receipt that [`Scheduler::enqueue`] gave.
    pub ticket: Ticket,
    /// Rows of the request.
    pub rows: usize,
    /// How long it waited.
    pub waited: Duration,
    /// What came in with it.
    pub work: T,
}

/// Requests of equal shape to be run as one, oldest first.
#[derive(Debug, PartialEq)]
pub struct Batch<T> {
    /// The rows of all members.
    pub rows: usize,
    /// The members, in the order of their rows.
    pub members: Vec<Member<T>>,
}

/// What there is to do at an instant.
#[derive(Debug, PartialEq)]
pub enum Next<T> {
    /// Run this.
    Batch(Batch<T>),
    /// Nothing before this instant, unless another request comes.
    WaitUntil(Instant),
    /// Nothing is waiting.
    Idle,
}

struct Waiting<T> {
    ticket: Ticket,
    rows: usize,
    since: Instant,
    deadline: Instant,
    work: T,
}

struct Group<S, T> {
    shape: S,
    priority: u8,
    rows: usize,
    queue: VecDeque<Waiting<T>>,
}

/// The queue of one model version. `S` is what must be equal to be joined, `T` what rides along.
pub struct Scheduler<S, T> {
    limits: Limits,
    groups: Vec<Group<S, T>>,
    queued_rows: usize,
    next_ticket: u64,
    /// No waiting request expires before this; it may be too early, never too late.
    first_deadline: Option<Instant>,
    expired: Vec<T>,
}

impl<S: PartialEq, T> Scheduler<S, T> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            groups: Vec::new(),
            queued_rows: 0,
            next_ticket: 0,
            first_deadline: None,
            expired: Vec::new(),
        }
    }

    /// Changes limits from now on. What waits already stays.
    pub fn keep(&mut self, kept: Kept) {
        self.limits.batch_rows_max = kept.batch_rows_max;
        self.limits.batch_delay = kept.batch_delay;
        self.limits.queue_rows_max = kept.queue_rows_max;
    }

    /// Rows that are waiting.
    pub fn queued_rows(&self) -> usize {
        self.queued_rows
    }

    /// Whether a request of so many rows would start a batch or join one that is not full, and might go at once:
    /// it gains by others that come within the moment.
    pub fn may_gather(&self, rows: usize) -> bool {
        self.limits.batch_delay.is_zero() && self.queued_rows + rows < self.limits.enough_rows()
    }

    /// Whether any waiting request is one of these.
    pub fn any(&self, which: impl Fn(&T) -> bool) -> bool {
        self.groups.iter().flat_map(|group| &group.queue).any(|waiting| which(&waiting.work))
    }

    /// What came in with a request that still waits.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.groups.iter_mut().find_map(|group| {
            let at = group.queue.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()?;
            group.queue.get_mut(at).map(|waiting| &mut waiting.work)
        })
    }

    /// Whether not one more row would be taken, once what expired is set aside.
    pub fn is_full(&mut self, now: Instant) -> bool {
        if self.queued_rows < self.limits.queue_rows_max {
            return false;
        }
        self.expire(now);
        self.queued_rows >= self.limits.queue_rows_max
    }

    /// Takes a request into the queue.
    ///
    /// # Errors
    /// The [`Refusal`] and what came in, to be given back to its caller.
    pub fn enqueue(&mut self, now: Instant, entry: Entry<S, T>) -> Result<Ticket, (Refusal, T)> {
        let Entry { shape, priority, rows, deadline, work } = entry;
        assert!(rows > 0, "the caller answers empty requests itself");
        if deadline <= now {
            return Err((Refusal::Expired, work));
        }
        if rows > self.limits.queue_rows_max.saturating_sub(self.queued_rows) {
            self.expire(now);
            if rows > self.limits.queue_rows_max.saturating_sub(self.queued_rows) {
                return Err((Refusal::QueueFull, work));
            }
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queued_rows += rows;
        self.first_deadline = Some(self.first_deadline.map_or(deadline, |first| first.min(deadline)));
        let same = |group: &Group<S, T>| group.priority == priority && group.shape == shape;
        let at = match self.groups.iter().position(same) {
            Some(at) => at,
            None => self.open_group(shape, priority),
        };
        let group = &mut self.groups[at];
        group.rows += rows;
        group.queue.push_back(Waiting { ticket, rows, since: now, deadline, work });
        Ok(ticket)
    }

    /// The batch to run at `now`: of the groups that are full or have waited long enough, one of the first
    /// priority among them, and of those the one whose oldest request is oldest. Expired requests are set
    /// aside first, see [`Scheduler::take_expired`].
    pub fn next_batch(&mut self, now: Instant) -> Next<T> {
        self.expire(now);
        let mut first: Option<(u8, Instant, Ticket, usize)> = None;
        let mut wait: Option<Instant> = None;
        for (at, group) in self.groups.iter().enumerate() {
            let Some(head) = group.queue.front() else { continue };
            let due = head.since + self.limits.batch_delay;
            if due > now && group.rows < self.limits.enough_rows() {
                wait = Some(wait.map_or(due, |earliest| earliest.min(due)));
            } else {
                let this = (group.priority, head.since, head.ticket, at);
                first = Some(first.map_or(this, |first| first.min(this)));
            }
        }
        match (first, wait) {
            (Some((.., at)), _) => Next::Batch(self.cut(at, now)),
            (None, Some(due)) => Next::WaitUntil(self.first_deadline.map_or(due, |first| first.min(due))),
            (None, None) => Next::Idle,
        }
    }

    /// The requests whose deadline passed while they waited. Each comes out once and is never in a batch.
    pub fn take_expired(&mut self, now: Instant) -> Vec<T> {
        self.expire(now);
        std::mem::take(&mut self.expired)
    }

    /// Drops a request that still waits, where its caller went away. None where it is gone already.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        for group in &mut self.groups {
            let Ok(at) = group.queue.binary_search_by_key(&ticket, |waiting| waiting.ticket) else {
                continue;
            };
            let waiting = group.queue.remove(at)?;
            group.rows -= waiting.rows;
            self.queued_rows -= waiting.rows;
            return Some(waiting.work);
        }
        None
    }

    fn open_group(&mut self, shape: S, priority: u8) -> usize {
        if self.groups.len() >= EMPTY_GROUPS_MAX {
            self.groups.retain(|group| !group.queue.is_empty());
        }
        self.groups.push(Group { shape, priority, rows: 0, queue: VecDeque::new() });
        self.groups.len() - 1
    }

    fn cut(&mut self, at: usize, now: Instant) -> Batch<T> {
        let group = &mut self.groups[at];
        let is_due = group.queue.front().is_some_and(|head| head.since + self.limits.batch_delay <= now);
        let rows_max = self.limits.rows_max(group.rows, is_due);
        let mut batch = Batch { rows: 0, members: Vec::new() };
        while let Some(head) = group.queue.front() {
            if !batch.members.is_empty() && batch.rows + head.rows > rows_max {
                break;
            }
            let Some(Waiting { ticket, rows, since, work, .. }) = group.queue.pop_front() else { break };
            batch.rows += rows;
            let waited = now.saturating_duration_since(since);
            batch.members.push(Member { ticket, rows, waited, work });
        }
        group.rows -= batch.rows;
        self.queued_rows -= batch.rows;
        if self.queued_rows == 0 {
            self.first_deadline = None;
        }
        batch
    }

    fn expire(&mut self, now: Instant) {
        if self.first_deadline.is_none_or(|first| first > now) {
            return;
        }
        let mut first: Option<Instant> = None;
        for group in &mut self.groups {
            let mut at = 0;
            while let Some(waiting) = group.queue.get(at) {
                if waiting.deadline > now {
                    first = Some(first.map_or(waiting.deadline, |earliest| earliest.min(waiting.deadline)));
                    at += 1;
                } else if let Some(late) = group.queue.remove(at) {
                    group.rows -= late.rows;
                    self.queued_rows -= late.rows;
                    self.expired.push(late.work);
                }
            }
        }
        self.first_deadline = first;
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
