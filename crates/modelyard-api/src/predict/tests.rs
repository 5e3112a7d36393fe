//! Golden pairs of predictions, and bodies that must be refused.

use modelyard_serve::{Answer, FieldInfo, Kind, Prediction, Row, Value};
use modelyard_types::{DataType, Dim, NamedTensor, Tensor, TensorData, TensorSpec};

use super::convert::{TensorRows, write_answer, write_tensor_row};
use super::wire::{Envelope, NamedRows, decode};

fn field(name: &str, kind: Kind) -> FieldInfo {
    FieldInfo {
        name: name.to_owned(),
        kind,
        categories: Vec::new(),
        width: 1,
        shape: None,
        optional: false,
        steps: None,
        example: None,
    }
}

fn rows(body: &str, envelope: Envelope, fields: &[FieldInfo]) -> Result<Vec<Row>, String> {
    let mut rows = NamedRows::new(fields);
    decode(body.as_bytes(), envelope, &mut rows).map_err(|failure| failure.message().to_owned())?;
    Ok(rows.rows)
}

fn row(values: &[(&str, Value)]) -> Row {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn rows_by_name_keep_the_meaning_of_json() {
    let fields = [field("a", Kind::Number), field("b", Kind::Category), field("c", Kind::Vector)];
    let body =
        r#"{"signature_name":"x","instances":[{"a":1,"b":"red","c":[[1,2],[3,null]]},{"a":null,"b":true}]}"#;
    let read = rows(body, Envelope::Instances, &fields).expect("a right body");
    assert_eq!(read.len(), 2);
    assert_eq!((&read[0]["a"], &read[0]["b"]), (&Value::Number(1.0), &Value::Text("red".to_owned())));
    match &read[0]["c"] {
        Value::Vector(values) => assert!(values[..3] == [1.0, 2.0, 3.0] && values[3].is_nan()),
        other => panic!("{other:?}"),
    }
    assert_eq!(read[1], row(&[("a", Value::Missing), ("b", Value::Text("true".to_owned()))]));
}

#[test]
fn the_steps_of_a_window_may_be_texts() {
    let fields = [field("a", Kind::Category), field("b", Kind::Category)];
    let body = r#"{"instances":[{"a":["red",null,true],"b":[1,null,"2"]}]}"#;
    let text = |text: &str| Value::Text(text.to_owned());
    let want = row(&[
        ("a", Value::List(vec![text("red"), Value::Missing, text("true")])),
        ("b", Value::List(vec![Value::Number(1.0), Value::Missing, text("2")])),
    ]);
    assert_eq!(rows(body, Envelope::Instances, &fields), Ok(vec![want]));
}

#[test]
fn one_input_may_be_given_bare() {
    let vector = [field("pixels", Kind::Vector)];
    let want = row(&[("pixels", Value::Vector(vec![1.0, 2.0]))]);
    assert_eq!(rows(r#"{"instances":[[1,2]]}"#, Envelope::Instances, &vector), Ok(vec![want.clone()]));
    assert_eq!(rows(r#"{"input":[1,2]}"#, Envelope::Input, &vector), Ok(vec![want.clone()]));
    assert_eq!(rows(r#"{"input":{"pixels":[1,2]}}"#, Envelope::Input, &vector), Ok(vec![want]));
    let image = [field("photo", Kind::Image)];
    let want = row(&[("photo", Value::Bytes(vec![1, 2, 3]))]);
    for body in [r#"{"instances":[{"b64":"AQID"}]}"#, r#"{"instances":[{"photo":{"b64":"AQID"}}]}"#] {
        assert_eq!(rows(body, Envelope::Instances, &image), Ok(vec![want.clone()]));
    }
}

#[test]
fn rows_that_are_wrong_are_told() {
    let fields = [field("a", Kind::Number), field("b", Kind::Number)];
    let deep = format!(r#"{{"instances":[{{"a":{}"#, "[".repeat(100_000));
    for (body, want) in [
        ("{}", "missing field `instances`"),
        (r#"{"instances":{}}"#, "expected a list of rows"),
        (r#"{"instances":[1]}"#, "a row is an object with \"a\", \"b\""),
        (r#"{"instances":[{"a":{"x":1}}]}"#, "an object as a value is {\"b64\": …}"),
        (r#"{"instances":[{"a":{"b64":"!"}}]}"#, "b64 is no base64"),
        (r#"{"instances":[{"a":1,"a":2}]}"#, "\"a\" stands twice"),
        (r#"{"instances":[{"a":[["x"]]}]}"#, "expected numbers"),
        (r#"{"instances":[{"a":[[1],"x"]}]}"#, "an array with texts has no arrays in it"),
        (r#"{"instances":[{"a":["x",[1]]}]}"#, "an array with texts has no arrays in it"),
        (r#"{"instances":[{"a":[1,{}]}]}"#, "expected numbers or texts"),
        (r#"{"instances":[{"a":1e999}]}"#, "number out of range"),
        (deep.as_str(), "recursion limit exceeded"),
    ] {
        let message = rows(body, Envelope::Instances, &fields).expect_err(body);
        assert!(message.contains(want), "{body:.60}: {message}");
    }
}

fn spec(name: &str, shape: &[Dim]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), data_type: DataType::F32, shape: shape.to_vec() }
}

fn tensors(body: &str, specs: &[TensorSpec]) -> Result<Vec<NamedTensor>, String> {
    let mut rows = TensorRows::new(specs);
    let read = decode(body.as_bytes(), Envelope::Instances, &mut rows).and_then(|()| rows.finish());
    read.map_err(|failure| failure.message().to_owned())
}

fn tensor(name: &str, shape: &[usize], data: impl Into<TensorData>) -> NamedTensor {
    NamedTensor { name: name.to_owned(), tensor: Tensor::new(shape.to_vec(), data.into()).expect("fits") }
}

#[test]
fn nested_arrays_become_tensors() {
    let one = [spec("x", &[Dim::Any, Dim::Fixed(2)])];
    let want = Ok(vec![tensor("x", &[2, 2], vec![1f32, 2.0, 3.0, 4.0])]);
    assert_eq!(tensors(r#"{"instances":[[1,2],[3,4]]}"#, &one), want);
    assert_eq!(tensors(r#"{"instances":[{"x":[1,2]},{"x":[3,4]}]}"#, &one), want);
    let scalars = [spec("x", &[Dim::Any])];
    assert_eq!(tensors(r#"{"instances":[1,2]}"#, &scalars), Ok(vec![tensor("x", &[2], vec![1f32, 2.0])]));
    let free = [spec("x", &[Dim::Any, Dim::Any]), spec("y", &[Dim::Any])];
    let want = Ok(vec![tensor("x", &[1, 3], vec![1f32, 2.0, 3.0]), tensor("y", &[1], vec![4f32])]);
    assert_eq!(tensors(r#"{"instances":[{"y":4,"x":[1,2,3]}]}"#, &free), want);
    for (body, specs, message) in [
        (r#"{"instances":[[1,2,3]]}"#, &one[..], "an array has 3 elements, the shape asks for 2"),
        (r#"{"instances":[1]}"#, &one[..], "one row is \"x\" FP32 [2]"),
        (r#"{"instances":[{"z":[1,2]}]}"#, &one[..], "input \"z\" is not known"),
        (r#"{"instances":[{}]}"#, &one[..], "input \"x\" is missing"),
        (r#"{"instances":[[1]]}"#, &free[..], "the model has several inputs"),
    ] {
        let got = tensors(body, specs).expect_err(body);
        assert!(got.contains(message), "{body}: {got}");
    }
}

#[test]
fn answers_are_named_and_nested() {
    let answer = Answer {
        outputs: vec![
            (
                "digit".to_owned(),
                Prediction::Category {
                    label: "3".to_owned(),
                    probabilities: vec![("3".to_owned(), 0.9), ("8".to_owned(), 0.1)],
                },
            ),
            ("price".to_owned(), Prediction::Number(12.5)),
        ],
    };
    let mut json = Vec::new();
    write_answer(&mut json, &answer);
    let want = r#"{"digit":{"label":"3","probabilities":{"3":0.9,"8":0.1}},"price":12.5}"#;
    assert_eq!(String::from_utf8(json).expect("JSON is text"), want);

    let outputs = [tensor("p", &[2, 2], vec![0.5f32, 1.0, 1.5, 2.0]), tensor("n", &[2], vec![7i64, 8])];
    let mut json = Vec::new();
    write_tensor_row(&mut json, &outputs, 1).expect("plain values");
    assert_eq!(String::from_utf8(json).expect("JSON is text"), r#"{"p":[1.5,2.0],"n":8}"#);
    let mut json = Vec::new();
    write_tensor_row(&mut json, &outputs[..1], 0).expect("plain values");
    assert_eq!(String::from_utf8(json).expect("JSON is text"), "[0.5,1.0]");
}
