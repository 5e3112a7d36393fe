//! Which lines of the log are written, as clients may change it while the server runs. The binary owns the
//! log; here only the wish is kept and handed on.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which lines are written, by Triton's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevels {
    /// Lines of the level info.
    pub info: bool,
    /// Lines of the level warn.
    pub warning: bool,
    /// Lines of the level error.
    pub error: bool,
    /// 0 for none beyond these, 1 for the level debug, 2 for the level trace, too.
    pub verbose_level: u32,
}

/// The levels in force, and how others are put in force.
pub struct LogSettings {
    levels: Mutex<LogLevels>,
    apply: Box<dyn Fn(LogLevels) + Send + Sync>,
}

impl LogSettings {
    /// Begins with these levels; `apply` puts others in force.
    pub fn new(levels: LogLevels, apply: impl Fn(LogLevels) + Send + Sync + 'static) -> Self {
        Self { levels: Mutex::new(levels), apply: Box::new(apply) }
    }

    /// The levels in force.
    pub(crate) fn levels(&self) -> LogLevels {
        *self.lock()
    }

    /// Puts others in force.
    pub(crate) fn set(&self, levels: LogLevels) {
        let mut own = self.lock();
        (self.apply)(levels);
        *own = levels;
    }

    fn lock(&self) -> MutexGuard<'_, LogLevels> {
        // Levels are copied whole, so a poisoned lock is as good as new.
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.levels().fmt(f)
    }
}
