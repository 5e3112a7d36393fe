//! The accept loop and the life of a connection.
//!
//! Each thread drives its own connections on its own small runtime: a request is read, run and answered
//! where it arrived, and no other core is woken for it. `axum::serve` has no time limit on a request's head,
//! so connections are driven by hyper directly.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use modelyard_serve::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::config::ApiConfig;
use crate::error::ApiError;
use crate::router::Door;

/// How long to wait before accepting again where the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` resolves, then drains: connections are told to close with their next answer,
/// idle ones are closed, requests in flight are answered. New versions behind the served aliases are picked
/// up meanwhile.
///
/// # Errors
/// Where the operating system gives no threads. A connection's troubles are its own.
pub async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    config: ApiConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ApiError> {
    let door = Door::new(Arc::clone(&server), &config);
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
                .build()
                .map_err(|source| ApiError::Io { doing: "start an event loop", source })?;
            // Bounded by the connection permits that travel with the guests.
            let (desk, guests) = mpsc::unbounded_channel();
            let times = Times { header_timeout: config.header_timeout, farewell: config.farewell };
            let desk_work = attend(guests, door.clone(), times, closing.clone());
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

/// How long a connection is waited for.
#[derive(Clone, Copy)]
struct Times {
    header_timeout: Duration,
    farewell: Duration,
}

/// One thread's life: ends when the crew is dropped and the last connection has ended.
async fn attend(
    mut guests: mpsc::UnboundedReceiver<Guest>,
    door: Door,
    times: Times,
    closing: watch::Sender<bool>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            guest = guests.recv() => match guest {
                Some((stream, permit)) => match open(stream) {
                    Ok(stream) => {
                        let ends = closing.subscribe();
                        let connection = converse(stream, door.clone(), times, ends);
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
    let stream = TcpStream::from_std(stream)?;
    Ok(stream)
}

/// One connection, until it ends or is told to.
async fn converse(stream: TcpStream, door: Door, times: Times, mut ends: watch::Receiver<bool>) {
    let greeted = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        greeted.store(true, Ordering::Relaxed);
        let door = &door;
        async move { Ok::<_, std::convert::Infallible>(door.answer(request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(ends.wait_for(|end| *end).await) } => {
            // A connection taken in at the last moment still has its first request under way; the answer
            // to that closes it.
            if greeted.load(Ordering::Relaxed) {
                connection.as_mut().graceful_shutdown();
            }
            match tokio::time::timeout(times.farewell, connection.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
