//! Golden pairs of the protocol, and bodies that must be refused.

use modelyard_types::{DataType, ErrorKind, NamedTensor, Tensor, TensorData};
use serde_json::json;

use super::wire::{DecodedRequest, decode_json, encode_response};

fn tensor(name: &str, shape: &[usize], data: impl Into<TensorData>) -> NamedTensor {
    NamedTensor { name: name.to_owned(), tensor: Tensor::new(shape.to_vec(), data.into()).expect("fits") }
}

fn check(body: &str, want: &DecodedRequest) {
    assert_eq!(decode_json(body.as_bytes()).as_ref(), Ok(want), "{body}");
}

#[test]
fn one_request_in_every_order_and_nesting() {
    let want = DecodedRequest {
        id: Some("42".to_owned()),
        inputs: vec![tensor("x", &[2, 2], vec![1f32, 2.0, 3.0, 4.5])],
        outputs: vec!["y".to_owned()],
    };
    for body in [
        r#"{"id":"42","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4.5]}],"outputs":[{"name":"y"}]}"#,
        r#"{"outputs":[{"name":"y","parameters":{"binary_data":false}}],"inputs":[{"data":[[1,2],[3,4.5]],"datatype":"FP32","shape":[2,2],"name":"x"}],"id":"42"}"#,
        r#"{"id":"42","parameters":{"a":[{}]},"inputs":[{"name":"x","parameters":{},"datatype":"FP32","data":[[1,2],[3,4.5]],"shape":[2,2]}],"outputs":[{"name":"y"}]}"#,
    ] {
        check(body, &want);
    }
}

#[test]
fn every_data_type_is_taken() {
    let body = |data_type: DataType, data: &str| {
        format!(r#"{{"inputs":[{{"name":"x","shape":[2],"datatype":"{data_type}","data":{data}}}]}}"#)
    };
    for data_type in DataType::ALL {
        let data = match data_type {
            DataType::Bool => "[true,false]",
            DataType::Bytes => r#"["a","b"]"#,
            _ => "[0,1]",
        };
        let decoded = decode_json(body(data_type, data).as_bytes()).expect("a right body");
        assert_eq!(decoded.inputs[0].tensor.data_type(), data_type);
        assert_eq!(decoded.inputs[0].tensor.shape(), [2]);
    }
}

#[test]
fn what_is_wrong_is_told() {
    let input = |fields: &str| format!(r#"{{"inputs":[{{{fields}}}]}}"#);
    let deep = format!(r#"{{"inputs":{}"#, "[".repeat(100_000));
    let deep_ignored = format!(r#"{{"parameters":{}"#, "[".repeat(100_000));
    let deep_data =
        input(&format!(r#""name":"x","shape":[1],"datatype":"FP32","data":{}"#, "[".repeat(100_000)));
    for (body, want) in [
        (String::new(), "EOF"),
        ("[]".to_owned(), "expected an object with inputs"),
        ("{}".to_owned(), "missing field `inputs`"),
        (r#"{"inputs":[]} x"#.to_owned(), "trailing characters"),
        (r#"{"inputs":[],"inputs":[]}"#.to_owned(), "duplicate field"),
        (input(r#""name":"x","shape":[1],"datatype":"FP32""#), "input \"x\" has no data"),
        (input(r#""name":"x","data":[1],"datatype":"FP32""#), "input \"x\" has no shape"),
        (input(r#""name":"x","shape":[1],"data":[1]"#), "input \"x\" has no datatype"),
        (input(r#""shape":[1],"datatype":"FP32","data":[1]"#), "an input has no name"),
        (input(r#""name":"x","shape":[1],"datatype":"FLOAT","data":[1]"#), "\"FLOAT\" is no data type"),
        (input(r#""name":"x","shape":[-1],"datatype":"FP32","data":[1]"#), "invalid value: integer `-1`"),
        (input(r#""name":"x","shape":[3],"datatype":"FP32","data":[1]"#), "an array has 1 elements"),
        (
            input(r#""name":"x","shape":[2,2],"datatype":"FP32","data":[1]"#),
            "shape [2, 2] needs 4 values, got 1",
        ),
        (
            input(r#""name":"x","shape":[99999999999,99999999999],"datatype":"FP32","data":[1]"#),
            "too many elements",
        ),
        (input(r#""name":"x","shape":[1],"datatype":"FP32","data":[1e999]"#), "number out of range"),
        (input(r#""name":"x","shape":[1],"datatype":"FP32","data":["Infinity"]"#), "is no FP32"),
        (input(r#""name":"x","shape":[1],"datatype":"FP32","data":[NaN]"#), "expected"),
        (deep, "invalid type: sequence"),
        (deep_ignored, "EOF"),
        (deep_data, "recursion limit exceeded"),
    ] {
        let failure = decode_json(body.as_bytes()).expect_err(&body[..body.len().min(80)]);
        assert_eq!(failure.kind(), ErrorKind::InvalidArgument);
        assert!(failure.message().contains(want), "{:.80}: {}", body, failure.message());
    }
}

#[test]
fn answers_are_written_as_the_specification_shows() {
    let outputs = [
        tensor("p", &[1, 3], vec![0.1f32, 0.25, 1e-7]),
        tensor("label", &[1], vec!["a\"".as_bytes().to_vec()]),
        tensor("n", &[1, 1], vec![-7i64]),
    ];
    let json = encode_response("digits", 3, Some("42"), &outputs).expect("plain values");
    let want = concat!(
        r#"{"model_name":"digits","model_version":"3","id":"42","outputs":["#,
        r#"{"name":"p","shape":[1,3],"datatype":"FP32","data":[0.1,0.25,1e-7]},"#,
        r#"{"name":"label","shape":[1],"datatype":"BYTES","data":["a\""]},"#,
        r#"{"name":"n","shape":[1,1],"datatype":"INT64","data":[-7]}]}"#,
    );
    assert_eq!(String::from_utf8(json).expect("JSON is text"), want);
    let without_id = encode_response("digits", 3, None, &[]).expect("plain values");
    let read: serde_json::Value = serde_json::from_slice(&without_id).expect("valid JSON");
    assert_eq!(read, json!({ "model_name": "digits", "model_version": "3", "outputs": [] }));
}
