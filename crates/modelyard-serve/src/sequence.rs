//! Sequences of requests that are answered by what came before in them. The table of those that live is a pure
//! state machine: time is an argument, nothing blocks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use modelyard_types::ModelName;

/// Requests of one sequence that are under way at once.
const WAITING_MAX: usize = 256;

/// What a client calls a sequence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SequenceId {
    /// A number other than 0.
    Number(u64),
    /// A text that is not empty.
    Text(String),
}

impl fmt::Display for SequenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A request's place in a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceStep {
    /// The sequence.
    pub id: SequenceId,
    /// Whether it begins with this request.
    pub start: bool,
    /// Whether it ends with this request.
    pub end: bool,
}

/// Of which model, and which sequence.
pub(crate) type Key = (ModelName, SequenceId);

/// Why a sequence was not begun or gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is none of this name.
    Unknown,
    /// No more may live at once.
    Full,
    /// Too many of its requests are under way.
    Crowded,
}

/// The sequences that live; `T` is what is known of each.
pub(crate) struct Sequences<T> {
    max: usize,
    live: BTreeMap<Key, Live<T>>,
}

struct Live<T> {
    sequence: Arc<T>,
    /// Requests under way.
    busy: usize,
    /// When the last one ended.
    idle_since: Instant,
    /// How long it lives without one.
    idle_max: Duration,
}

impl<T> Sequences<T> {
    /// None yet; at most `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, live: BTreeMap::new() }
    }

    /// Begins a sequence, in place of one of the same name where there is one, with its first request, and gives
    /// the one that was there. It lives until it was idle for `idle_max`.
    ///
    /// # Errors
    /// [`Refused::Full`], once those that expired are gone.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        key: &Key,
        sequence: Arc<T>,
        idle_max: Duration,
    ) -> Result<Option<Arc<T>>, Refused> {
        if !self.live.contains_key(key) && self.live.len() >= self.max {
            return Err(Refused::Full);
        }
        let replaced = self.live.insert(key.clone(), Live { sequence, busy: 1, idle_since: now, idle_max });
        Ok(replaced.map(|live| live.sequence))
    }

    /// The sequence, with one more request under way.
    ///
    /// # Errors
    /// [`Refused::Unknown`] where it does not live, [`Refused::Crowded`].
    pub(crate) fn enter(&mut self, now: Instant, key: &Key) -> Result<Arc<T>, Refused> {
        let live = self.live.get_mut(key).filter(|live| !live.is_over(now));
        let live = live.ok_or(Refused::Unknown)?;
        if live.busy >= WAITING_MAX {
            return Err(Refused::Crowded);
        }
        live.busy += 1;
        Ok(Arc::clone(&live.sequence))
    }

    /// A request of this sequence ended, and the sequence with it where it `is_over`.
    pub(crate) fn leave(&mut self, now: Instant, key: &Key, sequence: &Arc<T>, is_over: bool) {
        // Another may have begun in its place.
        let own = self.live.get_mut(key).filter(|live| Arc::ptr_eq(&live.sequence, sequence));
        let Some(live) = own else { return };
        live.busy -= 1;
        live.idle_since = now;
        if is_over {
            self.live.remove(key);
        }
    }

    /// Forgets those that were idle for too long, and gives them.
    #[must_use = "they are dropped where nobody waits for the table"]
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Arc<T>> {
        let over = self.live.extract_if(.., |_, live| live.is_over(now));
        over.map(|(_, live)| live.sequence).collect()
    }

    /// Forgets those of which this is so, by their model and what is known of them, and gives them.
    #[must_use = "they are dropped where nobody waits for the table"]
    pub(crate) fn forget(&mut self, is_gone: impl Fn(&ModelName, &T) -> bool) -> Vec<Arc<T>> {
        let own = self.live.extract_if(.., |(model, _), live| is_gone(model, &live.sequence));
        own.map(|(_, live)| live.sequence).collect()
    }

    /// Whether no more may begin.
    pub(crate) fn is_full(&self) -> bool {
        self.live.len() >= self.max
    }
}

impl<T> Live<T> {
    fn is_over(&self, now: Instant) -> bool {
        self.busy == 0 && now.saturating_duration_since(self.idle_since) >= self.idle_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    #[expect(clippy::disallowed_methods, reason = "a test stands in for the binary, which owns the clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn key(number: u64) -> Key {
        ("m".parse().expect("a name"), SequenceId::Number(number))
    }

    fn later(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_sequence_lives_from_its_start_to_its_end() {
        let (mut sequences, now) = (Sequences::new(2), start());
        assert_eq!(sequences.enter(now, &key(1)), Err(Refused::Unknown));
        let one = Arc::new("one");
        sequences.begin(now, &key(1), Arc::clone(&one), IDLE).expect("there is room");
        sequences.leave(now, &key(1), &one, false);
        assert_eq!(sequences.enter(later(now, 9), &key(1)), Ok(Arc::clone(&one)));
        sequences.leave(later(now, 9), &key(1), &one, true);
        assert_eq!(sequences.enter(later(now, 9), &key(1)), Err(Refused::Unknown));
    }

    #[test]
    fn what_is_idle_expires_and_what_is_busy_does_not() {
        let (mut sequences, now) = (Sequences::new(2), start());
        let (one, two) = (Arc::new(1), Arc::new(2));
        sequences.begin(now, &key(1), Arc::clone(&one), IDLE).expect("there is room");
        sequences.begin(now, &key(2), two, IDLE).expect("there is room");
        assert_eq!(sequences.begin(now, &key(3), Arc::new(3), IDLE), Err(Refused::Full));
        sequences.leave(now, &key(1), &one, false);
        assert_eq!(
            sequences.enter(later(now, 10), &key(1)),
            Err(Refused::Unknown),
            "before it was swept away"
        );
        assert_eq!((sequences.expire(later(now, 10)), sequences.is_full()), (vec![one], false));
        assert!(sequences.enter(later(now, 99), &key(2)).is_ok());
    }

    #[test]
    fn one_that_begins_anew_is_not_ended_by_the_old_ones_requests() {
        let (mut sequences, now) = (Sequences::new(1), start());
        let (old, new) = (Arc::new(1), Arc::new(2));
        sequences.begin(now, &key(1), Arc::clone(&old), IDLE).expect("there is room");
        assert_eq!(sequences.begin(now, &key(1), Arc::clone(&new), IDLE), Ok(Some(Arc::clone(&old))));
        sequences.leave(now, &key(1), &old, true);
        assert_eq!(sequences.enter(now, &key(1)), Ok(Arc::clone(&new)));
        assert_eq!(sequences.forget(|model, _| model.as_str() == "other"), []);
        assert_eq!(sequences.forget(|model, number| model.as_str() == "m" && *number == 2), [new]);
        assert_eq!(sequences.enter(now, &key(1)), Err(Refused::Unknown));
    }

    #[test]
    fn too_many_requests_of_one_sequence_are_refused() {
        let (mut sequences, now) = (Sequences::new(1), start());
        sequences.begin(now, &key(1), Arc::new(()), IDLE).expect("there is room");
        for _ in 1..WAITING_MAX {
            sequences.enter(now, &key(1)).expect("not yet");
        }
        assert_eq!(sequences.enter(now, &key(1)), Err(Refused::Crowded));
    }
}
