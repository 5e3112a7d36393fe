//! A route at work: who gets the canary, who gets copied to the shadow, and when the canary is withdrawn.

mod agreement;
mod routed;
mod watch;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use modelyard_registry::document::{Guard, Route};
use modelyard_types::{ErrorKind, ModelName, Version};

use crate::error::ServeError;
use crate::telemetry::RolloutTelemetry;
use crate::version::ServedVersion;
use watch::{Breach, Part, Watch};

pub use routed::Routed;

/// The label by which a caller asks for the canary (`always`) or against it (`never`).
pub const CANARY_LABEL: &str = "x-modelyard-canary";

/// Most copies of one model's requests that are computed at once; what comes more is not copied.
const COPIES_MAX: usize = 64;
/// The golden ratio's fraction of 2^64: its multiples fill the range as evenly as anything can.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a caller says of itself by name, such as a request's headers.
pub type Labels<'l> = dyn Fn(&str) -> Option<String> + 'l;

/// A version with a share of the requests.
pub(crate) struct Arm {
    version: Arc<ServedVersion>,
    /// Of 1.
    share: f64,
    tolerance: Option<f64>,
}

/// The versions of a route in memory; none where it has none, or it cannot be loaded.
#[derive(Default)]
pub(crate) struct Arms {
    pub(crate) canary: Option<Result<Arc<ServedVersion>, String>>,
    pub(crate) shadow: Option<Arc<ServedVersion>>,
    /// The shadow that is not there.
    pub(crate) missing: Option<Version>,
}

/// One model's route at work.
pub(crate) struct Rollout {
    model: ModelName,
    change: u64,
    route: Route,
    canary: Option<Arm>,
    shadow: Option<Arm>,
    missing: Option<Version>,
    requests: AtomicU64,
    copied: AtomicU64,
    copies: AtomicUsize,
    watch: Mutex<Watch>,
    /// Why the canary gets no more requests.
    withdrawn: Mutex<Option<String>>,
    telemetry: RolloutTelemetry,
}

impl Rollout {
    /// A route with its versions loaded.
    pub(crate) fn new(
        model: &ModelName,
        change: u64,
        route: Route,
        arms: Arms,
        telemetry: RolloutTelemetry,
    ) -> Self {
        let guard = route.canary.as_ref().map(|canary| canary.guard.clone()).unwrap_or_default();
        let (canary, withdrawn) = match arms.canary {
            Some(Ok(version)) => (Some(version), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        let canary = canary.zip(route.canary.as_ref()).map(|(version, canary)| Arm {
            version,
            share: canary.percent / 100.0,
            tolerance: guard.tolerance,
        });
        let shadow = arms.shadow.zip(route.shadow.as_ref()).map(|(version, shadow)| Arm {
            version,
            share: shadow.percent / 100.0,
            tolerance: shadow.tolerance,
        });
        Self {
            model: model.clone(),
            change,
            canary,
            shadow,
            missing: arms.missing,
            requests: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            copies: AtomicUsize::new(0),
            watch: Mutex::new(Watch::new(guard)),
            withdrawn: Mutex::new(withdrawn),
            telemetry,
            route,
        }
    }

    /// The change that made the route.
    pub(crate) fn change(&self) -> u64 {
        self.change
    }

    /// Every version that it keeps in memory.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Arc<ServedVersion>> {
        self.canary.iter().chain(&self.shadow).map(|arm| &arm.version)
    }

    /// The shadow that was not there. (A canary that is not there is withdrawn.)
    pub(crate) fn missing(&self) -> Option<Version> {
        self.missing
    }

    /// Why the canary was withdrawn; none where it was not.
    pub(crate) fn withdrawn(&self) -> Option<String> {
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who answers a request that names no version, where `live` would by default.
    pub(crate) fn choose(self: &Arc<Self>, live: Arc<ServedVersion>, labels: &Labels<'_>) -> Routed {
        let canary = self.canary.as_ref().filter(|_| self.withdrawn().is_none());
        let chosen = canary.filter(|arm| self.takes(arm, labels));
        let Some(arm) = chosen else {
            let copy = self.shadow.as_ref().filter(|arm| next(&self.copied) < arm.share);
            let copy = copy.map(|arm| (Arc::clone(&arm.version), arm.tolerance));
            return Routed::watched(live, Part::Default, Arc::clone(self), copy);
        };
        let compares = self.guard().is_some_and(|guard| guard.disagreement_max.is_some());
        let copy = compares.then_some((live, arm.tolerance));
        Routed::watched(Arc::clone(&arm.version), Part::Canary, Arc::clone(self), copy)
    }

    fn takes(&self, arm: &Arm, labels: &Labels<'_>) -> bool {
        match labels(CANARY_LABEL).as_deref() {
            Some("always") => return true,
            Some("never") => return false,
            _ => {}
        }
        let sticky = self.route.canary.as_ref().and_then(|canary| canary.sticky.as_deref());
        let place = match sticky.and_then(labels) {
            Some(key) => place_of(self.model.as_str(), &key),
            None => next(&self.requests),
        };
        place < arm.share
    }

    fn is_canary(&self, version: &Arc<ServedVersion>) -> bool {
        self.canary.as_ref().is_some_and(|arm| Arc::ptr_eq(&arm.version, version))
    }

    fn guard(&self) -> Option<&Guard> {
        self.route.canary.as_ref().map(|canary| &canary.guard)
    }

    /// A request ended on one of both.
    fn ended(&self, now: Instant, part: Part, outcome: Result<Duration, ErrorKind>) {
        let took = match outcome {
            Ok(took) => Some(took),
            Err(kind) if is_own_fault(kind) => None,
            Err(_) => return,
        };
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.ended(now, part, took);
        if part == Part::Canary {
            self.judge(&mut watch, now);
        }
    }

    /// An answer was held against another version's, or the copy failed.
    fn compared(&self, now: Instant, version: &ServedVersion, outcome: Result<bool, ServeError>) {
        let is_canary = self.canary.as_ref().is_some_and(|arm| arm.version.version() == version.version());
        self.telemetry.compared(
            version.version(),
            match &outcome {
                Ok(true) => "same",
                Ok(false) => "different",
                Err(_) => "failed",
            },
        );
        if let Err(error) = &outcome {
            tracing::debug!(model = %self.model, version = version.version().get(), %error, "a copy failed");
        }
        if is_canary && let Ok(agreed) = outcome {
            let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.compared(now, agreed);
            self.judge(&mut watch, now);
        }
    }

    fn judge(&self, watch: &mut Watch, now: Instant) {
        let Some(breach) = watch.verdict(now) else { return };
        let mut withdrawn = self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner);
        if withdrawn.is_none() {
            self.withdraw(&mut withdrawn, &breach);
        }
    }

    fn withdraw(&self, withdrawn: &mut Option<String>, breach: &Breach) {
        let version = self.route.canary.as_ref().map(|canary| canary.version);
        let why = match version {
            Some(version) => format!("version {version} was withdrawn: {breach}"),
            None => breach.to_string(),
        };
        tracing::warn!(model = %self.model, why, "a canary gets no more requests");
        self.telemetry.withdrawn(breach.kind());
        *withdrawn = Some(why);
    }
}

/// Why a canary cannot take the place of the default version for a caller who does not know which one answers.
pub(crate) fn misfit(live: &ServedVersion, canary: &ServedVersion) -> Option<String> {
    let fields = |version: &ServedVersion| {
        let fields = version.fields()?.iter();
        Some(fields.map(|field| (field.name.clone(), field.kind)).collect::<Vec<_>>())
    };
    let alike = match (fields(live), fields(canary)) {
        (Some(live), Some(canary)) => live == canary,
        (None, None) => live.signature().inputs == canary.signature().inputs,
        _ => false,
    };
    let outputs = |version: &ServedVersion| {
        let names = version.signature().outputs.iter().map(|spec| spec.name.clone());
        names.collect::<Vec<_>>()
    };
    match () {
        () if !alike => Some("it takes other inputs than the default version".to_owned()),
        () if outputs(live) != outputs(canary) => {
            Some("it gives other outputs than the default version".to_owned())
        }
        () => None,
    }
}

/// Whether a failure is the version's and not the caller's.
fn is_own_fault(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::InvalidArgument
            | ErrorKind::NotFound
            | ErrorKind::TooLarge
            | ErrorKind::Cancelled
            | ErrorKind::PermissionDenied
    )
}

/// Places from 0 to 1 that are spread evenly, however few are asked for.
fn next(counter: &AtomicU64) -> f64 {
    unit(counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1).wrapping_mul(GOLDEN))
}

/// The place from 0 to 1 of a key, the same in every server and every run: FNV-1a, stirred once more because
/// its upper bits are weak for short keys.
fn place_of(model: &str, key: &str) -> f64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for byte in model.bytes().chain([0]).chain(key.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    unit(hash ^ (hash >> 33))
}

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_for_few_requests_and_many() {
        for percent in [0.0f64, 1.0, 5.0, 10.0, 33.0, 50.0, 99.0, 100.0] {
            for count in [100u32, 1000, 10_000] {
                let counter = AtomicU64::new(0);
                let taken = (0..count).filter(|_| next(&counter) < percent / 100.0).count() as f64;
                let want = f64::from(count) * percent / 100.0;
                assert!((taken - want).abs() <= 4.0, "{percent} % of {count}: {taken}");
            }
        }
    }

    #[test]
    fn a_key_stays_where_it_is_and_more_come_as_the_share_grows() {
        let places: Vec<f64> = (0..10_000).map(|user| place_of("digits", &format!("user-{user}"))).collect();
        for share in [0.05, 0.2, 0.5] {
            let taken = places.iter().filter(|&&place| place < share).count() as f64 / 10_000.0;
            assert!((taken - share).abs() < 0.015, "{taken} of {share}");
        }
        assert_eq!(place_of("digits", "anna"), place_of("digits", "anna"));
        assert_ne!(place_of("digits", "anna"), place_of("letters", "anna"), "models are split apart");
    }
}
