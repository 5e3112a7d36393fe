//! What a command ends with when it cannot do its work: a message, its causes, a way out, an exit code.

use std::error::Error;
use std::fmt;

use modelyard_types::ErrorKind;
use serde::Serialize;

/// The exit codes, as `--help` and the reference page document them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The command line was not understood.
    Usage = 2,
    /// The project file, the data, a model file or a request was refused.
    BadInput = 3,
    /// A model was trained or scored, and a gate was missed.
    GateMissed = 4,
    /// A file, model, version or alias that was named is not there.
    NotFound = 5,
    /// The store is damaged, was written by a newer program, or refused the change.
    Store = 6,
    /// The port is in use, the disk is full, or something else that may work later.
    Unavailable = 7,
    /// Stopped by Ctrl-C or SIGTERM before the work was done.
    Interrupted = 130,
}

impl Exit {
    /// Every code but 0, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Failure,
        Self::Usage,
        Self::BadInput,
        Self::GateMissed,
        Self::NotFound,
        Self::Store,
        Self::Unavailable,
        Self::Interrupted,
    ];

    /// One line for the table of exit codes.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Failure => "failed, for a reason without a code of its own",
            Self::Usage => "the command line was not understood",
            Self::BadInput => "the project file, the data or a model file was refused",
            Self::GateMissed => "a gate was missed: nothing was promoted",
            Self::NotFound => "a file, model, version or alias is not there",
            Self::Store => "the store is damaged, newer than this program, or refused the change",
            Self::Unavailable => "the port is in use, the disk is full, or the like: may work later",
            Self::Interrupted => "stopped by Ctrl-C or SIGTERM before the work was done",
        }
    }

    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
            | ErrorKind::AlreadyExists => Self::BadInput,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::FailedPrecondition | ErrorKind::DataCorrupt => Self::Store,
            ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded | ErrorKind::Unavailable => {
                Self::Unavailable
            }
            ErrorKind::Cancelled => Self::Interrupted,
            _ => Self::Failure,
        }
    }
}

/// The table of exit codes, as text.
pub(crate) fn exit_code_table() -> String {
    let mut text = String::from("  0    done\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:<4} {}\n", exit as u8, exit.meaning()));
    }
    text
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The message and its causes, outermost first.
    chain: Vec<String>,
    /// What to do about it, where that is known.
    hint: Option<String>,
}

/// A failure as `--json` prints it on standard error.
#[derive(Serialize)]
pub(crate) struct FailureJson<'a> {
    error: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
    exit_code: u8,
}

impl Failure {
    /// A failure of the binary's own making.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, chain: vec![message.into()], hint: None }
    }

    /// A failure that a crate below reported, with its causes.
    pub(crate) fn from_error(kind: ErrorKind, hint: Option<String>, error: &dyn Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Many libraries repeat their cause in their own message.
            if !chain.last().is_some_and(|said| said.contains(&text)) {
                chain.push(text);
            }
            source = cause.source();
        }
        Self { exit: Exit::of(kind), chain, hint }
    }

    /// A file that could not be read or written.
    pub(crate) fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Exit::Unavailable,
            std::io::ErrorKind::InvalidData => Exit::BadInput,
            _ => Exit::Failure,
        };
        Self::new(exit, doing.to_string()).caused_by(error)
    }

    /// The same failure, with what was behind it.
    pub(crate) fn caused_by(mut self, cause: &dyn Error) -> Self {
        self.chain.push(cause.to_string());
        self
    }

    /// The same failure, with a way out.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure seen from one step further out.
    pub(crate) fn context(mut self, message: impl Into<String>) -> Self {
        self.chain.insert(0, message.into());
        self
    }

    /// The message and its causes in one line.
    pub(crate) fn message(&self) -> String {
        self.chain.join(": ")
    }

    /// The failure as one JSON object.
    pub(crate) fn as_json(&self) -> FailureJson<'_> {
        FailureJson {
            error: &self.chain[0],
            causes: &self.chain[1..],
            hint: self.hint.as_deref(),
            exit_code: self.exit as u8,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.chain[0])?;
        for cause in &self.chain[1..] {
            write!(f, "\n  caused by: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {}", hint.replace('\n', "\n      "))?;
        }
        Ok(())
    }
}

/// Errors of the crates below become failures with their own kind and hint.
macro_rules! from_errors {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::from_error(error.kind(), error.hint().map(Into::into), &error)
            }
        })*
    };
}

impl From<modelyard_registry::RegistryError> for Failure {
    fn from(error: modelyard_registry::RegistryError) -> Self {
        let mut failure = Self::from_error(error.kind(), error.hint(), &error);
        if matches!(error, modelyard_registry::RegistryError::GatesMissed { .. }) {
            failure.exit = Exit::GateMissed;
        }
        failure
    }
}

from_errors!(
    modelyard_runtime::RuntimeError,
    modelyard_data::DataError,
    modelyard_train::ProjectError,
    modelyard_train::TrainError,
    modelyard_serve::ServeError,
    modelyard_api::ApiError,
    modelyard_client::ClientError,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_its_causes_and_the_way_out() {
        let failure = Failure::new(Exit::BadInput, "cannot read the data")
            .context("cannot train digits")
            .hint("look here\nand there");
        assert_eq!(
            failure.to_string(),
            "error: cannot train digits\n  caused by: cannot read the data\nhint: look here\n      and there"
        );
        let json = serde_json::to_value(failure.as_json()).expect("serializes");
        assert_eq!(json["exit_code"], 3);
        assert_eq!(json["causes"][0], "cannot read the data");
    }

    #[test]
    fn the_table_names_every_code_once() {
        let table = exit_code_table();
        for code in ["0", "1", "2", "3", "4", "5", "6", "7", "130"] {
            assert_eq!(table.lines().filter(|l| l.split_whitespace().next() == Some(code)).count(), 1);
        }
    }
}
