//! Load on a server: as many requests as it answers, or a stated number a second whatever it does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Connection;
use crate::latencies::Latencies;

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
        let threads = (0..self.connections).map(|number| {
            let (load, stop) = (self.clone(), Arc::clone(&stop));
            std::thread::spawn(move || load.ask_until(&stop, begin, number))
        });
        let threads = threads.collect();
        Underway { stop, threads }
    }

    fn ask_until(&self, stop: &AtomicBool, begin: Instant, number: usize) -> Outcome {
        let mut outcome = Outcome::default();
        let step = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        // Those who ask at a pace begin one after the other.
        let mut due = begin + step.unwrap_or_default().mul_f64(number as f64 / self.connections as f64);
        let mut connection: Option<(Connection, u64)> = None;
        while !stop.load(Ordering::Relaxed) {
            if let Some(step) = step {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += step;
            }
            let (mut open, asked) = match connection.take() {
                Some(open) => open,
                None => match Connection::open(self.address) {
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
            match open.ask(&self.request) {
                Ok(reply) => {
                    let took = start.elapsed();
                    match reply.status {
                        200 => outcome.good.add(took),
                        429 | 503 => outcome.refused.add(took),
                        status => {
                            outcome.wrong += 1;
                            outcome.note(format!("{status}: {}", String::from_utf8_lossy(&reply.body)));
                        }
                    }
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
