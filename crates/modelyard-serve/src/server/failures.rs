//! Versions that could not be loaded are left alone for a moment: every request that names one would have all its
//! files read again, in vain.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use modelyard_types::{ErrorKind, ModelName, Version};

use crate::error::ServeError;
use crate::version::Wanted;

/// How long a version is left alone after a request had it loaded in vain, while its files stay as they are.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// The versions that are left alone.
#[derive(Default)]
pub(super) struct Failures(Mutex<BTreeMap<(ModelName, Version), Failed>>);

struct Failed {
    wanted: Wanted,
    until: Instant,
    what: String,
    kind: ErrorKind,
    hint: Option<String>,
}

impl Failed {
    /// Whether the same files were to be served in the same way.
    fn is_of(&self, wanted: &Wanted) -> bool {
        self.wanted.source.stamp == wanted.source.stamp && self.wanted.settings == wanted.settings
    }
}

impl Failures {
    /// # Errors
    /// Why the version could not be loaded a moment ago.
    pub(super) fn check(&self, now: Instant, wanted: &Wanted) -> Result<(), ServeError> {
        let failures = self.lock();
        let known = failures.get(&(wanted.model.clone(), wanted.source.version));
        match known.filter(|failed| failed.until > now && failed.is_of(wanted)) {
            None => Ok(()),
            Some(Failed { until, what, kind, hint, .. }) => {
                let again = until.saturating_duration_since(now);
                Err(ServeError::LeftAlone { what: what.clone(), kind: *kind, hint: hint.clone(), again })
            }
        }
    }

    /// Notes why a version cannot be loaded, where that is the version's own fault.
    pub(super) fn note(&self, now: Instant, wanted: Wanted, error: &ServeError) {
        if !error.is_the_versions_own() {
            return;
        }
        let (what, kind, hint) = (error.to_string(), error.kind(), error.hint());
        let mut failures = self.lock();
        failures.retain(|_, failed| failed.until > now);
        let key = (wanted.model.clone(), wanted.source.version);
        failures.insert(key, Failed { wanted, until: now + LEFT_ALONE, what, kind, hint });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ModelName, Version), Failed>> {
        // The map is whole after every call, so a poisoned lock is as good as new.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
