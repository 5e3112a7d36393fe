//! Which calls are traced, as clients may change it while the server runs: Triton's trace settings over the
//! spans of this server.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_trace.md`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::courier::BATCH_MAX;
use super::{Call, TraceContext};

/// The settings in force: for all models, and for single ones that want otherwise.
#[derive(Debug)]
pub struct TraceSettings {
    /// The share of traces that begin here, until a client names a rate.
    share: f64,
    state: Mutex<State>,
    /// Calls after which spans are sent without waiting for more.
    batch_max: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    all: Scope,
    models: BTreeMap<String, Scope>,
}

/// What was set for all models, or for one; what is absent is left to the level above.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    on: Option<bool>,
    rate: Option<u32>,
    /// How many are still traced; none for all.
    left: Option<Option<u64>>,
}

/// What is to become of one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is left to the level above again.
    Clear,
    /// It is set.
    Set(T),
}

/// Settings to be changed together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TraceChange {
    /// Whether calls are traced.
    pub(crate) on: Change<bool>,
    /// One of so many traces that begin here is sent; 0 for none of them.
    pub(crate) rate: Change<u32>,
    /// How many calls are traced from now on; none for all.
    pub(crate) count: Change<Option<u64>>,
    /// As [`TraceView::frequency`]. Of all models only.
    pub(crate) frequency: Change<usize>,
}

/// The settings that count for a model, or for calls of no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceView {
    /// Whether calls are traced.
    pub(crate) on: bool,
    /// One of so many traces that begin here is sent; 0 for none of them.
    pub(crate) rate: u32,
    /// How many are still traced; none for all.
    pub(crate) left: Option<u64>,
    /// Calls after which spans are sent without waiting for more; 0 where time alone decides.
    pub(crate) frequency: usize,
}

impl TraceSettings {
    /// Of the traces that begin here the `share` from 0 to 1 is sent, of all models, without an end.
    pub(super) fn new(share: f64) -> Self {
        let batch_max = Arc::new(AtomicUsize::new(BATCH_MAX));
        Self { share, state: Mutex::default(), batch_max }
    }

    /// Calls of one message, shared with who sends them.
    pub(super) fn batch_max(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.batch_max)
    }

    /// What counts for a model.
    pub(crate) fn view(&self, model: Option<&str>) -> TraceView {
        let state = self.lock();
        let own = model.and_then(|model| state.models.get(model)).copied().unwrap_or_default();
        let share_as_rate = if self.share > 0.0 { (1.0 / self.share).round() as u32 } else { 0 };
        let frequency = self.batch_max.load(Ordering::Relaxed);
        TraceView {
            on: own.on.or(state.all.on).unwrap_or(true),
            rate: own.rate.or(state.all.rate).unwrap_or(share_as_rate),
            left: own.left.or(state.all.left).flatten(),
            frequency: if frequency == BATCH_MAX { 0 } else { frequency },
        }
    }

    /// Changes what counts for a model, or for all that want nothing else.
    pub(crate) fn change(&self, model: Option<&str>, change: TraceChange) {
        let mut state = self.lock();
        let scope = match model {
            Some(model) => state.models.entry(model.to_owned()).or_default(),
            None => &mut state.all,
        };
        change.on.apply(&mut scope.on);
        change.rate.apply(&mut scope.rate);
        change.count.apply(&mut scope.left);
        match change.frequency {
            Change::Keep => {}
            Change::Clear | Change::Set(0) => self.batch_max.store(BATCH_MAX, Ordering::Relaxed),
            Change::Set(calls) => self.batch_max.store(calls, Ordering::Relaxed),
        }
    }

    /// Whether a call of this model that ended now would be traced.
    pub(super) fn would_take(&self, trace: &TraceContext, model: &str) -> bool {
        let mut state = self.lock();
        self.left(&mut state, trace, Some(model)).is_some_and(|left| left.is_none_or(|left| *left > 0))
    }

    /// Whether this call is traced; where only so many more are, it counts as one of them.
    pub(super) fn take(&self, call: &Call) -> bool {
        let mut state = self.lock();
        let model = call.served.as_ref().map(|served| served.model.as_str());
        let Some(left) = self.left(&mut state, &call.trace, model) else { return false };
        match left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// How many more are traced of what this trace belongs to, all where that is none; none where it is not.
    fn left<'s>(
        &self,
        state: &'s mut State,
        trace: &TraceContext,
        model: Option<&str>,
    ) -> Option<Option<&'s mut u64>> {
        let State { all, models } = state;
        let own = model.and_then(|model| models.get_mut(model));
        let of_own = own.as_deref().copied().unwrap_or_default();
        if !of_own.on.or(all.on).unwrap_or(true) || !self.wants(trace, of_own.rate.or(all.rate)) {
            return None;
        }
        Some(match own {
            Some(Scope { left: Some(left), .. }) => left.as_mut(),
            _ => all.left.as_mut().and_then(Option::as_mut),
        })
    }

    fn wants(&self, trace: &TraceContext, rate: Option<u32>) -> bool {
        if trace.parent.is_some() {
            return trace.sampled;
        }
        let share = match rate {
            None => self.share,
            Some(0) => return false,
            Some(rate) => 1.0 / f64::from(rate),
        };
        // The low half of a trace's id is as good as a random number.
        (trace.trace as u64) as f64 <= share * u64::MAX as f64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Change<T> {
    /// The same with another value.
    pub(crate) fn map<U>(self, into: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(into(value)),
        }
    }

    fn apply(self, setting: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *setting = None,
            Self::Set(value) => *setting = Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use modelyard_serve::Times;

    use super::*;
    use crate::watch::{Served, Steps};

    /// A call of this model whose trace begins here.
    fn call(model: &str, trace: u64) -> Call {
        Call {
            at: UNIX_EPOCH,
            took: Duration::ZERO,
            request_id: String::new(),
            trace: TraceContext { trace: trace.into(), parent: None, span: 1, sampled: true },
            method: String::new(),
            path: String::new(),
            protocol: "HTTP/1.1",
            status: 200,
            grpc_status: None,
            kind: None,
            served: Some(Served { model: model.to_owned(), version: 1, times: Times::default() }),
            steps: Steps::default(),
        }
    }

    #[test]
    fn a_models_own_settings_go_before_those_of_all() {
        let settings = TraceSettings::new(0.25);
        assert_eq!(settings.view(None), TraceView { on: true, rate: 4, left: None, frequency: 0 });
        settings.change(None, TraceChange { on: Change::Set(false), ..TraceChange::default() });
        settings.change(
            Some("m"),
            TraceChange { on: Change::Set(true), rate: Change::Set(1), ..TraceChange::default() },
        );
        assert!(settings.take(&call("m", u64::MAX)) && !settings.take(&call("other", 1)));
        settings.change(Some("m"), TraceChange { on: Change::Clear, ..TraceChange::default() });
        assert!(!settings.view(Some("m")).on && settings.view(Some("m")).rate == 1);
    }

    #[test]
    fn a_count_runs_out() {
        let settings = TraceSettings::new(1.0);
        settings.change(None, TraceChange { count: Change::Set(Some(2)), ..TraceChange::default() });
        let taken: Vec<bool> = (0..4).map(|_| settings.take(&call("m", 1))).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert!(!settings.would_take(&call("m", 1).trace, "m"));
        assert_eq!(settings.view(Some("m")).left, Some(0));
        settings.change(None, TraceChange { count: Change::Set(None), ..TraceChange::default() });
        assert!(settings.would_take(&call("m", 1).trace, "m") && settings.take(&call("m", 1)));
    }

    #[test]
    fn a_rate_takes_its_share_and_a_caller_who_records_is_followed() {
        let settings = TraceSettings::new(1.0);
        settings.change(None, TraceChange { rate: Change::Set(2), ..TraceChange::default() });
        assert!(settings.take(&call("m", u64::MAX / 4)) && !settings.take(&call("m", u64::MAX / 4 * 3)));
        settings.change(None, TraceChange { rate: Change::Set(0), ..TraceChange::default() });
        assert!(!settings.take(&call("m", 0)));
        let mut followed = call("m", u64::MAX);
        followed.trace.parent = Some(7);
        assert!(settings.take(&followed));
    }
}
