//! What to try, how long and how often.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use modelyard_bench::process::built_beside;

/// The command line, resolved.
pub(crate) struct Options {
    /// The program under trial.
    pub(crate) binary: PathBuf,
    only: Vec<String>,
    /// Minutes of the soak.
    pub(crate) minutes: f64,
    /// Version swaps under load.
    pub(crate) swaps: usize,
    /// Seconds of the overload.
    pub(crate) overload_seconds: f64,
    /// Clients that hang up.
    pub(crate) hang_ups: usize,
    /// Connections that are slow.
    pub(crate) slow: usize,
}

impl Options {
    /// The durations and numbers that steadiness is judged by.
    ///
    /// # Errors
    /// As [`built_beside`].
    fn full() -> Result<Self> {
        Ok(Self {
            binary: built_beside("modelyard")?,
            only: Vec::new(),
            minutes: 10.0,
            swaps: 200,
            overload_seconds: 120.0,
            hang_ups: 10_000,
            slow: 500,
        })
    }

    /// Reads the command line.
    ///
    /// # Errors
    /// An option or a trial that is not known, or a value that cannot be read.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>, trials: &[&str]) -> Result<Self> {
        let mut options = Self::full()?;
        while let Some(flag) = arguments.next() {
            if flag == "--quick" {
                let (binary, only) = (options.binary, options.only);
                let (minutes, swaps, overload_seconds, hang_ups, slow) = (0.25, 5, 10.0, 1000, 60);
                options = Self { binary, only, minutes, swaps, overload_seconds, hang_ups, slow };
                continue;
            }
            let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--binary" => options.binary = value.into(),
                "--only" => options.only = value.split(',').map(str::to_owned).collect(),
                "--minutes" => options.minutes = value.parse()?,
                "--swaps" => options.swaps = value.parse()?,
                "--overload-seconds" => options.overload_seconds = value.parse()?,
                "--hang-ups" => options.hang_ups = value.parse()?,
                "--slow" => options.slow = value.parse()?,
                _ => bail!("unknown option {flag}"),
            }
        }
        ensure!(options.binary.exists(), "{} is not built", options.binary.display());
        if let Some(unknown) = options.only.iter().find(|name| !trials.contains(&name.as_str())) {
            bail!("there is no trial {unknown}; there are {}", trials.join(", "));
        }
        Ok(options)
    }

    /// Whether a trial is to be run.
    pub(crate) fn wants(&self, trial: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == trial)
    }
}
