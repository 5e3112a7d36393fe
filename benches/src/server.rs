//! `modelyard serve` as a child process on a port that the system chose, ended when it is dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::client::{Connection, get};
use crate::models::text;

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the binary over a store, and waits until it listens.
    ///
    /// # Errors
    /// Where it ends before.
    pub fn start(binary: &Path, store: &Path, options: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--store", &text(store)])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run the binary")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("it is piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line).context("the server ended before it listened")?;
        let address = told["address"].as_str().context("it tells its address")?.parse()?;
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The sum of a metric over all its labels; 0 where it is not there.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = Connection::open(self.address)?.ask(&get("/metrics"))?;
        let page = String::from_utf8(page.body)?;
        let value = |line: &str| -> Option<f64> {
            let rest = line.strip_prefix(name)?;
            let own = rest.starts_with('{') || rest.starts_with(' ');
            own.then(|| rest.rsplit(' ').next()?.parse().ok())?
        };
        Ok(page.lines().filter_map(value).sum())
    }

    /// Sends it SIGTERM, and goes on.
    ///
    /// # Errors
    /// Where `kill` cannot be run.
    pub fn terminate(&self) -> Result<()> {
        Command::new("kill").arg(self.process().to_string()).status().context("cannot run kill")?;
        Ok(())
    }

    /// Waits for its end, no longer than so long.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the server did not end in {} s", patience.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
