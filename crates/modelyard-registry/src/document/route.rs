//! A route: which versions answer beside the default one, as it is kept in the registry's history.
//!
//! A request that names a version always gets that version; a route decides only over those that name none.

use modelyard_types::Version;
use serde::{Deserialize, Serialize};

use super::{DocumentError, read, write};

const NAME: &str = "a route";
const FORMAT_VERSION: u32 = 2;
/// The format of a route that leaves [`Route::live`] out, which older programs can read.
const FORMAT_VERSION_WITHOUT_LIVE: u32 = 1;
/// Longest name of a header whose value keeps a caller with one version, in bytes.
const HEADER_BYTES_MAX: usize = 64;
/// Longest time over which a canary is judged, in seconds.
const WINDOW_SECONDS_MAX: u64 = 3600;

/// Which versions answer beside the default one. The empty route leaves every request to the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The version that is the default one, for a model that has no alias `live` because it is not registered.
    /// Without it, the highest is.
    #[serde(with = "optional_number", skip_serializing_if = "Option::is_none")]
    pub live: Option<Version>,
    /// A version that answers a share of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// A version that gets a copy of requests, whose answers are compared and thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// A version that answers a share of the requests that name none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The version.
    #[serde(with = "number")]
    pub version: Version,
    /// Its share of the requests, 0 to 100. With 0, only callers that ask for the canary get it.
    pub percent: f64,
    /// The header whose value decides instead of chance, so that a caller always gets the same version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<String>,
    /// When it is withdrawn without being asked.
    #[serde(default)]
    pub guard: Guard,
}

/// The limits of a canary. Where one is passed, the canary is withdrawn and the default version answers all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Requests that the canary must have answered before it is judged, unless it cannot be loaded at all.
    pub requests_min: u64,
    /// What was seen longer ago than this, in seconds, is forgotten.
    pub window_seconds: u64,
    /// Most of its requests that may fail by its own fault, as a share of 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate_max: Option<f64>,
    /// How many times the default version's 95th percentile of latency its own may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ratio_max: Option<f64>,
    /// Most of its answers that may differ from the default version's, as a share of 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagreement_max: Option<f64>,
    /// As [`Shadow::tolerance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            requests_min: 20,
            window_seconds: 60,
            error_rate_max: Some(0.05),
            latency_ratio_max: None,
            disagreement_max: None,
            tolerance: None,
        }
    }
}

/// A version that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// The version.
    #[serde(with = "number")]
    pub version: Version,
    /// The share of the requests that are copied, 0 to 100.
    pub percent: f64,
    /// How far two numbers may be apart, relative to their size. Without it, rows of several numbers agree
    /// where the greatest stands in the same place, which is the decision of a classifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

impl Route {
    /// Whether every request is left to the default version.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a version gets requests, or copies of them, beside the default one.
    pub fn has_arms(&self) -> bool {
        self.canary.is_some() || self.shadow.is_some()
    }

    /// Every version that it names.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        let canary = self.canary.as_ref().map(|canary| canary.version);
        let shadow = self.shadow.as_ref().map(|shadow| shadow.version);
        self.live.into_iter().chain(canary).chain(shadow)
    }

    /// The route as JSON.
    pub fn to_json(&self) -> String {
        let format = if self.live.is_some() { FORMAT_VERSION } else { FORMAT_VERSION_WITHOUT_LIVE };
        write(format, self)
    }

    /// Reads what [`Route::to_json`] wrote.
    ///
    /// # Errors
    /// What is no route, or was written by a newer program.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DocumentError> {
        let route: Self = read(NAME, FORMAT_VERSION, bytes)?;
        route.check().map_err(|why| DocumentError::malformed(NAME, why))?;
        Ok(route)
    }

    /// What is wrong with its numbers and names, in a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(Canary { percent, sticky, guard, .. }) = &self.canary {
            share("the canary's percentage", *percent, 100.0)?;
            if let Some(header) = sticky.as_deref().filter(|header| !is_header(header)) {
                return Err(format!("{header:?} is not the name of a header"));
            }
            guard.check()?;
        }
        if let Some(live) = self.live.filter(|live| self.versions().skip(1).any(|other| other == *live)) {
            return Err(format!("version {live} would be live and stand beside the live one at once"));
        }
        if let Some(Shadow { percent, tolerance, .. }) = &self.shadow {
            share("the shadow's percentage", *percent, 100.0)?;
            share("the shadow's tolerance", tolerance.unwrap_or(0.0), f64::MAX)?;
        }
        Ok(())
    }
}

impl Guard {
    fn check(&self) -> Result<(), String> {
        if !(1..=WINDOW_SECONDS_MAX).contains(&self.window_seconds) {
            let got = self.window_seconds;
            return Err(format!("the window is {got} seconds, it must be from 1 to {WINDOW_SECONDS_MAX}"));
        }
        if self.requests_min == 0 {
            return Err("a canary cannot be judged before its first request".to_owned());
        }
        share("the greatest error rate", self.error_rate_max.unwrap_or(0.0), 1.0)?;
        share("the greatest disagreement", self.disagreement_max.unwrap_or(0.0), 1.0)?;
        share("the guard's tolerance", self.tolerance.unwrap_or(0.0), f64::MAX)?;
        match self.latency_ratio_max {
            Some(ratio) if !(ratio.is_finite() && ratio > 0.0) => {
                Err(format!("the greatest ratio of latencies is {ratio}, it must be above 0"))
            }
            _ => Ok(()),
        }
    }
}

fn share(what: &str, value: f64, max: f64) -> Result<(), String> {
    match (0.0..=max).contains(&value) {
        true => Ok(()),
        false if max == f64::MAX => Err(format!("{what} is {value}, it must be 0 or more")),
        false => Err(format!("{what} is {value}, it must be from 0 to {max}")),
    }
}

/// RFC 9110's tokens, which all names of headers are.
fn is_header(text: &str) -> bool {
    (1..=HEADER_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A version as a plain number.
mod number {
    use modelyard_types::Version;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(version.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        let number = u64::deserialize(deserializer)?;
        // SQLite's integers are signed.
        let fits = i64::try_from(number).is_ok();
        Version::new(number).filter(|_| fits).ok_or_else(|| D::Error::custom("it is no version"))
    }
}

/// A version as a plain number, or nothing.
mod optional_number {
    use modelyard_types::Version;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "super::number")] Version);

    pub(super) fn serialize<S: Serializer>(version: &Option<Version>, to: S) -> Result<S::Ok, S::Error> {
        version.map(Number).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Version>, D::Error> {
        Ok(Option::<Number>::deserialize(from)?.map(|Number(version)| version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(percent: f64) -> Route {
        let guard = Guard { disagreement_max: Some(0.1), ..Guard::default() };
        let canary = Canary { version: Version::FIRST, percent, sticky: Some("x-user".to_owned()), guard };
        let shadow = Shadow { version: Version::FIRST.next(), percent: 50.0, tolerance: Some(0.001) };
        Route { live: None, canary: Some(canary), shadow: Some(shadow) }
    }

    fn third_live() -> Route {
        Route { live: Version::new(3), ..canary(12.5) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for route in [Route::default(), canary(12.5), third_live()] {
            assert_eq!(Route::from_json(route.to_json().as_bytes()).expect("its own words"), route);
        }
    }

    #[test]
    fn only_what_older_programs_do_not_know_has_a_newer_format() {
        assert!(canary(12.5).to_json().contains("\"format_version\": 1"));
        assert!(third_live().to_json().contains("\"format_version\": 2"));
        let old = r#"{"format_version":1,"canary":{"version":2,"percent":5.0}}"#;
        let old = Route::from_json(old.as_bytes()).expect("as it was written once");
        assert_eq!((old.live, old.versions().count()), (None, 1));
    }

    #[test]
    fn numbers_and_names_that_make_no_sense_are_refused() {
        let with = |change: fn(&mut Canary)| {
            let mut route = canary(5.0);
            change(route.canary.as_mut().expect("it has one"));
            route.check().expect_err("it makes no sense")
        };
        assert_eq!(with(|c| c.percent = 101.0), "the canary's percentage is 101, it must be from 0 to 100");
        assert!(with(|c| c.percent = f64::NAN).contains("is NaN"));
        assert!(with(|c| c.sticky = Some("x user".to_owned())).contains("not the name of a header"));
        assert!(with(|c| c.guard.window_seconds = 0).contains("from 1 to 3600"));
        assert!(with(|c| c.guard.requests_min = 0).contains("before its first request"));
        assert!(with(|c| c.guard.error_rate_max = Some(2.0)).contains("from 0 to 1"));
        assert!(with(|c| c.guard.latency_ratio_max = Some(0.0)).contains("above 0"));
        assert!(with(|c| c.guard.tolerance = Some(-1.0)).contains("0 or more"));
        let twice = Route { live: Version::new(2), ..canary(5.0) }.check().expect_err("it makes no sense");
        assert_eq!(twice, "version 2 would be live and stand beside the live one at once");
        for bad in
            [r#"{"format_version":1,"canary":{"version":0,"percent":1}}"#, r#"{"format_version":1,"x":1}"#]
        {
            assert!(Route::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
