//! Where results go: text or JSON on standard output, failures on standard error.
//!
//! The only module that writes to the standard streams (progress bars aside).

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::{Exit, Failure};

/// The standard streams, and how to write on them.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    /// Output as the global flags ask for it.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether remarks on the way are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet || self.json
    }

    /// Prints one JSON object on a line, with `--json` only.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string(value).expect("our own result types serialize");
            write_stdout(&(text + "\n"));
        }
    }

    /// Prints a line of the result for people; nothing with `--json`.
    pub(crate) fn text(&mut self, text: impl AsRef<str>) {
        if !self.json {
            write_stdout(&format!("{}\n", text.as_ref()));
        }
    }

    /// Prints a piece of a line as soon as it is there; nothing with `--json`.
    pub(crate) fn piece(&mut self, text: &str) {
        if !self.json && !text.is_empty() {
            write_stdout(text);
        }
    }

    /// Prints a remark on the way; nothing with `--json` or `--quiet`.
    pub(crate) fn remark(&mut self, text: impl AsRef<str>) {
        if !self.is_quiet() {
            write_stdout(&format!("{}\n", text.as_ref()));
        }
    }

    /// Prints bytes as they are: a result that is a file of its own.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // A reader that went away (`| head`) is no failure of ours.
        let _ = io::stdout().write_all(bytes).and_then(|()| io::stdout().flush());
    }

    /// Prints a failure on standard error: `error:`, its causes and `hint:`, or one JSON object.
    pub(crate) fn print_failure(&mut self, failure: &Failure) {
        let text = if self.json {
            serde_json::to_string(&failure.as_json()).expect("our own result types serialize")
        } else {
            failure.to_string()
        };
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn write_stdout(text: &str) {
    let mut stdout = io::stdout();
    // A reader that went away (`| head`) is no failure of ours.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints what clap has to say (help and version included) and gives the exit code for it.
pub(crate) fn print_usage_error(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if asked_for_json() {
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").lines().next().unwrap_or("usage").to_owned();
        let failure = Failure::new(Exit::Usage, message).hint("see --help");
        Output::new(true, false).print_failure(&failure);
    } else {
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage as u8)
}

/// Whether the command line, although it could not be understood, has `--json` in it.
#[allow(clippy::disallowed_methods, reason = "the binary reads the command line")]
fn asked_for_json() -> bool {
    std::env::args().any(|argument| argument == "--json")
}
