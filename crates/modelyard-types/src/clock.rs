//! Time as a value that is handed in: only the binary owns a real clock, so everything below it can be
//! tested and simulated without waiting.

use std::time::{Instant, SystemTime};

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// A monotonic instant, for measuring and for deadlines.
    fn now(&self) -> Instant;
    /// The calendar time, for records that people read.
    fn wall(&self) -> SystemTime;
}
