//! The one place that reads the real clock.

use std::time::{Instant, SystemTime};

use modelyard_types::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the binary's clock is where the time is read")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[allow(clippy::disallowed_methods, reason = "the binary's clock is where the time is read")]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
