//! The parameters of a request to generate: to continue a text, `{"input": …, "parameters": {"temperature": 0.8}}`, or,
//! without a row, to draw samples, `{"parameters": {"count": 5, "seed": 1}}`.

use modelyard_serve::{Drawing, Generation, Sampling};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::wire::Envelope;
use crate::error::Failure;

/// Most tokens that one request may ask for.
const TOKENS_MAX: usize = 4096;
/// Most texts at which a continuation may stop.
const STOPS_MAX: usize = 16;
/// Most samples that one request may ask for.
const SAMPLES_MAX: usize = 1000;

/// What of the body matters here.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    seed: u64,
    max_tokens: Option<usize>,
    stop: Stop,
    stream: bool,
}

/// What is to be done with a text.
#[derive(Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) generation: Generation,
    /// Whether it is to be told as it comes.
    pub(super) streams: bool,
}

/// A body without rows that asks for samples.
#[derive(Deserialize)]
struct DrawingBody {
    parameters: DrawingParameters,
    instances: Option<IgnoredAny>,
    input: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DrawingParameters {
    count: usize,
    #[serde(default)]
    seed: u64,
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

impl Default for Stop {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// How the body wants texts to be continued.
///
/// # Errors
/// Parameters that are unknown, of another kind, or out of range.
pub(super) fn wish(body: &[u8]) -> Result<Wish, Failure> {
    let read = serde_json::from_slice::<Body>(body);
    let Parameters { temperature, top_k, top_p, seed, max_tokens, stop, stream } =
        read.map_err(|error| Failure::invalid(format!("the parameters cannot be used: {error}")))?.parameters;
    let usual = Generation::default();
    let tokens_max = max_tokens.unwrap_or(usual.tokens_max);
    if !(1..=TOKENS_MAX).contains(&tokens_max) {
        return Err(Failure::invalid(format!("max_tokens is from 1 to {TOKENS_MAX}, not {tokens_max}")));
    }
    let stop = match stop {
        Stop::One(text) => vec![text],
        Stop::Many(texts) if texts.len() <= STOPS_MAX => texts,
        Stop::Many(texts) => {
            let message = format!("stop takes at most {STOPS_MAX} texts, not {}", texts.len());
            return Err(Failure::invalid(message));
        }
    };
    let temperature = temperature.unwrap_or(usual.sampling.temperature);
    let generation = Generation { sampling: Sampling { temperature, top_k, top_p }, seed, tokens_max, stop };
    Ok(Wish { generation, streams: stream })
}

/// How the body wants samples to be drawn; none where it does not ask for any.
///
/// # Errors
/// Several samples where one answer is given, and more or fewer than may be.
pub(super) fn drawing(body: &[u8], envelope: Envelope) -> Result<Option<Drawing>, Failure> {
    let Ok(DrawingBody { parameters: DrawingParameters { count, seed }, instances: None, input: None }) =
        serde_json::from_slice(body)
    else {
        return Ok(None);
    };
    if envelope == Envelope::Input && count != 1 {
        let failure = Failure::invalid(format!("/predict gives one answer, and count is {count}"));
        return Err(failure.with_hint("ask /v1/models/<name>:predict for several samples"));
    }
    if !(1..=SAMPLES_MAX).contains(&count) {
        return Err(Failure::invalid(format!("count is from 1 to {SAMPLES_MAX}, not {count}")));
    }
    Ok(Some(Drawing { seed, count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_asked_for_without_rows() {
        let asked = |body: &str| drawing(body.as_bytes(), Envelope::Instances).ok().flatten();
        let want = Drawing { seed: 7, count: 3 };
        assert_eq!(asked(r#"{"parameters": {"count": 3, "seed": 7}}"#), Some(want));
        assert_eq!(asked(r#"{"parameters": {"count": 3}}"#), Some(Drawing { seed: 0, ..want }));
        for other in [
            r#"{"instances": [1], "parameters": {"count": 3}}"#,
            r#"{"parameters": {"seed": 3}}"#,
            r#"{"parameters": {"count": 3, "temperature": 1}}"#,
            "no JSON",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
        let one = drawing(br#"{"parameters": {"count": 2}}"#, Envelope::Input).expect_err("several");
        assert!(one.message().contains("count is 2"), "{}", one.message());
        for count in [0, 1001] {
            let body = format!(r#"{{"parameters": {{"count": {count}}}}}"#);
            let failure = drawing(body.as_bytes(), Envelope::Instances).expect_err("out of range");
            assert_eq!(failure.message(), format!("count is from 1 to 1000, not {count}"));
        }
    }

    #[test]
    fn parameters_are_read_and_those_left_out_are_the_usual_ones() {
        let usual = Wish { generation: Generation::default(), streams: false };
        assert_eq!(wish(br#"{"input": {"text": "a"}}"#).ok(), Some(usual));
        let body =
            br#"{"parameters": {"temperature": 0.5, "top_k": 9, "seed": 3, "max_tokens": 7, "stop": "x", "stream": true}}"#;
        let generation = Generation {
            sampling: Sampling { temperature: 0.5, top_k: Some(9), top_p: None },
            seed: 3,
            tokens_max: 7,
            stop: vec!["x".to_owned()],
        };
        assert_eq!(wish(body).ok(), Some(Wish { generation, streams: true }));
    }

    #[test]
    fn parameters_that_cannot_be_are_told() {
        for (body, want) in [
            (r#"{"parameters": {"max_tokens": 0}}"#, "max_tokens is from 1 to 4096, not 0"),
            (r#"{"parameters": {"max_tokens": 5000}}"#, "max_tokens is from 1 to 4096"),
            (
                r#"{"parameters": {"temprature": 1}}"#,
                "unknown field `temprature`, expected one of `temperature`",
            ),
            (r#"{"parameters": {"seed": -1}}"#, "the parameters cannot be used"),
        ] {
            let failure = wish(body.as_bytes()).expect_err(body);
            assert!(failure.message().contains(want), "{}", failure.message());
        }
    }
}
