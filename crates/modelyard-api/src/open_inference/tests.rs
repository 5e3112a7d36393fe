//! Golden pairs of the protocol, and bodies that must be refused.

use modelyard_types::{DataType, ErrorKind, NamedTensor, Tensor, TensorData};
use serde_json::json;

use super::answer::encode;
use super::request::{DecodedRequest, Parameters, WantedOutput};
use super::wire::{decode_binary, decode_json};

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
        outputs: vec![WantedOutput { name: "y".to_owned(), ..WantedOutput::default() }],
        ..DecodedRequest::default()
    };
    for body in [
        r#"{"id":"42","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3,4.5]}],"outputs":[{"name":"y"}]}"#,
        r#"{"outputs":[{"name":"y","parameters":{"anything":[]}}],"inputs":[{"data":[[1,2],[3,4.5]],"datatype":"FP32","shape":[2,2],"name":"x"}],"id":"42"}"#,
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
        (
            input(r#""name":"x","shape":[1],"datatype":"FP32","parameters":{"shared_memory_region":"r"}"#),
            "shared_memory_region needs a shared_memory_byte_size beside it",
        ),
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
        (deep_ignored, "expected a boolean"),
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
    let request = DecodedRequest { id: Some("42".to_owned()), ..DecodedRequest::default() };
    let answer = encode("digits", 3, &request, &outputs).expect("plain values");
    let want = concat!(
        r#"{"model_name":"digits","model_version":"3","id":"42","outputs":["#,
        r#"{"name":"p","shape":[1,3],"datatype":"FP32","data":[0.1,0.25,1e-7]},"#,
        r#"{"name":"label","shape":[1],"datatype":"BYTES","data":["a\""]},"#,
        r#"{"name":"n","shape":[1,1],"datatype":"INT64","data":[-7]}]}"#,
    );
    assert_eq!(String::from_utf8(answer.body).expect("JSON is text"), want);
    assert_eq!(answer.json_bytes, None);
    let without_id = encode("digits", 3, &DecodedRequest::default(), &[]).expect("plain values");
    let read: serde_json::Value = serde_json::from_slice(&without_id.body).expect("valid JSON");
    assert_eq!(read, json!({ "model_name": "digits", "model_version": "3", "outputs": [] }));
}

/// A golden pair of the binary tensor extension: its page's own example in our numbers.
#[test]
fn raw_tensors_follow_the_json() {
    let head = concat!(
        r#"{"parameters":{"timeout":5000,"priority":2,"binary_data_output":true},"inputs":["#,
        r#"{"name":"a","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},"#,
        r#"{"name":"b","shape":[1,2],"datatype":"FP32","data":[1,2]},"#,
        r#"{"name":"c","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":11}},"#,
        r#"{"name":"d","shape":[1],"datatype":"FP16","parameters":{"binary_data_size":2}}],"#,
        r#""outputs":[{"name":"n"},{"name":"p","parameters":{"binary_data":false,"classification":3}}]}"#,
    );
    let mut body = head.as_bytes().to_vec();
    body.extend_from_slice(b"\x01\x00\xFE\xFF\x03\x00\x00\x00a\xFFb\x00\x00\x00\x00\x00\x3C");
    let request = decode_binary(&body, head.len()).expect("a right body");
    let inputs = vec![
        tensor("a", &[2], vec![1i16, -2]),
        tensor("b", &[1, 2], vec![1f32, 2.0]),
        tensor("c", &[2], vec![b"a\xFFb".to_vec(), Vec::new()]),
        tensor("d", &[1], TensorData::F16(vec![0x3C00])),
    ];
    assert_eq!(request.inputs, inputs);
    assert_eq!(request.parameters, Parameters { binary_data_output: true, timeout_us: 5000, priority: 2 });
    let asked: Vec<_> = request.outputs.iter().map(|o| (o.name.as_str(), o.binary, o.classes)).collect();
    assert_eq!(asked, [("n", None, 0), ("p", Some(false), 3)]);

    let outputs = [tensor("n", &[2, 1], vec![-7i32, 8]), tensor("p", &[1], vec![0.5f32])];
    let answer = encode("m", 1, &request, &outputs).expect("plain values");
    let want = concat!(
        r#"{"model_name":"m","model_version":"1","outputs":["#,
        r#"{"name":"n","shape":[2,1],"datatype":"INT32","parameters":{"binary_data_size":8}},"#,
        r#"{"name":"p","shape":[1],"datatype":"FP32","data":[0.5]}]}"#,
    );
    let (json, raw) = answer.body.split_at(answer.json_bytes.expect("raw bytes follow"));
    assert_eq!(std::str::from_utf8(json), Ok(want));
    assert_eq!(raw, b"\xF9\xFF\xFF\xFF\x08\x00\x00\x00");
}

#[test]
fn raw_tensors_that_are_not_what_the_json_says_are_refused() {
    let input = |shape: &str, rest: &str| {
        format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"FP32",{rest}}}]}}"#)
    };
    let size = |bytes: usize| format!(r#""parameters":{{"binary_data_size":{bytes}}}"#);
    for (json, binary, want) in [
        (input("[2]", &size(8)), &[0; 7][..], "binary_data_size is 8, but 7 bytes are left"),
        (input("[2]", &size(8)), &[0; 9], "1 bytes are left behind the last input"),
        (input("[3]", &size(8)), &[0; 8], "3 values of FP32 are not 8 bytes"),
        (input("[99999999999,99999999999]", &size(8)), &[0; 8], "too many elements"),
        (input("[2]", &format!("\"data\":[1,2],{}", size(8))), &[0; 8], "both data and binary_data_size"),
        (input("[2]", r#""parameters":{"binary_data_size":-1}"#), &[], "invalid value: integer `-1`"),
        (input("[2]", r#""data":[1,2]"#), &[0; 4], "4 bytes are left"),
    ] {
        let body = [json.as_bytes(), binary].concat();
        let failure = decode_binary(&body, json.len()).expect_err(want);
        assert_eq!(failure.kind(), ErrorKind::InvalidArgument);
        assert!(failure.message().contains(want), "{json}: {}", failure.message());
    }
    let beyond = decode_binary(b"{}", 3).expect_err("the header promises more than there is");
    assert!(beyond.message().contains("2 bytes, but inference-header-content-length says"), "{beyond:?}");
}
