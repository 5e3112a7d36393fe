//! The accept loop and the life of a connection.
//!
//! Each thread drives its own connections on its own small runtime: a request is read, run and answered
//! where it arrived, and no other core is woken for it. `axum::serve` has no time limit on a request's head,
//! so connections are driven by hyper directly. HTTP/1 and HTTP/2 share the port: HTTP/2 begins with a
//! preface that no HTTP/1 request has.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use modelyard_serve::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::open_inference::GrpcServers;
use crate::patient::Patient;
use crate::router::Door;
use crate::turns::{Line, Turns};

/// How long to wait before accepting again where the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// hyper takes no smaller buffer for HTTP/1.
const BUFFER_BYTES_MIN: usize = 8 << 10;
/// Streams that a client may reset before they are answered, at a time: an honest one resets few.
const RESETS_MAX: usize = 64;
/// Threads beside each event loop, for what would hold it up: long unpacking and pipelines, loading.
const BLOCKING_THREADS_MAX: usize = 8;
const SEND_BUFFER_BYTES: usize = 256 << 10;
/// What the operating system takes of an answer before the other side has room for it: by more, a client that asks
/// and does not read would have megabytes written for it before that is noticed.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 64 << 10;
/// What a client may send ahead on one request, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Serves until `shutdown` resolves, then drains: connections are told to close with their next answer,
/// idle ones are closed, requests in flight are answered. New versions behind the served aliases are picked
/// up meanwhile.
///
/// # Errors
/// Where the operating system gives no threads, or reflection cannot be set up. A connection's troubles are
/// its own.
pub async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    config: ApiConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    server.reach_by(Arc::new(GrpcServers::default()));
    let door = Door::new(Arc::clone(&server), &config)?;
    let crew = Crew::start(&door, &config)?;
    let permits = Arc::new(Semaphore::new(config.connections_max.max(1)));
    let hall = Hall { listener, permits, crew };
    tokio::select! {
        () = hall.accept_forever() => {}
        () = server.watch() => {}
        () = shutdown => {}
    }
    tracing::info!("draining");
    door.start_closing();
    if open_connections(&hall.permits, &config) > 0 {
        tokio::select! {
            () = hall.accept_forever() => {}
            () = all_closed(&hall.permits, &config) => {}
            () = tokio::time::sleep(config.farewell) => {}
        }
    }
    hall.close(&config).await;
    server.drain().await;
    config.watchers.finish();
    Ok(())
}

/// The listener, and the connections that it let in.
struct Hall {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    crew: Crew,
}

impl Hall {
    async fn accept_forever(&self) {
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.into_std() {
                    Ok(stream) => self.crew.take(stream, permit),
                    Err(error) => tracing::debug!(%error, "a connection was lost"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes in those who wait at the door, shuts it, and waits for the last to leave.
    async fn close(self, config: &ApiConfig) {
        let Self { listener, permits, crew } = self;
        // The operating system is asked directly: tokio may not have heard of the latest arrivals yet.
        match listener.into_std() {
            Ok(listener) => {
                while let Ok((stream, _)) = listener.accept() {
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
                    crew.take(stream, permit);
                }
            }
            Err(error) => tracing::debug!(%error, "the listener was lost"),
        }
        crew.close();
        if tokio::time::timeout(config.drain_max, all_closed(&permits, config)).await.is_err() {
            let left = open_connections(&permits, config);
            tracing::warn!(left, "connections did not end in time");
        }
    }
}

fn open_connections(permits: &Semaphore, config: &ApiConfig) -> usize {
    config.connections_max.max(1) - permits.available_permits()
}

async fn all_closed(permits: &Semaphore, config: &ApiConfig) {
    let all = u32::try_from(config.connections_max.max(1)).unwrap_or(u32::MAX);
    drop(permits.acquire_many(all).await);
}

type Guest = (std::net::TcpStream, OwnedSemaphorePermit);

/// The threads that drive connections.
struct Crew {
    desks: Vec<mpsc::UnboundedSender<Guest>>,
    next: AtomicUsize,
    closing: watch::Sender<bool>,
}

impl Crew {
    fn start(door: &Door, config: &ApiConfig) -> Result<Self, ApiError> {
        let (closing, _) = watch::channel(false);
        let mut desks = Vec::new();
        for number in 0..config.threads.max(1) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .build()
                .map_err(|source| ApiError::Io { doing: "start an event loop", source })?;
            // Bounded by the connection permits that travel with the guests.
            let (desk, guests) = mpsc::unbounded_channel();
            let (door, config) = (door.clone(), config.clone());
            let manners = Arc::new(Manners { door, config, line: Line::default() });
            let desk_work = attend(guests, manners, closing.clone());
            std::thread::Builder::new()
                .name(format!("http {number}"))
                .spawn(move || runtime.block_on(desk_work))
                .map_err(|source| ApiError::Io { doing: "start a thread", source })?;
            desks.push(desk);
        }
        Ok(Self { desks, next: AtomicUsize::new(0), closing })
    }

    fn take(&self, stream: std::net::TcpStream, permit: OwnedSemaphorePermit) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.desks.len();
        // A desk that is gone drops the guest, which closes the connection.
        drop(self.desks[at].send((stream, permit)));
    }

    fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// How a thread treats its connections.
struct Manners {
    door: Door,
    config: ApiConfig,
    line: Line,
}

impl Manners {
    /// The limits of both protocols. HTTP/2's own defences against rapid resets and endless header frames
    /// are hyper's, made as strict as the limits on HTTP/1.
    fn protocols(&self) -> auto::Builder<TokioExecutor> {
        let config = &self.config;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.header_timeout)
            .max_buf_size((config.head_bytes_max as usize).max(BUFFER_BYTES_MIN));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.streams_max)
            .max_header_list_size(config.head_bytes_max)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(Some(RESETS_MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(config.idle_timeout / 4)
            .keep_alive_timeout(config.write_timeout);
        builder
    }
}

/// One thread's life: ends when the crew is dropped and the last connection has ended.
async fn attend(
    mut guests: mpsc::UnboundedReceiver<Guest>,
    manners: Arc<Manners>,
    closing: watch::Sender<bool>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            guest = guests.recv() => match guest {
                Some((stream, permit)) => match open(stream) {
                    Ok(stream) => {
                        let ends = closing.subscribe();
                        let connection = converse(stream, Arc::clone(&manners), ends);
                        connections.spawn(async move {
                            connection.await;
                            drop(permit);
                        });
                    }
                    Err(error) => tracing::debug!(%error, "a connection was lost"),
                },
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn open(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    // Those taken in last come straight from the operating system.
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        // As in sandboxes that stand in for Linux: more is written ahead there.
        tracing::debug!(%error, "a connection's unsent bytes cannot be limited");
    }
    TcpStream::from_std(stream)
}

/// One connection, until it ends, is told to, or says nothing for too long.
async fn converse(stream: TcpStream, manners: Arc<Manners>, mut ends: watch::Receiver<bool>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let turns = Arc::new(Turns::new(&manners.line));
    let service = {
        let (requests, turns, manners) = (Arc::clone(&requests), Arc::clone(&turns), Arc::clone(&manners));
        service_fn(move |request: Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            let turns = (request.version() <= Version::HTTP_11).then(|| Arc::clone(&turns));
            let manners = Arc::clone(&manners);
            async move {
                if let Some(turns) = turns {
                    turns.take().await;
                }
                Ok::<_, std::convert::Infallible>(manners.door.answer(request.map(Body::new)).await)
            }
        })
    };
    let config = &manners.config;
    let stream = TokioIo::new(Patient::new(stream, config.write_timeout, &manners.line));
    let protocols = manners.protocols();
    let mut connection = pin!(protocols.serve_connection(stream, service));
    let mut stage = Stage::Open;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| {
                turns.begin();
                connection.as_mut().poll(context)
            }) => break ended,
            () = silence(&requests, config), if stage == Stage::Open => {
                if requests.load(Ordering::Relaxed) == 0 {
                    tracing::debug!("a connection was closed that asked for nothing");
                    return;
                }
                stage = Stage::Quiet;
                connection.as_mut().graceful_shutdown();
            }
            () = async { drop(ends.wait_for(|end| *end).await) }, if stage < Stage::Told => {
                stage = Stage::Told;
                // A connection taken in at the last moment still has its first request under way; the
                // answer to that closes it.
                if requests.load(Ordering::Relaxed) > 0 {
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = tokio::time::sleep(config.farewell), if stage == Stage::Told => {
                stage = Stage::Parting;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(config.write_timeout), if stage == Stage::Parting => {
                // HTTP/2 leaves only once the other side has agreed, which it may never do.
                if manners.door.is_idle() {
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Nothing was asked for long; what is under way may end.
    Quiet,
    /// The server ends; what comes now is still answered.
    Told,
    /// What is under way may end.
    Parting,
}

/// Resolves where no first request came in time, or no further one for long. HTTP/1 connections end sooner
/// by the limit on their heads.
async fn silence(requests: &AtomicUsize, config: &ApiConfig) {
    tokio::time::sleep(config.header_timeout).await;
    let mut seen = requests.load(Ordering::Relaxed);
    while seen > 0 {
        tokio::time::sleep(config.idle_timeout).await;
        let now = requests.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
    }
}
