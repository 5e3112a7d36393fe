//! Logs: structured lines on standard error, filtered by `--log`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::failure::{Exit, Failure};

/// Starts logging with a filter such as `warn` or `modelyard_serve=debug,info`.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log {filter:?} is no log filter: {error}"))
            .hint("use error, warn, info, debug or trace, or a list such as modelyard_serve=debug,warn")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
