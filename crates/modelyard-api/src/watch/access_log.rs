//! The access log: a line of JSON for each call, without a word of what was sent or answered.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::courier::{BATCH_MAX, Courier};
use super::{Call, Watcher};
use crate::write;

/// Writes calls as lines of JSON.
pub struct AccessLog {
    lines: Courier<Vec<u8>>,
}

#[derive(Serialize)]
struct Line<'a> {
    unix_ms: u64,
    request_id: &'a str,
    trace_id: String,
    method: &'a str,
    path: &'a str,
    protocol: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_us: Option<u64>,
}

impl AccessLog {
    /// Writes to a file or a stream, by a thread of its own.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(mut into: impl Write + Send + 'static) -> io::Result<Self> {
        let mut failed = false;
        let carry = move |lines: Vec<Vec<u8>>, lost: u64| {
            if lost > 0 {
                tracing::warn!(lost, "lines of the access log were lost: it is written too slowly");
            }
            let written = into.write_all(&lines.concat()).and_then(|()| into.flush());
            match written {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    tracing::error!(%error, "the access log cannot be written");
                }
                Err(_) => {}
            }
        };
        let batch_max = Arc::new(AtomicUsize::new(BATCH_MAX));
        Ok(Self { lines: Courier::start("access log", Duration::ZERO, batch_max, carry)? })
    }
}

impl Watcher for AccessLog {
    fn ended(&self, call: &Call) {
        let mut line = Vec::with_capacity(320);
        write::json(&mut line, &Line::of(call));
        line.push(b'\n');
        self.lines.send(line);
    }

    fn finish(&self) {
        self.lines.finish();
    }
}

impl<'a> Line<'a> {
    fn of(call: &'a Call) -> Self {
        let served = call.served.as_ref();
        Self {
            unix_ms: milliseconds(call.at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            request_id: &call.request_id,
            trace_id: format!("{:032x}", call.trace.trace),
            method: &call.method,
            path: &call.path,
            protocol: call.protocol,
            status: call.status,
            grpc_status: call.grpc_status,
            kind: call.kind.as_ref().map(|kind| kind.as_str()),
            model: served.map(|served| served.model.as_str()),
            version: served.map(|served| served.version),
            took_us: microseconds(call.took),
            queue_us: served.map(|served| microseconds(served.times.queue)),
            compute_us: served.map(|served| microseconds(served.times.compute)),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
