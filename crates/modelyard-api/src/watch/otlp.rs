//! Traces by OpenTelemetry's protocol over HTTP: the spans of calls, sent in batches to a collector.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>, OTLP/HTTP with binary Protocol Buffers. Why the
//! exporter is written here: `docs/decisions/0011-reading-config-and-telling-spans.md`.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;

use super::courier::Courier;
use super::otlp_messages::{ExportTraceServiceRequest, Resource, ResourceSpans, ScopeSpans, text};
use super::spans::spans;
use super::trace_settings::TraceSettings;
use super::{Call, TraceContext, Watcher};

/// How long spans wait for others to share a message.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the collector may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);
const DEFAULT_PATH: &str = "/v1/traces";

/// Sends spans to a collector.
pub struct Otlp {
    calls: Courier<Call>,
    settings: Arc<TraceSettings>,
}

/// Where the collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    /// `host:port`.
    host: String,
    path: String,
}

impl Otlp {
    /// Sends to `http://host:port[/path]`, whose path is `/v1/traces` where none is named. Of the traces that
    /// begin here the `share` from 0 to 1 is recorded; a caller's trace is, where the caller records it.
    ///
    /// # Errors
    /// An endpoint that is no such address, or a system that gives no thread.
    pub fn start(endpoint: &str, share: f64) -> io::Result<Self> {
        let endpoint = Endpoint::parse(endpoint)?;
        let mut failing = false;
        let carry = move |calls: Vec<Call>, lost: u64| {
            let message = message(&calls).encode_to_vec();
            let sent = endpoint.post(&message);
            if lost > 0 {
                tracing::warn!(lost, "spans were lost: the collector takes them too slowly");
            }
            match sent {
                Ok(()) => failing = false,
                // Said once, not each second.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, spans = calls.len(), "the collector took no spans");
                }
                Err(_) => {}
            }
        };
        let settings = Arc::new(TraceSettings::new(share));
        let calls = Courier::start("otlp", PAUSE, settings.batch_max(), carry)?;
        Ok(Self { calls, settings })
    }

    /// Which calls are sent, to be changed while the server runs.
    pub fn settings(&self) -> Arc<TraceSettings> {
        Arc::clone(&self.settings)
    }
}

impl Watcher for Otlp {
    fn records(&self, trace: &TraceContext, model: &str) -> bool {
        self.settings.would_take(trace, model)
    }

    fn ended(&self, call: &Call) {
        if self.settings.take(call) {
            self.calls.send(call.clone());
        }
    }

    fn finish(&self) {
        self.calls.finish();
    }
}

impl Endpoint {
    fn parse(text: &str) -> io::Result<Self> {
        let unfit =
            |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{text:?} is no collector: {why}"));
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(unfit("it must begin with http:// (put a collector beside the server for TLS)"));
        };
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() || host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(unfit("it must name a host and a port, such as http://127.0.0.1:4318"));
        }
        let path = if path.is_empty() { DEFAULT_PATH } else { path };
        if path.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(unfit("its path holds blanks"));
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }

    fn post(&self, message: &[u8]) -> io::Result<()> {
        let address = self.host.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            self.path,
            self.host,
            message.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(message)?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        let status =
            String::from_utf8_lossy(&start).rsplit(' ').next().map(str::to_owned).unwrap_or_default();
        match status.as_bytes() {
            [b'2', ..] => Ok(()),
            _ => Err(io::Error::other(format!("it answered with status {status}"))),
        }
    }
}

fn message(calls: &[Call]) -> ExportTraceServiceRequest {
    let attributes =
        vec![text("service.name", "modelyard"), text("service.version", env!("CARGO_PKG_VERSION"))];
    let spans = calls.iter().flat_map(spans).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { spans }],
        }],
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;
    use std::time::UNIX_EPOCH;

    use modelyard_serve::Times;

    use super::*;
    use crate::watch::{Served, Steps};

    fn call(trace: u128, parent: Option<u64>, sampled: bool) -> Call {
        Call {
            at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            took: Duration::from_micros(500),
            request_id: "r1".to_owned(),
            trace: TraceContext { trace, parent, span: 7, sampled },
            method: "POST".to_owned(),
            path: "/v2/models/m/infer".to_owned(),
            protocol: "HTTP/1.1",
            status: 200,
            grpc_status: None,
            kind: None,
            served: Some(Served {
                model: "m".to_owned(),
                version: 3,
                times: Times { queue: Duration::from_micros(100), compute: Duration::from_micros(200) },
            }),
            steps: Steps::default(),
        }
    }

    /// Takes one POST and gives its body.
    fn collect(listener: &TcpListener) -> Vec<u8> {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut read = Vec::new();
        loop {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).expect("reads");
            read.extend_from_slice(&some[..count]);
            let head = read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let Some(head) = head else { continue };
            let text = String::from_utf8_lossy(&read[..head]).into_owned();
            assert!(text.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.expect("a length").parse().expect("a number");
            if read.len() == head + length {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("writes");
                return read.split_off(head);
            }
        }
    }

    #[test]
    fn a_collector_reads_the_spans() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (body, bodies) = channel();
        let collector = std::thread::spawn(move || body.send(collect(&listener)).expect("the test listens"));
        let otlp = Otlp::start(&format!("http://{address}"), 1.0).expect("starts");
        otlp.ended(&call(9, Some(5), true));
        otlp.ended(&call(9, Some(5), false));
        otlp.finish();
        let body = bodies.recv().expect("the collector got it");
        collector.join().expect("it ended well");
        let message = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
        let spans = &message.resource_spans[0].scope_spans[0].spans;
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(
            names,
            ["queue", "compute", "POST /v2/models/m/infer"],
            "the caller that does not record is not"
        );
        let own = &spans[2];
        assert_eq!(own.trace_id, 9u128.to_be_bytes());
        assert_eq!(
            (own.span_id.as_slice(), own.parent_span_id.as_slice()),
            (&7u64.to_be_bytes()[..], &5u64.to_be_bytes()[..])
        );
        assert_eq!(own.end_time_unix_nano - own.start_time_unix_nano, 500_000);
        assert!(own.attributes.contains(&text("modelyard.model", "m")), "{:?}", own.attributes);
        assert_eq!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano, 100_000);
        assert_eq!(spans[1].parent_span_id, own.span_id);
    }

    #[test]
    fn of_traces_that_begin_here_a_share_is_recorded() {
        let otlp = Otlp::start("http://127.0.0.1:9", 0.5).expect("starts");
        assert!(otlp.settings.take(&call(1, None, true)));
        assert!(!otlp.settings.take(&call(u128::from(u64::MAX), None, true)));
    }

    #[test]
    fn an_endpoint_is_a_plain_address() {
        let parsed = Endpoint::parse("http://otel:4318/").expect("an endpoint");
        assert_eq!((parsed.host.as_str(), parsed.path.as_str()), ("otel:4318", DEFAULT_PATH));
        assert_eq!(Endpoint::parse("http://otel:4318/own").expect("an endpoint").path, "/own");
        for (text, want) in [
            ("https://otel:4318", "must begin with http://"),
            ("http://otel", "a host and a port"),
            ("http://otel:x/", "a host and a port"),
            ("http://otel:1/a b", "blanks"),
        ] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
