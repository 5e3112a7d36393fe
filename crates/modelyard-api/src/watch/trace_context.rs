//! Where a request stands in a trace: W3C Trace Context, <https://www.w3.org/TR/trace-context/>, version 00.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;

/// The header that carries it.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The header of what others in the trace say of it, which is passed on as it is.
pub(super) const TRACESTATE: &str = "tracestate";
const SAMPLED: u8 = 1;

/// A trace, the caller's span in it where there is one, and our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace.
    pub trace: u128,
    /// The caller's span.
    pub parent: Option<u64>,
    /// The span of this request.
    pub span: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

/// Makes ids that other processes do not make.
pub(crate) struct Ids {
    keys: [RandomState; 3],
    next: AtomicU64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { keys: [RandomState::new(), RandomState::new(), RandomState::new()], next: AtomicU64::new(1) }
    }
}

impl TraceContext {
    /// The caller's trace with a span of ours, where the header is there and says one.
    pub(crate) fn taken_over(headers: &HeaderMap, ids: &Ids) -> Option<Self> {
        let text = headers.get(TRACEPARENT)?.to_str().ok()?;
        let (trace, parent, sampled) = parse(text)?;
        Some(Self { trace, parent: Some(parent), span: ids.span(), sampled })
    }

    /// A trace of our own.
    pub(crate) fn new(ids: &Ids) -> Self {
        let span = ids.span();
        let trace = u128::from(ids.part(1, span)) << 64 | u128::from(ids.part(2, span));
        Self { trace: trace.max(1), parent: None, span, sampled: true }
    }
}

impl Ids {
    fn span(&self) -> u64 {
        self.part(0, self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn part(&self, key: usize, number: u64) -> u64 {
        self.keys[key].hash_one(number).max(1)
    }
}

/// `00-<trace>-<span>-<flags>`, in lower-case hexadecimal; later versions may say more behind it.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.trim().split('-');
    let version = hexadecimal(parts.next()?, 2)?;
    let trace = hexadecimal(parts.next()?, 32)?;
    let span = hexadecimal(parts.next()?, 16)?;
    let flags = hexadecimal(parts.next()?, 2)?;
    let known = version < 0xFF && (version > 0 || parts.next().is_none());
    let span = u64::try_from(span).ok()?;
    (known && trace != 0 && span != 0).then_some((trace, span, flags as u8 & SAMPLED != 0))
}

fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for TraceContext {
    /// As the header has it: our span becomes the parent of whoever reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_callers_trace_goes_on_with_a_span_of_ours() {
        let ids = Ids::default();
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(TRACEPARENT),
            axum::http::HeaderValue::from_static(GIVEN),
        )]);
        let context = TraceContext::taken_over(&headers, &ids).expect("a context");
        assert_eq!(context.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert!(context.sampled && context.span != 0x00f0_67aa_0ba9_02b7);
        let back = context.to_string();
        assert!(back.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && back.ends_with("-01"), "{back}");
        assert_eq!(parse(&back).map(|(_, span, _)| span), Some(context.span));
    }

    #[test]
    fn what_is_no_context_is_let_pass_unseen() {
        for (text, fits) in [
            (GIVEN, true),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f35-00f067aa0ba902b7-01", false),
            ("", false),
        ] {
            assert_eq!(parse(text).is_some(), fits, "{text:?}");
        }
    }

    #[test]
    fn no_two_traces_of_our_own_are_alike() {
        let ids = Ids::default();
        let traces: std::collections::BTreeSet<u128> =
            (0..100).map(|_| TraceContext::new(&ids).trace).collect();
        assert_eq!(traces.len(), 100);
    }
}
