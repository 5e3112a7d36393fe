//! A Triton model configuration as a client sends it with the order to load: the fields of `config.pbtxt` as JSON.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_model_repository.md`.

use serde_json::Value as Json;

use super::config::{self, TritonConfig};
use super::fields::Refusal;
use super::text::{Field, Value};
use crate::error::ServeError;
use crate::settings::ModelSettings;

/// Messages in messages.
const DEPTH_MAX: usize = 16;
const HINT: &str = "send what a config.pbtxt may say, as in {\"max_batch_size\": 16}; \
    models and their files come from the store or folder that is served";

/// How a client wants a model to be served, by the fields of a `config.pbtxt` as JSON. Safe on any text.
///
/// # Errors
/// [`ServeError::BadOverride`] for what is no JSON, and for the first field that is not known or not supported.
pub fn read_config_override(model: &str, json: &str) -> Result<ModelSettings, ServeError> {
    let refused = |what: String, hint: Option<String>| ServeError::BadOverride {
        what,
        hint: hint.unwrap_or_else(|| HINT.to_owned()),
    };
    let parsed =
        serde_json::from_str(json).map_err(|error| refused(format!("it is no JSON: {error}"), None))?;
    let Json::Object(object) = parsed else {
        return Err(refused("it is no object of fields".to_owned(), None));
    };
    let mut fields = Vec::new();
    for (name, value) in &object {
        put(&mut fields, name, value, 0);
    }
    let refuse = |refusal: Refusal| refused(refusal.what, refusal.hint);
    let read = config::read(&fields).map_err(refuse)?;
    match read {
        TritonConfig { name: Some((name, _)), .. } if name != model => {
            Err(refused(format!("it is of the model {name:?}"), None))
        }
        TritonConfig { network: Some(_), .. } => Err(refused("it names another file".to_owned(), None)),
        TritonConfig { label_files, .. } if !label_files.is_empty() => {
            Err(refused("it names files with labels".to_owned(), None))
        }
        TritonConfig { warmups, .. } if !warmups.is_empty() => {
            let hint = "put model_warmup into the config.pbtxt beside the model";
            Err(refused(
                "model_warmup is not supported in an order to load".to_owned(),
                Some(hint.to_owned()),
            ))
        }
        TritonConfig { mut settings, .. } => {
            // A file without it asks for batches of one; an order says nothing of what it leaves out.
            if !object.contains_key("max_batch_size") {
                (settings.batch_size_max, settings.request_rows_max) = (None, None);
            }
            Ok(settings)
        }
    }
}

/// Adds a field; a list is as many fields of one name, and a map as many entries of key and value.
fn put(fields: &mut Vec<Field>, name: &str, json: &Json, depth: usize) {
    let value = match json {
        Json::Null => return,
        Json::Array(items) => return items.iter().for_each(|item| put(fields, name, item, depth)),
        // What lies deeper than any configuration is left out, and what it belongs to refused as empty.
        Json::Object(_) if depth == DEPTH_MAX => return,
        Json::Object(entries) if name == "parameters" => {
            for (key, value) in entries {
                let mut entry =
                    vec![Field { name: "key".to_owned(), line: 1, value: Value::Quoted(key.clone()) }];
                put(&mut entry, "value", value, depth + 1);
                fields.push(Field { name: name.to_owned(), line: 1, value: Value::Message(entry) });
            }
            return;
        }
        Json::Object(inner) => {
            let mut message = Vec::new();
            inner.iter().for_each(|(name, value)| put(&mut message, name, value, depth + 1));
            Value::Message(message)
        }
        Json::String(text) => Value::Quoted(text.clone()),
        Json::Number(number) => Value::Word(number.to_string()),
        Json::Bool(truth) => Value::Word(truth.to_string()),
    };
    fields.push(Field { name: name.to_owned(), line: 1, value });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stateful::{Flag, Tells};

    #[test]
    fn numbers_stand_bare_or_in_quotes() {
        let read = read_config_override(
            "m",
            r#"{"name": "m", "max_batch_size": "16", "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
                "dynamic_batching": {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": "500"},
                "parameters": {"intra_op_thread_count": {"string_value": "2"}}, "input": null}"#,
        )
        .expect("all of it is followed");
        assert_eq!((read.batch_size_max, read.sessions_max, read.threads), (Some(16), Some(2), Some(2)));
        assert_eq!(read.preferred_rows, Some(vec![4, 8]));
        assert_eq!(read.batch_delay, Some(Duration::from_micros(500)));
    }

    #[test]
    fn sequences_are_ordered_as_in_a_file() {
        let read = read_config_override(
            "m",
            r#"{"max_batch_size": 8, "sequence_batching": {"oldest": {"max_candidate_sequences": 4},
                "control_input": [{"name": "START",
                    "control": [{"kind": "CONTROL_SEQUENCE_START", "fp32_false_true": [0, 1.5]}]}],
                "state": [{"input_name": "a", "output_name": "b", "data_type": "TYPE_FP32", "dims": ["2"]}]}}"#,
        );
        let sequences = read.expect("all of it is followed").sequences.expect("it is asked for");
        assert_eq!(sequences.controls[0].tells, Tells::Start(Flag::F32([0.0, 1.5])));
        assert_eq!((sequences.has_rows, &sequences.states[0].initial), (true, &vec![1, 2]));
    }

    #[test]
    fn what_is_left_out_stays_as_it_is() {
        let read =
            read_config_override("m", r#"{"instance_group": {"count": 2}}"#).expect("all of it is followed");
        assert_eq!((read.sessions_max, read.batch_size_max, read.request_rows_max), (Some(2), None, None));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_by_name() {
        let deep = format!("{}{}", r#"{"input":"#.repeat(100), "1".to_owned() + &"}".repeat(100));
        for (json, what) in [
            (r#""parameters": {"config": {{"max_batch_size": "16"}}}"#, "it is no JSON"),
            ("[]", "it is no object"),
            (r#"{"max_batch_size": -1}"#, "max_batch_size is -1"),
            (r#"{"sequence_batching": {"control_input": [{"name": "a"}]}}"#, "\"a\" has 0 controls"),
            (r#"{"colour": "red"}"#, "colour is no field"),
            (r#"{"name": "n"}"#, "of the model \"n\""),
            (r#"{"default_model_filename": "n.onnx"}"#, "another file"),
            (&*deep, "input is no field of input"),
        ] {
            let error = read_config_override("m", json).expect_err(json).to_string();
            assert!(error.contains(what), "{json}: {error}");
        }
    }
}
