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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::settings::ModelSettings;
    use crate::source::SourceVersion;

    fn wanted(stamp: u64, threads: Option<usize>) -> Wanted {
        let source = SourceVersion { version: Version::FIRST, may_answer: true, stamp, bytes: 1 };
        let settings = Arc::new(ModelSettings { threads, ..ModelSettings::default() });
        Wanted { model: "m".parse().expect("a name"), source, settings }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary origin; the test does not depend on its value"
    )]
    fn what_failed_is_left_alone_until_it_changes_or_time_passes() {
        let (failures, now) = (Failures::default(), Instant::now());
        let what = "torn".to_owned();
        let torn = ServeError::BadVersion { model: wanted(1, None).model, version: Version::FIRST, what };
        failures.note(now, wanted(1, None), &torn);
        assert!(failures.check(now, &wanted(1, None)).is_err());
        assert!(failures.check(now, &wanted(2, None)).is_ok(), "other files");
        assert!(failures.check(now, &wanted(1, Some(2))).is_ok(), "another configuration");
        assert!(failures.check(now + LEFT_ALONE, &wanted(1, None)).is_ok(), "a moment later");
        failures.note(now, wanted(3, None), &ServeError::Draining);
        assert!(failures.check(now, &wanted(3, None)).is_ok(), "not the version's fault");
    }
}
