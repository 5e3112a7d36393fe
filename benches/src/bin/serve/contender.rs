//! One server, what is asked of it, and what it did.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use modelyard_bench::client::{Connection, post_as};
use modelyard_bench::process::{cpu_seconds, memory_mb};

use crate::load::Tool;

/// How long a server may take to give its first right answer.
const START_MAX: Duration = Duration::from_secs(60);
/// Answers that differ by more than this are different.
const TOLERANCE: f64 = 1e-4;

/// One server and what is asked of it.
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// How it is started.
    pub(crate) command: Vec<String>,
    /// Where it listens then.
    pub(crate) address: SocketAddr,
    /// What is loaded with.
    pub(crate) tool: Tool,
    /// The path asked.
    pub(crate) path: &'static str,
    /// Header lines in full, each ended by CR LF.
    pub(crate) headers: String,
    /// The file that is posted.
    pub(crate) body: PathBuf,
    /// Reads the numbers of an answer.
    pub(crate) numbers: fn(&[u8]) -> Option<Vec<f64>>,
    /// What they must be; empty where there are none to compare.
    pub(crate) expected: Vec<f64>,
    /// How many ask at once.
    pub(crate) connections: Vec<usize>,
    /// Clock ticks of this system's process times in a second.
    pub(crate) ticks: f64,
}

/// What one server did at one number of connections in one round.
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) requests_per_s: f64,
    /// The latency that 99 of 100 did not pass, where the tool tells it.
    pub(crate) p99_ms: Option<f64>,
    /// Processor time of a request.
    pub(crate) cpu_us: f64,
    /// Proportional memory after the load.
    pub(crate) memory_mb: f64,
    /// From the start to the first right answer.
    pub(crate) cold_s: f64,
    /// Requests that failed.
    pub(crate) errors: u64,
}

/// All of it, by name and number of connections.
pub(crate) type Rows = BTreeMap<(&'static str, usize), Vec<Measured>>;

/// A server that is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Contender {
    /// Starts it, waits for its first right answer, and loads it.
    ///
    /// # Errors
    /// Where it does not start, or answers wrongly.
    pub(crate) fn measure(&self, seconds: u64, rows: &mut Rows) -> Result<()> {
        let start = Instant::now();
        let [program, arguments @ ..] = self.command.as_slice() else { bail!("no command") };
        let command = &mut Command::new(program);
        let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Running(child.with_context(|| format!("cannot start {program}"))?);
        self.await_first_answer(start)?;
        let cold_s = start.elapsed().as_secs_f64();
        let process = server.0.id();
        for &connections in &self.connections {
            self.tool.load(self, connections, 1)?;
            let before = cpu_seconds(process, self.ticks);
            let load = self.tool.load(self, connections, seconds)?;
            let used = cpu_seconds(process, self.ticks) - before;
            let measured = Measured {
                requests_per_s: load.requests / load.seconds,
                p99_ms: load.p99_ms,
                cpu_us: used * 1e6 / load.requests.max(1.0),
                memory_mb: memory_mb(process),
                cold_s,
                errors: load.errors,
            };
            self.print(connections, &measured);
            rows.entry((self.name, connections)).or_default().push(measured);
        }
        Ok(())
    }

    fn await_first_answer(&self, start: Instant) -> Result<()> {
        let answer = loop {
            match self.ask() {
                Some(answer) => break answer,
                None if start.elapsed() > START_MAX => bail!("{} gives no answer", self.name),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let alike = self.expected.is_empty()
            || self.expected.len() == answer.len()
                && self.expected.iter().zip(&answer).all(|(a, b)| (a - b).abs() < TOLERANCE);
        ensure!(alike, "{} answers {answer:?}, not {:?}", self.name, self.expected);
        Ok(())
    }

    /// The numbers of one answer; none where there is none yet, or not status 200.
    fn ask(&self) -> Option<Vec<f64>> {
        if self.tool != Tool::Wrk {
            // Its answers are compared by the clients' own tests; here it only has to listen.
            return Connection::open(self.address).ok().map(|_| self.expected.clone());
        }
        let body = fs::read(&self.body).ok()?;
        let request = post_as(self.path, &self.headers, &body);
        let reply = Connection::open(self.address).ok()?.ask(&request).ok()?;
        (reply.status == 200).then(|| (self.numbers)(&reply.body))?
    }

    fn print(&self, connections: usize, measured: &Measured) {
        let p99 = measured.p99_ms.map_or_else(|| "      -".to_owned(), |ms| format!("{ms:7.3}"));
        println!(
            "{:12} c{connections:<3} {:8.0} req/s  p99 {p99} ms  CPU {:6.1} us/req  {:4.0} MB  cold {:5.3} s  errors {}",
            self.name,
            measured.requests_per_s,
            measured.cpu_us,
            measured.memory_mb,
            measured.cold_s,
            measured.errors,
        );
    }
}
