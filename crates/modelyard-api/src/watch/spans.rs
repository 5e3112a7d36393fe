//! What a call looks like in a trace: its own span, and below it those of its wait and its run, or of each step of
//! a graph with its own wait and run.

use std::time::{Duration, UNIX_EPOCH};

use modelyard_serve::{SECURE, StepSpan, Times};

use super::Call;
use super::otlp_messages::{KeyValue, Span, SpanStatus, number, text};

/// Kinds of spans: within the server, a request that it answered, one that it asked of another server.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// All spans of a call, its own last.
pub(super) fn spans(call: &Call) -> Vec<Span> {
    let mut all = Vec::new();
    let own = own(call);
    if call.steps.spans.is_empty() {
        all.extend(call.served.iter().flat_map(|served| parts(&own, served.times)));
    }
    for step in &call.steps.spans {
        let span = below(&own, step);
        all.extend(step.times.iter().flat_map(|&times| parts(&span, times)));
        all.push(span);
    }
    all.push(own);
    all
}

fn own(call: &Call) -> Span {
    let mut attributes = vec![
        text("http.request.method", &*call.method),
        text("url.path", &*call.path),
        number("http.response.status_code", call.status.into()),
        text("modelyard.request_id", &*call.request_id),
    ];
    attributes.extend(call.grpc_status.map(|status| number("rpc.grpc.status_code", status.into())));
    attributes.extend(call.kind.as_ref().map(|kind| text("error.type", kind.as_str())));
    if let Some(served) = &call.served {
        attributes.push(text("modelyard.model", &*served.model));
        attributes.push(number("modelyard.version", served.version));
    }
    if call.steps.left_out > 0 {
        attributes.push(number("modelyard.steps_left_out", call.steps.left_out));
    }
    let failed = call.status >= 500 || call.grpc_status.is_some_and(|status| status != 0);
    let start = nanoseconds(call.at.duration_since(UNIX_EPOCH).unwrap_or_default());
    Span {
        trace_id: call.trace.trace.to_be_bytes().to_vec(),
        span_id: call.trace.span.to_be_bytes().to_vec(),
        parent_span_id: call.trace.parent.map(|span| span.to_be_bytes().to_vec()).unwrap_or_default(),
        name: format!("{} {}", call.method, call.path),
        kind: SERVER,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds(call.took)),
        attributes,
        status: failed.then_some(SpanStatus { code: ERROR }),
    }
}

/// The span of a step, below its call's.
fn below(call: &Span, step: &StepSpan) -> Span {
    let mut attributes = vec![text("modelyard.step", &*step.step), text("modelyard.model", &*step.model)];
    attributes.extend(step.version.map(|version| number("modelyard.version", version)));
    attributes.extend(step.part.map(|part| number("modelyard.part", part as u64)));
    attributes.extend(step.server.as_deref().map(server).into_iter().flatten());
    attributes.extend(step.failure.as_ref().map(|kind| text("error.type", kind.as_str())));
    let start = nanoseconds(step.at.duration_since(UNIX_EPOCH).unwrap_or_default());
    Span {
        trace_id: call.trace_id.clone(),
        span_id: step.span.to_be_bytes().to_vec(),
        parent_span_id: call.span_id.clone(),
        name: format!("step {}", step.step),
        kind: if step.server.is_some() { CLIENT } else { INTERNAL },
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds(step.took)),
        attributes,
        status: step.failure.is_some().then_some(SpanStatus { code: ERROR }),
    }
}

/// The server that was asked, by OpenTelemetry's names.
fn server(name: &str) -> Vec<KeyValue> {
    let name = name.strip_prefix(SECURE).unwrap_or(name);
    let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
    let port = port.parse().ok().map(|port| number("server.port", port));
    std::iter::once(text("server.address", host)).chain(port).collect()
}

/// The wait for a batch and the batch's run, below the span of a call or a step. The run ends where the answer is
/// there, and the wait where the run begins: close, not exact.
fn parts(of: &Span, times: Times) -> [Span; 2] {
    let (start, end) = (of.start_time_unix_nano, of.end_time_unix_nano);
    let ran = end.saturating_sub(nanoseconds(times.compute)).max(start);
    let waited = ran.saturating_sub(nanoseconds(times.queue)).max(start);
    [(1, "queue", waited, ran), (2, "compute", ran, end)].map(|(number, name, from, to)| Span {
        trace_id: of.trace_id.clone(),
        span_id: next(&of.span_id, number),
        parent_span_id: of.span_id.clone(),
        name: name.to_owned(),
        kind: INTERNAL,
        start_time_unix_nano: from,
        end_time_unix_nano: to,
        ..Span::default()
    })
}

/// A span's number that lies so far behind another.
fn next(span: &[u8], number: u64) -> Vec<u8> {
    let span = <[u8; 8]>::try_from(span).map(u64::from_be_bytes).expect("spans have eight bytes here");
    span.wrapping_add(number).max(1).to_be_bytes().to_vec()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use modelyard_types::ErrorKind;

    use super::*;
    use crate::watch::{Served, Steps, TraceContext};

    fn step(span: u64, server: Option<&str>, times: Option<Times>) -> StepSpan {
        StepSpan {
            span,
            step: "s".to_owned(),
            model: "m".to_owned(),
            version: server.is_none().then_some(4),
            server: server.map(str::to_owned),
            part: server.is_some().then_some(2),
            at: UNIX_EPOCH + Duration::from_micros(10),
            took: Duration::from_micros(50),
            times,
            failure: server.is_some().then_some(ErrorKind::Unavailable),
        }
    }

    fn call(status: u16, kind: Option<ErrorKind>, served: Option<Served>, steps: Steps) -> Call {
        Call {
            at: UNIX_EPOCH,
            took: Duration::from_micros(100),
            request_id: String::new(),
            trace: TraceContext { trace: 1, parent: None, span: 7, sampled: true },
            method: "POST".to_owned(),
            path: "/v2/models/g/infer".to_owned(),
            protocol: "HTTP/1.1",
            status,
            grpc_status: None,
            kind,
            served,
            steps,
        }
    }

    #[test]
    fn the_spans_of_a_call_whose_caller_went_away_say_so() {
        let far = StepSpan { failure: Some(ErrorKind::Cancelled), ..step(100, Some("far:8080"), None) };
        let steps = Steps { spans: vec![far], left_out: 0 };
        let spans = spans(&call(499, Some(ErrorKind::Cancelled), None, steps));
        let cancelled = text("error.type", "cancelled");
        assert!(
            spans.len() == 2 && spans.iter().all(|span| span.attributes.contains(&cancelled)),
            "{spans:?}"
        );
        assert_eq!(spans[0].status, Some(SpanStatus { code: ERROR }), "to the step it is a failure");
        assert_eq!(spans[1].status, None, "the server did nothing wrong");
    }

    #[test]
    fn steps_lie_below_their_call_with_their_own_wait_and_run() {
        let times = Times { queue: Duration::from_micros(1), compute: Duration::from_micros(40) };
        let served = Some(Served { model: "g".to_owned(), version: 1, times });
        let steps = Steps {
            spans: vec![step(100, None, Some(times)), step(200, Some("grpcs://far:8080"), None)],
            left_out: 3,
        };
        let call = call(200, None, served, steps);
        let spans = spans(&call);
        let id = |number: u64| number.to_be_bytes().to_vec();
        let tree: Vec<(&str, i32, Vec<u8>)> =
            spans.iter().map(|span| (span.name.as_str(), span.kind, span.parent_span_id.clone())).collect();
        let want = [
            ("queue", INTERNAL, id(100)),
            ("compute", INTERNAL, id(100)),
            ("step s", INTERNAL, id(7)),
            ("step s", CLIENT, id(7)),
            ("POST /v2/models/g/infer", SERVER, Vec::new()),
        ];
        assert_eq!(tree, want, "the graph's own wait and run would say the same again");
        assert_eq!((spans[2].start_time_unix_nano, spans[2].end_time_unix_nano), (10_000, 60_000));
        assert_eq!((spans[1].start_time_unix_nano, spans[1].end_time_unix_nano), (20_000, 60_000));
        let far = &spans[3];
        for attribute in [
            text("server.address", "far"),
            number("server.port", 8080),
            number("modelyard.part", 2),
            text("error.type", "unavailable"),
        ] {
            assert!(far.attributes.contains(&attribute), "{attribute:?} is not in {:?}", far.attributes);
        }
        assert_eq!(far.status, Some(SpanStatus { code: ERROR }));
        assert!(spans[4].attributes.contains(&number("modelyard.steps_left_out", 3)));
    }
}
