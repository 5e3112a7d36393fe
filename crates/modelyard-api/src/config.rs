//! The limits of the HTTP front end, resolved.

use std::sync::Arc;
use std::time::Duration;

use crate::watch::{LogSettings, TraceSettings, Watchers};

/// How much is read, from how many, and how long is waited. [`ApiConfig::default`] suits small machines:
/// a connection that only holds on is closed within ten seconds.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Most bytes of one request's body.
    pub body_bytes_max: usize,
    /// Most connections at once; more wait in the operating system's queue.
    pub connections_max: usize,
    /// How long a connection may take to send a request's head, idle time between requests included. Over
    /// HTTP/2 it is the time until the first request.
    pub header_timeout: Duration,
    /// How long an HTTP/2 connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long the other side may take to read some of an answer.
    pub write_timeout: Duration,
    /// Most requests at once on one HTTP/2 connection.
    pub streams_max: u32,
    /// Most bytes of a request's head.
    pub head_bytes_max: u32,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// How long a request's body may take to bring 16 KiB more, or its end.
    pub body_pause: Duration,
    /// Most bytes of all bodies together that are still coming in; a body beyond is refused as exhausted.
    pub bodies_bytes_max: usize,
    /// After the signal to stop: how long connections are told to close with their next answer before idle
    /// ones are closed. Ends early when no connection is open.
    pub farewell: Duration,
    /// After that: how long requests in flight may still take.
    pub drain_max: Duration,
    /// The name in the server's metadata; some clients insist on `triton`.
    pub server_name: String,
    /// Whether clients may load and unload models.
    pub repository_control: bool,
    /// Whether clients on the same machine may keep tensors in memory that they share with the server.
    pub shares_memory: bool,
    /// Whether `/metrics` has the names of NVIDIA's server, too.
    pub triton_metrics: bool,
    /// Who is told of answered requests.
    pub watchers: Watchers,
    /// Which calls are traced; none where no traces are sent.
    pub traces: Option<Arc<TraceSettings>>,
    /// Which lines of the log are written; none where that cannot be told.
    pub log: Option<Arc<LogSettings>>,
    /// Whether clients may change both.
    pub telemetry_control: bool,
    /// Threads that talk to connections, each with its own share of them.
    pub threads: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            connections_max: 4096,
            header_timeout: Duration::from_secs(9),
            idle_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(9),
            streams_max: 128,
            head_bytes_max: 32 << 10,
            body_timeout: Duration::from_secs(30),
            body_pause: Duration::from_secs(9),
            bodies_bytes_max: 512 << 20,
            farewell: Duration::from_millis(500),
            drain_max: Duration::from_secs(30),
            server_name: "modelyard".to_owned(),
            repository_control: false,
            shares_memory: false,
            triton_metrics: false,
            watchers: Watchers::default(),
            traces: None,
            log: None,
            telemetry_control: false,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}
