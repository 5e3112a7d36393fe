//! Follows one request through the steps of graphs: their spans, and what other servers are told so that theirs
//! fall below.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::http::{Extensions, HeaderMap};
use modelyard_serve::{Journey, ServedVersion, StepSpan, Trail};

use super::trace_context::TRACESTATE;
use super::{TRACEPARENT, TraceContext, Watchers};

/// In how many servers a request was passed on before: written by one graph, read by the next.
pub(crate) const HOPS: &str = "modelyard-hops";
/// Most steps that are told of one request; of a large scattered one the rest are counted.
const STEPS_MAX: usize = 256;
/// What W3C asks to be passed on at least; longer states are not.
const STATE_BYTES_MAX: usize = 512;
/// From one step's span to the next. 2^64 divided by the golden ratio, whose multiples lie far apart, so that the
/// spans below a step, which follow it directly, meet no other.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The steps of one request.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Their spans, as they ended.
    pub spans: Vec<StepSpan>,
    /// Further ones that were too many.
    pub left_out: u64,
}

/// A request as its steps see it.
pub(crate) struct CallTrail {
    context: TraceContext,
    /// The callers' own words on the trace.
    state: Option<String>,
    watchers: Watchers,
    /// Whether somebody records spans of this request; asked when the first graph takes it.
    records: OnceLock<bool>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    begun: u64,
    steps: Steps,
    /// Whether the request was told already: a stream goes on after that.
    is_told: bool,
}

impl CallTrail {
    /// The trail of a request that has this place in a trace.
    pub(crate) fn new(context: TraceContext, headers: &HeaderMap, watchers: &Watchers) -> Arc<Self> {
        let state: Vec<&str> = headers.get_all(TRACESTATE).iter().filter_map(|v| v.to_str().ok()).collect();
        let state = Some(state.join(",")).filter(|text| (1..=STATE_BYTES_MAX).contains(&text.len()));
        let watchers = watchers.clone();
        Arc::new(Self { context, state, watchers, records: OnceLock::new(), taken: Mutex::default() })
    }

    /// Its place in a trace.
    pub(super) fn context(&self) -> TraceContext {
        self.context
    }

    /// Who is told of the request.
    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// What its steps did; those that end later are told to nobody.
    pub(super) fn finish(&self) -> Steps {
        let mut taken = self.lock();
        taken.is_told = true;
        std::mem::take(&mut taken.steps)
    }

    fn records(&self) -> bool {
        self.records.get().copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Whole after every statement.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trail for CallTrail {
    fn begin(&self) -> u64 {
        let mut taken = self.lock();
        if taken.is_told {
            return self.context.span;
        }
        taken.begun += 1;
        self.context.span.wrapping_add(taken.begun.wrapping_mul(STRIDE)).max(1)
    }

    fn carried(&self, span: u64) -> Vec<(&'static str, String)> {
        let context = match (self.records(), self.context.parent) {
            (true, _) => TraceContext { span, sampled: true, ..self.context },
            // Spans that nobody records would be missed between the caller's and the other server's.
            (false, Some(parent)) => TraceContext { span: parent, ..self.context },
            (false, None) => TraceContext { sampled: false, ..self.context },
        };
        let state = self.state.iter().map(|state| (TRACESTATE, state.clone()));
        std::iter::once((TRACEPARENT, context.to_string())).chain(state).collect()
    }

    fn ended(&self, span: &StepSpan) {
        if !self.records() {
            return;
        }
        let mut taken = self.lock();
        match taken.is_told {
            true => {}
            false if taken.steps.spans.len() < STEPS_MAX => taken.steps.spans.push(span.clone()),
            false => taken.steps.left_out += 1,
        }
    }
}

/// The way of a request so far, as its headers tell it: only graphs want to know.
pub(crate) fn journey(version: &ServedVersion, headers: &HeaderMap, extensions: &Extensions) -> Journey {
    if !version.is_graph() {
        return Journey::default();
    }
    let hops = headers.get(HOPS).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default();
    let trail = extensions.get::<Arc<CallTrail>>().cloned();
    if let Some(trail) = &trail {
        let model = version.model().as_str();
        trail.records.get_or_init(|| trail.watchers.record(&trail.context, model));
    }
    Journey { hops, trail: trail.map(|trail| trail as Arc<dyn Trail>) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use axum::http::HeaderValue;

    use super::*;
    use crate::watch::{Call, Watcher};

    struct Records(bool);

    impl Watcher for Records {
        fn records(&self, _trace: &TraceContext, _model: &str) -> bool {
            self.0
        }

        fn ended(&self, _call: &Call) {}

        fn finish(&self) {}
    }

    fn trail(parent: Option<u64>, records: bool, state: &str) -> Arc<CallTrail> {
        let context = TraceContext { trace: 1, parent, span: 2, sampled: true };
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(TRACESTATE),
            HeaderValue::from_str(state).expect("a header"),
        )]);
        let watchers = Watchers::new(vec![Arc::new(Records(records))]);
        let trail = CallTrail::new(context, &headers, &watchers);
        trail.records.get_or_init(|| records);
        trail
    }

    fn step(span: u64) -> StepSpan {
        StepSpan {
            span,
            step: "s".to_owned(),
            model: "m".to_owned(),
            version: None,
            server: None,
            part: None,
            at: UNIX_EPOCH,
            took: Duration::ZERO,
            times: None,
            failure: None,
        }
    }

    #[test]
    fn another_server_is_told_the_span_that_is_recorded() {
        let told = |parent, records, state: &str| {
            let trail = trail(parent, records, state);
            let span = trail.begin();
            let carried = trail.carried(span);
            (span, carried)
        };
        let parent = |id: u64, flags: u8| format!("00-{:032x}-{id:016x}-{flags:02x}", 1);
        let (span, carried) = told(Some(9), true, "a=1");
        assert!(span != 2, "a span of its own");
        assert_eq!(carried, [(TRACEPARENT, parent(span, 1)), (TRACESTATE, "a=1".to_owned())]);
        assert_eq!(told(Some(9), false, "").1, [(TRACEPARENT, parent(9, 1))], "the caller's");
        assert_eq!(told(None, false, "").1, [(TRACEPARENT, parent(2, 0))], "and not to be recorded");
        assert_eq!(told(Some(9), true, &"a".repeat(513)).1.len(), 1, "a long state stays behind");
    }

    #[test]
    fn steps_are_bounded_and_end_with_their_request() {
        let trail = trail(Some(9), true, "");
        let spans: std::collections::BTreeSet<u64> = (0..1000).map(|_| trail.begin()).collect();
        assert_eq!(spans.len(), 1000);
        (0..STEPS_MAX as u64 + 3).for_each(|span| trail.ended(&step(span)));
        let steps = trail.finish();
        assert_eq!((steps.spans.len(), steps.left_out), (STEPS_MAX, 3));
        assert_eq!(trail.begin(), 2, "what comes later falls below the request itself");
        trail.ended(&step(7));
        assert!(trail.finish().spans.is_empty());
    }
}
