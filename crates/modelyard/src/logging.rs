//! Logs: structured lines on standard error, filtered by `--log`, or as a client of the server wants it.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use modelyard_api::{LogLevels, LogSettings};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::failure::{Exit, Failure};

type AnyFilter = Box<dyn Filter<Registry> + Send + Sync>;

/// The filter of this process, to be exchanged, and the levels that it began with.
static CHOSEN: OnceLock<(reload::Handle<AnyFilter, Registry>, LogLevels)> = OnceLock::new();

/// Starts logging with a filter such as `warn` or `modelyard_serve=debug,info`.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log {filter:?} is no log filter: {error}"))
            .hint("use error, warn, info, debug or trace, or a list such as modelyard_serve=debug,warn")
    })?;
    let levels = levels(filter.max_level_hint().unwrap_or(LevelFilter::TRACE));
    let (filter, handle) = reload::Layer::new(Box::new(filter) as AnyFilter);
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    // Logging is started once; a second start would have failed in the line above.
    let _ = CHOSEN.set((handle, levels));
    Ok(())
}

/// The settings for a server's clients; none before logging was started.
pub(crate) fn settings() -> Option<LogSettings> {
    let (handle, levels) = CHOSEN.get()?;
    let apply = |levels| {
        let filter = Box::new(filter_fn(move |line| is_wanted(levels, line)));
        if let Err(error) = handle.reload(filter as AnyFilter) {
            tracing::error!(%error, "the log's filter cannot be exchanged");
        }
    };
    Some(LogSettings::new(*levels, apply))
}

/// Lines of other crates are written from warnings on, where warnings are.
fn is_wanted(levels: LogLevels, line: &Metadata<'_>) -> bool {
    let own = line.target().starts_with("modelyard");
    match *line.level() {
        Level::ERROR => levels.error,
        Level::WARN => levels.warning,
        Level::INFO => own && levels.info,
        Level::DEBUG => own && levels.verbose_level >= 1,
        Level::TRACE => own && levels.verbose_level >= 2,
    }
}

/// The levels of a filter that lets pass what is as grave as this, or graver.
fn levels(most: LevelFilter) -> LogLevels {
    LogLevels {
        info: most >= LevelFilter::INFO,
        warning: most >= LevelFilter::WARN,
        error: most >= LevelFilter::ERROR,
        verbose_level: u32::from(most >= LevelFilter::DEBUG) + u32::from(most >= LevelFilter::TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filters_level_is_told_in_switches() {
        let info = LogLevels { info: true, warning: true, error: true, verbose_level: 0 };
        assert_eq!(levels(LevelFilter::INFO), info);
        assert_eq!(levels(LevelFilter::TRACE), LogLevels { verbose_level: 2, ..info });
        let nothing = LogLevels { info: false, warning: false, error: false, verbose_level: 0 };
        assert_eq!(levels(LevelFilter::OFF), nothing);
    }
}
