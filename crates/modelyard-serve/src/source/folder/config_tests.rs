//! Configurations as Triton's users write them, and every kind of refusal with its line.

use std::time::Duration;

use super::*;

#[test]
fn a_whole_configuration_is_followed() {
    let text = r#"
name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ { name: "x" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 1, 8, -1 ] } ]
output [ { name: "y" data_type: TYPE_STRING dims: [ 10 ] label_filename: "labels.txt" } ]
version_policy: { specific: { versions: [1, 3] } }
instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_AUTO } ]
dynamic_batching { preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 100 }
parameters { key: "intra_op_thread_count" value: { string_value: "3" } }
response_cache { enable: false }
model_warmup [ { name: "w" batch_size: 2 count: 3
  inputs { key: "x" value: { data_type: TYPE_FP32 dims: [1, 8, 2] random_data: true } } } ]
"#;
    let config = parse(text).expect("all of it is supported");
    assert_eq!(config.name, Some(("digits".to_owned(), 2)));
    assert_eq!(config.policy, VersionPolicy::Specific(BTreeSet::from([1, 3])));
    assert_eq!(config.label_files, [("y".to_owned(), "labels.txt".to_owned(), 6)]);
    let settings = &config.settings;
    assert_eq!((settings.sessions_max, settings.threads), (Some(3), Some(3)));
    assert_eq!((settings.batch_size_max, settings.request_rows_max), (Some(16), Some(16)));
    assert_eq!(settings.preferred_rows, Some(vec![4, 8]));
    assert_eq!(settings.batch_delay, Some(Duration::from_micros(100)));
    let declared = settings.declared.as_ref().expect("both sides");
    assert_eq!(declared.inputs[0].shape, [Dim::Any, Dim::Fixed(1), Dim::Fixed(8), Dim::Any]);
    assert_eq!(declared.outputs[0].data_type, DataType::Bytes);
    let warmups = config.warmups[0].requests();
    assert_eq!((warmups.len(), warmups[0][0].tensor.shape()), (3, [2, 1, 8, 2].as_slice()));
}

#[test]
fn without_rows_nothing_is_joined_and_shapes_stand_as_they_are() {
    let config = parse("backend: \"onnxruntime\" input { name: \"x\" dims: 3 }").expect("supported");
    assert_eq!((config.settings.batch_size_max, config.settings.request_rows_max), (Some(1), None));
    assert_eq!(config.settings.declared.expect("an input").inputs[0].shape, [Dim::Fixed(3)]);
    assert_eq!(config.policy, VersionPolicy::Latest(1));
    assert_eq!(parse("").expect("nothing is asked for").settings.declared, None);
}

#[track_caller]
fn refused(text: &str, line: usize, what: &str) {
    let refusal = parse(text).expect_err(text);
    assert_eq!(refusal.line, line, "{refusal:?}");
    assert!(refusal.what.contains(what), "{what:?} is not in {refusal:?}");
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_line() {
    refused("\nplatform: \"tensorrt_plan\"", 2, "platform \"tensorrt_plan\" is not supported");
    refused("backend: \"python\"", 1, "backend \"python\" is not supported");
    refused("platform: \"ensemble\"", 1, "\"ensemble\"");
    refused("\n\nensemble_scheduling { }", 3, "ensemble_scheduling is not supported");
    refused("instance_group [\n{ count: 1\n kind: KIND_GPU }]", 3, "kind KIND_GPU is not supported");
    refused("instance_group { gpus: [0] }", 1, "gpus is not supported");
    refused("optimization { }", 1, "optimization is not supported");
    refused("input { name: \"x\" dims: 1 reshape { shape: [1, 1] } }", 1, "reshape is not supported");
    refused("input { name: \"x\" allow_ragged_batch: true }", 1, "allow_ragged_batch is not supported");
    refused("input { name: \"x\" data_type: TYPE_BF16 }", 1, "TYPE_BF16 is not supported");
    refused("dynamic_batching { preserve_ordering: true }", 1, "preserve_ordering is not supported");
    refused("dynamic_batching { default_queue_policy { } }", 1, "default_queue_policy is not supported");
    refused("model_transaction_policy { decoupled: true }", 1, "decoupled is not supported");
    refused("parameters { key: \"x\" value { string_value: \"1\" } }", 1, "the parameter \"x\"");
    let file = "model_warmup { inputs { key: \"x\" value { input_data_file: \"raw\" } } }";
    refused(file, 1, "input_data_file is not supported");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    refused("max_batch_size: 8\nmax_batchsize: 8", 2, "max_batchsize is no field of a model configuration");
    refused("max_batch_size: -1", 1, "max_batch_size is -1, which is not a whole number from 0");
    refused("name: digits", 1, "name is digits, which is not a text in quotes");
    refused("input { dims: 1 }", 1, "this input has no name");
    refused("default_model_filename: \"../x\"", 1, "is not the name of a file");
    refused("output { name: \"y\" label_filename: \"/etc/passwd\" }", 1, "is not the name of a file");
    refused("version_policy { latest { num_versions: 0 } }", 1, "from 1 to");
    refused("dynamic_batching: 3", 1, "not a message in braces");
    let huge = "model_warmup { inputs { key: \"x\" value { dims: [100000, 100000] } } }";
    refused(huge, 1, "more than");
    refused("model_warmup { count: 1000 inputs { key: \"x\" value { dims: 99999 } } }", 1, "more than");
    refused("input {", 1, "ends inside a message");
}

#[test]
fn what_is_no_list_is_given_once() {
    let twice = "sequence_batching { direct { } }\nsequence_batching { max_sequence_idle_microseconds: 9 }";
    refused(twice, 2, "sequence_batching is given twice");
    refused("max_batch_size: 8\nmax_batch_size: 9", 2, "max_batch_size is given twice");
    refused("max_batch_size: [8,\n9]", 1, "max_batch_size is given twice");
    refused("input { name: \"x\"\nname: \"y\" }", 2, "name is given twice");
    refused("parameters { key: \"a\" key: \"b\" }", 1, "key is given twice");
    refused("version_policy { all { }\nspecific { } }", 2, "specific stands beside all");
    refused("sequence_batching { direct { }\noldest { } }", 2, "oldest stands beside direct");
    refused(
        "dynamic_batching { }\nsequence_batching { }",
        2,
        "sequence_batching stands beside dynamic_batching",
    );
    let both = "model_warmup { inputs { value { zero_data: true random_data: true } } }";
    refused(both, 1, "random_data stands beside zero_data");
    parse("instance_group { } instance_group { } input { name: \"x\" dims: 1 dims: 1 }").expect("lists");
}
