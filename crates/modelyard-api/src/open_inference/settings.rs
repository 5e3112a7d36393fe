//! The trace and logging extensions: which calls are traced and which lines of the log are written, told to
//! whoever asks and changed where the server allows that. What does not exist here is refused by name.
//!
//! Sources: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_trace.md` and
//! `extension_logging.md`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Request;
use modelyard_types::ErrorKind;
use serde::{Deserialize, Serialize};

use super::repository::read;
use crate::error::Failure;
use crate::router::Service;
use crate::routes::{About, Content, Routes};
use crate::watch::{BATCH_MAX, Change, LogLevels, LogSettings, TraceChange, TraceView};

/// Of what changes settings.
const CHANGE: &[u16] = &[400, 403, 404, 408, 413, 415];
/// The only form of time that the log has, by Triton's name.
const LOG_FORMAT: &str = "ISO8601";
/// The level of verbosity beyond which there is nothing more.
const VERBOSE_LEVEL_MAX: u32 = 2;

/// Trace settings as a client gives them: no text takes back what was set before.
pub(super) type TraceGiven = BTreeMap<String, Vec<String>>;
/// Log settings as a client gives them.
pub(super) type LogGiven = BTreeMap<String, LogValue>;

/// A log setting's value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum LogValue {
    Truth(bool),
    Number(u32),
    Text(String),
    Other(serde::de::IgnoredAny),
}

/// The trace settings in force, by Triton's names.
#[derive(Serialize)]
pub(super) struct TraceTold {
    pub(super) trace_level: [&'static str; 1],
    pub(super) trace_rate: String,
    pub(super) trace_count: String,
    pub(super) log_frequency: String,
    pub(super) trace_mode: &'static str,
}

/// The log settings in force, by Triton's names.
#[derive(Serialize)]
pub(super) struct LogTold {
    /// Empty: the log goes to standard error.
    pub(super) log_file: &'static str,
    pub(super) log_info: bool,
    pub(super) log_warning: bool,
    pub(super) log_error: bool,
    pub(super) log_verbose_level: u32,
    pub(super) log_format: &'static str,
}

/// A trace setting's value in JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum TraceValue {
    Nothing(()),
    Number(i64),
    Text(String),
    Texts(Vec<String>),
}

impl TraceValue {
    fn into_texts(self) -> Vec<String> {
        match self {
            Self::Nothing(()) => Vec::new(),
            Self::Number(number) => vec![number.to_string()],
            Self::Text(text) => vec![text],
            Self::Texts(texts) => texts,
        }
    }
}

/// The routes of both extensions.
pub(super) fn routes() -> Routes {
    let told = |summary, schema, refuses| About {
        summary,
        takes: Content::Nothing,
        gives: Content::Json(schema),
        refuses,
    };
    let changed = |summary, takes, gives| About {
        summary,
        takes: Content::JsonOrNothing(takes),
        gives: Content::Json(gives),
        refuses: CHANGE,
    };
    let (all, one) = ("/v2/trace/setting", "/v2/models/{model}/trace/setting");
    let traced = |summary| changed(summary, "TraceChange", "TraceSettings");
    Routes::new()
        .get(all, trace, told("Which calls are traced.", "TraceSettings", &[]))
        .post(all, set_trace, traced("Changes which calls are traced."))
        .get(one, model_trace, told("Which calls of a model are traced.", "TraceSettings", &[404]))
        .post(one, set_model_trace, traced("Changes which calls of a model are traced."))
        .get("/v2/logging", log, told("Which lines of the log are written.", "LogSettings", &[]))
        .post("/v2/logging", set_log, changed("Changes which lines are written.", "LogChange", "LogSettings"))
}

async fn trace(State(service): State<Service>) -> Result<Json<TraceTold>, Failure> {
    trace_settings(&service, None, &TraceGiven::new()).map(Json)
}

async fn model_trace(
    State(service): State<Service>,
    Path(model): Path<String>,
) -> Result<Json<TraceTold>, Failure> {
    trace_settings(&service, Some(&model), &TraceGiven::new()).map(Json)
}

async fn set_trace(
    State(service): State<Service>,
    request: Request<Body>,
) -> Result<Json<TraceTold>, Failure> {
    let given = read_trace(&service, request).await?;
    trace_settings(&service, None, &given).map(Json)
}

async fn set_model_trace(
    State(service): State<Service>,
    Path(model): Path<String>,
    request: Request<Body>,
) -> Result<Json<TraceTold>, Failure> {
    let given = read_trace(&service, request).await?;
    trace_settings(&service, Some(&model), &given).map(Json)
}

async fn read_trace(service: &Service, request: Request<Body>) -> Result<TraceGiven, Failure> {
    let given: BTreeMap<String, TraceValue> = read(service, request).await?;
    Ok(given.into_iter().map(|(name, value)| (name, value.into_texts())).collect())
}

async fn log(State(service): State<Service>) -> Result<Json<LogTold>, Failure> {
    log_settings(&service, &LogGiven::new()).map(Json)
}

async fn set_log(State(service): State<Service>, request: Request<Body>) -> Result<Json<LogTold>, Failure> {
    let given = read(&service, request).await?;
    log_settings(&service, &given).map(Json)
}

/// Changes the trace settings of a model, or of all, where any are given, and tells those in force then.
///
/// # Errors
/// A model that is not served, a server that lets nobody change them, a setting that does not exist here, or
/// a value that it cannot have. Nothing is changed then.
pub(super) fn trace_settings(
    service: &Service,
    model: Option<&str>,
    given: &TraceGiven,
) -> Result<TraceTold, Failure> {
    if let Some(model) = model {
        service.server.model(model)?;
    }
    let traces = service.config.traces.as_deref();
    if !given.is_empty() {
        allow(service, "traced")?;
        let change = trace_change(given, model.is_some())?;
        let traces = traces.ok_or_else(|| {
            Failure::invalid("this server sends no traces")
                .with_hint("start it with --otlp-endpoint to name a collector")
        })?;
        traces.change(model, change);
        tracing::info!(model, ?change, "a client changed the trace settings");
    }
    let nothing = TraceView { on: false, rate: 0, left: None, frequency: 0 };
    Ok(traces.map_or(nothing, |traces| traces.view(model)).into())
}

/// Changes the log settings where any are given, and tells those in force then.
///
/// # Errors
/// As [`trace_settings`].
pub(super) fn log_settings(service: &Service, given: &LogGiven) -> Result<LogTold, Failure> {
    let log = service.config.log.as_deref();
    if !given.is_empty() {
        allow(service, "logged")?;
        let log = log.ok_or_else(|| Failure::invalid("this server's log cannot be changed"))?;
        let levels = log_change(log.levels(), given)?;
        log.set(levels);
        tracing::info!(?levels, "a client changed the log settings");
    }
    let silent = LogLevels { info: false, warning: false, error: false, verbose_level: 0 };
    Ok(log.map_or(silent, LogSettings::levels).into())
}

fn allow(service: &Service, what: &str) -> Result<(), Failure> {
    if service.config.telemetry_control {
        return Ok(());
    }
    let message = format!("this server lets no client change what is {what}");
    Err(Failure::new(ErrorKind::PermissionDenied, message).with_hint("start it with --telemetry-control"))
}

fn trace_change(given: &TraceGiven, of_model: bool) -> Result<TraceChange, Failure> {
    let mut change = TraceChange::default();
    for (name, texts) in given {
        match name.as_str() {
            "trace_level" => change.on = levels(texts)?,
            "trace_rate" => {
                let number = number(name, texts, 0, u32::MAX.into())?;
                change.rate = number.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
            }
            "trace_count" => {
                change.count = number(name, texts, -1, i64::MAX)?.map(|count| u64::try_from(count).ok());
            }
            "log_frequency" if of_model => {
                return Err(Failure::invalid(
                    "log_frequency cannot be set for one model: all share a message",
                )
                .with_hint("set it for all models, at /v2/trace/setting"));
            }
            "log_frequency" => {
                let number = number(name, texts, 0, BATCH_MAX as i64)?;
                change.frequency = number.map(|calls| usize::try_from(calls).unwrap_or(BATCH_MAX));
            }
            "trace_file" | "trace_mode" => {
                return Err(Failure::invalid(format!("{name} cannot be set: traces go to a collector only"))
                    .with_hint("it is named when the server starts, by --otlp-endpoint"));
            }
            other => return Err(unknown(other, "trace_level, trace_rate, trace_count and log_frequency")),
        }
    }
    Ok(change)
}

fn levels(texts: &[String]) -> Result<Change<bool>, Failure> {
    let mut change = Change::Clear;
    for text in texts {
        let on = match text.as_str() {
            "OFF" => false,
            "TIMESTAMPS" => true,
            "TENSORS" => {
                return Err(Failure::invalid(
                    "the trace_level TENSORS is not known here: what is sent and answered is never written",
                )
                .with_hint("OFF and TIMESTAMPS are"));
            }
            other => {
                let message = format!("the trace_level {:?} is not known", cut(other));
                return Err(Failure::invalid(message).with_hint("OFF and TIMESTAMPS are"));
            }
        };
        change = Change::Set(on || change == Change::Set(true));
    }
    Ok(change)
}

fn number(name: &str, texts: &[String], least: i64, most: i64) -> Result<Change<i64>, Failure> {
    let [text] = texts else {
        return match texts {
            [] => Ok(Change::Clear),
            _ => Err(Failure::invalid(format!("{name} has {} values, it takes one", texts.len()))),
        };
    };
    let fits = text.parse().ok().filter(|number| (least..=most).contains(number));
    fits.map(Change::Set).ok_or_else(|| {
        Failure::invalid(format!("{name} is {:?}, no whole number from {least} to {most}", cut(text)))
    })
}

fn log_change(mut levels: LogLevels, given: &LogGiven) -> Result<LogLevels, Failure> {
    for (name, value) in given {
        let truth = || match value {
            LogValue::Truth(truth) => Ok(*truth),
            _ => Err(Failure::invalid(format!("{name} is neither true nor false"))),
        };
        match name.as_str() {
            "log_info" => levels.info = truth()?,
            "log_warning" => levels.warning = truth()?,
            "log_error" => levels.error = truth()?,
            "log_verbose_level" => {
                let LogValue::Number(level) = value else {
                    return Err(Failure::invalid(format!("{name} is no whole number from 0 up")));
                };
                levels.verbose_level = VERBOSE_LEVEL_MAX.min(*level);
            }
            "log_file" if *value == LogValue::Text(String::new()) => {}
            "log_file" => {
                return Err(Failure::invalid("log_file cannot be set: the log goes to standard error")
                    .with_hint("lead it to a file where the server is started"));
            }
            "log_format" if *value == LogValue::Text(LOG_FORMAT.to_owned()) => {}
            "log_format" => {
                return Err(Failure::invalid(format!("log_format cannot be set: it is always {LOG_FORMAT}")));
            }
            other => {
                let known = "log_info, log_warning, log_error and log_verbose_level";
                return Err(unknown(other, known));
            }
        }
    }
    Ok(levels)
}

fn unknown(name: &str, known: &str) -> Failure {
    Failure::invalid(format!("there is no setting {:?} here", cut(name)))
        .with_hint(format!("there are {known}"))
}

/// A text from outside, short enough to be told.
fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

impl From<TraceView> for TraceTold {
    fn from(view: TraceView) -> Self {
        Self {
            trace_level: [if view.on { "TIMESTAMPS" } else { "OFF" }],
            trace_rate: view.rate.to_string(),
            trace_count: view.left.map_or_else(|| "-1".to_owned(), |left| left.to_string()),
            log_frequency: view.frequency.to_string(),
            trace_mode: "opentelemetry",
        }
    }
}

impl From<LogLevels> for LogTold {
    fn from(levels: LogLevels) -> Self {
        let LogLevels { info, warning, error, verbose_level } = levels;
        Self {
            log_file: "",
            log_info: info,
            log_warning: warning,
            log_error: error,
            log_verbose_level: verbose_level,
            log_format: LOG_FORMAT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, texts: &[&str]) -> TraceGiven {
        BTreeMap::from([(name.to_owned(), texts.iter().map(|&text| text.to_owned()).collect())])
    }

    #[test]
    fn settings_are_read_by_tritons_names() {
        let mut all = given("trace_level", &["TIMESTAMPS"]);
        all.extend(given("trace_rate", &["100"]));
        all.extend(given("trace_count", &["-1"]));
        all.extend(given("log_frequency", &[]));
        let want = TraceChange {
            on: Change::Set(true),
            rate: Change::Set(100),
            count: Change::Set(None),
            frequency: Change::Clear,
        };
        assert_eq!(trace_change(&all, false), Ok(want));
    }

    #[test]
    fn what_does_not_exist_here_is_refused_by_name() {
        for (name, text, of_model, want) in [
            ("trace_level", "TENSORS", false, "TENSORS is not known here"),
            ("trace_level", "MAX", false, "\"MAX\" is not known"),
            ("trace_rate", "-3", false, "trace_rate is \"-3\", no whole number from 0"),
            ("trace_count", "-2", false, "from -1"),
            ("log_frequency", "513", false, "to 512"),
            ("log_frequency", "5", true, "cannot be set for one model"),
            ("trace_file", "/tmp/x", false, "trace_file cannot be set"),
            ("colour", "red", false, "no setting \"colour\""),
        ] {
            let failure = trace_change(&given(name, &[text]), of_model).expect_err(want);
            assert!(failure.message().contains(want), "{}", failure.message());
        }
        let two = trace_change(&given("trace_rate", &["1", "2"]), false).expect_err("two values");
        assert_eq!(two.message(), "trace_rate has 2 values, it takes one");
    }

    #[test]
    fn log_levels_are_changed_together_or_not_at_all() {
        let before = LogLevels { info: false, warning: true, error: true, verbose_level: 0 };
        let read = |json: &str| {
            let given: LogGiven = serde_json::from_str(json).expect("a JSON object");
            log_change(before, &given)
        };
        let after = LogLevels { info: true, verbose_level: 2, ..before };
        assert_eq!(read(r#"{"log_info": true, "log_verbose_level": 9, "log_format": "ISO8601"}"#), Ok(after));
        for (json, want) in [
            (r#"{"log_info": "yes"}"#, "log_info is neither true nor false"),
            (r#"{"log_verbose_level": -1}"#, "no whole number"),
            (r#"{"log_file": "x.log"}"#, "log_file cannot be set"),
            (r#"{"log_format": "default"}"#, "always ISO8601"),
            (r#"{"log_error": null}"#, "neither true nor false"),
            (r#"{"log_colour": true}"#, "no setting \"log_colour\""),
        ] {
            let failure = read(json).expect_err(want);
            assert!(failure.message().contains(want), "{}", failure.message());
        }
    }
}
