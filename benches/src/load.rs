//! Load on a server: as many requests as it answers, or a stated number a second whatever it does.
//!
//! Few threads drive all connections: the load runs on the processors of the server that it measures, and a thread
//! for each connection took as much of them for a request that is refused as the server did. Those whose time falls
//! into one millisecond ask together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{Inbox, PATIENCE, Reply};
use crate::latencies::Latencies;

/// Threads that drive connections.
const THREADS: usize = 2;

/// What is asked, of whom, and how often.
#[derive(Clone)]
pub struct Load {
    /// Whom.
    pub address: SocketAddr,
    /// The bytes of the request.
    pub request: Arc<[u8]>,
    /// How many ask, each one request at a time.
    pub connections: usize,
    /// Requests a second of all together; none for as many as are answered.
    pub rate: Option<f64>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Answered with 200.
    pub good: Latencies,
    /// Refused with 429 or 503.
    pub refused: Latencies,
    /// Answered with anything else.
    pub wrong: u64,
    /// Not answered, though the connection had been taken.
    pub broken: u64,
    /// The first of what went wrong or broke, in words.
    pub first: Option<String>,
    /// How long it went on.
    pub seconds: f64,
}

impl Outcome {
    /// Good answers a second.
    pub fn goodput(&self) -> f64 {
        self.good.count() as f64 / self.seconds.max(1e-9)
    }

    /// Requests that should have been answered well or refused, and were not.
    pub fn errors(&self) -> u64 {
        self.wrong + self.broken
    }

    fn merge(&mut self, other: Self) {
        self.good.merge(&other.good);
        self.refused.merge(&other.refused);
        self.wrong += other.wrong;
        self.broken += other.broken;
        self.seconds = self.seconds.max(other.seconds);
        self.first = self.first.take().or(other.first);
    }

    fn count(&mut self, reply: &Reply, took: Duration) {
        match reply.status {
            200 => self.good.add(took),
            429 | 503 => self.refused.add(took),
            status => {
                self.wrong += 1;
                self.note(format!("{status}: {}", String::from_utf8_lossy(&reply.body)));
            }
        }
    }

    fn note(&mut self, what: String) {
        self.first.get_or_insert(what);
    }
}

/// A load under way.
pub struct Underway {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Outcome>>,
}

impl Load {
    /// Keeps it up for so long.
    pub fn run(&self, time: Duration) -> Outcome {
        let underway = self.start();
        std::thread::sleep(time);
        underway.stop()
    }

    /// Begins, until it is told to stop or the server is gone.
    pub fn start(&self) -> Underway {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let threads = (0..THREADS.min(self.connections)).map(|thread| {
            let (load, stop) = (self.clone(), Arc::clone(&stop));
            std::thread::spawn(move || load.drive(thread, &stop, begin))
        });
        let threads = threads.collect();
        Underway { stop, threads }
    }

    /// One thread's share of the connections.
    fn drive(&self, thread: usize, stop: &Arc<AtomicBool>, begin: Instant) -> Outcome {
        let mut all = Outcome::default();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                all.broken += 1;
                all.note(format!("cannot begin: {error}"));
                return all;
            }
        };
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            for number in (thread..self.connections).step_by(THREADS) {
                let (load, stop) = (self.clone(), Arc::clone(stop));
                clients.spawn(async move { load.ask_until(&stop, begin, number).await });
            }
            while let Some(client) = clients.join_next().await {
                match client {
                    Ok(outcome) => all.merge(outcome),
                    Err(_) => {
                        all.broken += 1;
                        all.note("a client panicked".to_owned());
                    }
                }
            }
        });
        all
    }

    async fn ask_until(&self, stop: &AtomicBool, begin: Instant, number: usize) -> Outcome {
        let mut outcome = Outcome::default();
        let step = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        // Those who ask at a pace begin one after the other.
        let mut due = begin + step.unwrap_or_default().mul_f64(number as f64 / self.connections as f64);
        let mut connection: Option<(Caller, u64)> = None;
        while !stop.load(Ordering::Relaxed) {
            if let Some(step) = step {
                tokio::time::sleep_until(due.into()).await;
                due += step;
            }
            let (mut open, asked) = match connection.take() {
                Some(open) => open,
                None => match within_patience(Caller::open(self.address)).await {
                    Ok(open) => (open, 0),
                    // Nobody takes connections any more, or the queue of those who wait is full.
                    Err(error) if is_gone(&error) => break,
                    Err(error) => {
                        outcome.broken += 1;
                        outcome.note(format!("cannot connect: {error}"));
                        continue;
                    }
                },
            };
            let start = Instant::now();
            match within_patience(open.ask(&self.request)).await {
                Ok(reply) => {
                    outcome.count(&reply, start.elapsed());
                    connection = (!reply.closes).then_some((open, asked + 1));
                }
                // Never taken: the listener closed while the connection stood in its queue.
                Err(error) if asked == 0 && is_gone(&error) => break,
                Err(error) => {
                    outcome.broken += 1;
                    outcome.note(format!("no answer to request {asked} of a connection: {error}"));
                }
            }
        }
        outcome.seconds = begin.elapsed().as_secs_f64();
        outcome
    }
}

/// One keep-alive connection of a load.
struct Caller {
    stream: TcpStream,
    inbox: Inbox,
}

impl Caller {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, inbox: Inbox::default() })
    }

    async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        let mut some = [0; 4 << 10];
        loop {
            if let Some(reply) = self.inbox.take()? {
                return Ok(reply);
            }
            let count = self.stream.read(&mut some).await?;
            self.inbox.put(&some[..count])?;
        }
    }
}

async fn within_patience<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

impl Underway {
    /// Tells it to stop, and gives what became of it.
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until the server is gone.
    pub fn join(self) -> Outcome {
        let mut all = Outcome::default();
        for thread in self.threads {
            match thread.join() {
                Ok(outcome) => all.merge(outcome),
                Err(_) => {
                    all.broken += 1;
                    all.note("a client panicked".to_owned());
                }
            }
        }
        all
    }
}
