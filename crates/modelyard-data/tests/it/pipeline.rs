//! From raw rows to numbers and back to named answers.

use std::collections::BTreeMap;

use modelyard_data::{
    Columns, DataError, Kind, OutputActivation, OutputKind, OutputSpec, Pipeline, PipelineSpec, Prediction,
    Row, SourceSpec, TargetValues, Task, Value,
};
use proptest::prelude::*;

use super::{all_rows, apply, assert_near, csv, spec, spec_of_x, transforms_of};

const TEXT: &str = "age,city,when,p0,p1,y\n20,Rome,2024-01-01,1,2,yes\n40,Oslo,2024-01-02,3,4,no\n60,Rome,2024-01-03,5,6,yes\n";

fn mixed() -> PipelineSpec {
    let mut spec = spec(
        &[("age", Kind::Number), ("city", Kind::Category), ("when", Kind::Datetime), ("p", Kind::Vector)],
        OutputKind::Category,
    );
    spec.inputs[3].columns = Some(Columns::One("p*".into()));
    spec
}

fn fitted() -> (Pipeline, modelyard_data::Dataset) {
    let data = csv(TEXT, &mixed());
    let pipeline = Pipeline::fit(&mixed(), &data, &all_rows(&data)).expect("fits");
    (pipeline, data)
}

fn row(values: &[(&str, Value)]) -> Row {
    values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn whole_row() -> Row {
    row(&[
        ("age", Value::Number(60.0)),
        ("city", text("Rome")),
        ("when", text("2024-01-03")),
        ("p", Value::Vector(vec![5.0, 6.0])),
    ])
}

#[test]
fn inputs_stand_side_by_side() {
    let (pipeline, data) = fitted();
    // age, city (Oslo, Rome, unknown), three parts of two, two pixels.
    assert_eq!(pipeline.input_shape(), [1 + 3 + 6 + 2]);
    let numbers = apply(&pipeline, &data, &[2]);
    let scaled = 1.224_744_9;
    assert_near(&numbers[..4], &[scaled, 0.0, 1.0, 0.0]);
    assert_near(&numbers[10..], &[scaled, scaled]);
    assert_eq!(pipeline.targets(&data, &[0, 1, 2]).expect("labels"), TargetValues::Classes(vec![1, 0, 1]));
}

#[test]
fn a_request_gives_the_numbers_that_training_gave() {
    let (pipeline, data) = fitted();
    let mut by_columns = whole_row();
    by_columns.remove("p");
    by_columns.extend(row(&[("p0", Value::Number(5.0)), ("p1", Value::Number(6.0)), ("y", text("no"))]));
    by_columns.insert("when".into(), Value::Number(1_704_240_000.0));
    let served =
        pipeline.dataset_from_rows(&[whole_row(), by_columns]).unwrap_or_else(|error| panic!("{error}"));
    let expected = apply(&pipeline, &data, &[2]);
    assert_eq!(apply(&pipeline, &served, &[0]), expected);
    assert_eq!(apply(&pipeline, &served, &[1]), expected);
    let stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("sound");
    let served = stored.dataset_from_rows(&[whole_row()]).expect("a row");
    assert_eq!(apply(&stored, &served, &[0]), expected);
}

#[test]
fn fields_carry_an_example_that_works() {
    let (pipeline, data) = fitted();
    let stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("sound");
    let fields = stored.input_fields();
    assert_eq!(fields[1].categories, ["Oslo", "Rome"]);
    assert_eq!(fields[3].width, 2);
    let example = fields
        .into_iter()
        .map(|field| (field.name, field.example.expect("given")))
        .collect::<BTreeMap<_, _>>();
    let served = stored.dataset_from_rows(&[example]).expect("a row");
    assert_eq!(apply(&stored, &served, &[0]), apply(&pipeline, &data, &[0]));
}

#[test]
fn rows_that_do_not_fit_are_named() {
    let (pipeline, _) = fitted();
    let check = |change: (&str, Option<Value>), parts: &[&str]| {
        let mut bad = whole_row();
        match change.1 {
            Some(value) => bad.insert(change.0.into(), value),
            None => bad.remove(change.0),
        };
        let error = match pipeline.dataset_from_rows(&[whole_row(), bad]) {
            Err(error) => error,
            Ok(data) => pipeline.apply(&data, &[0, 1], &mut Vec::new()).expect_err("bad row"),
        };
        let text = format!("{error} / {}", error.hint().unwrap_or_default());
        assert!(matches!(error, DataError::Row { row: 1, .. }), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{text:?} should tell of {part:?}"));
    };
    check(("agee", Some(Value::Number(1.0))), &["\"agee\"", "did you mean \"age\""]);
    check(("age", None), &["\"age\"", "no value"]);
    check(("age", Some(text("old"))), &["\"age\"", "a number", "\"old\""]);
    check(("age", Some(Value::Missing)), &["\"age\"", "missing", "impute"]);
    check(("age", Some(Value::Number(f64::NAN))), &["\"age\"", "missing"]);
    check(("age", Some(Value::Number(f64::INFINITY))), &["\"age\"", "infinity"]);
    check(("age", Some(Value::Number(1e300))), &["\"age\"", "too large"]);
    check(("city", Some(Value::Vector(vec![1.0]))), &["\"city\"", "category"]);
    check(("when", Some(text("soon"))), &["\"when\"", "soon"]);
    check(("p", Some(Value::Vector(vec![1.0]))), &["\"p\"", "2 numbers, not 1"]);
    check(("p", Some(Value::Vector(vec![1.0, 1e300]))), &["\"p\"", "too large"]);
    check(("p", Some(Value::Number(1.0))), &["\"p\"", "list of numbers"]);
}

#[test]
fn an_unseen_category_of_an_input_is_the_unknown_one() {
    let (pipeline, _) = fitted();
    let mut unseen = whole_row();
    unseen.insert("city".into(), text("Atlantis"));
    let served = pipeline.dataset_from_rows(&[unseen]).expect("a row");
    assert_eq!(apply(&pipeline, &served, &[0])[1..4], [0.0, 0.0, 0.0]);
}

#[test]
fn what_an_impute_fills_in_may_be_left_out() {
    let mut spec = spec(&[("x", Kind::Number)], OutputKind::Category);
    let data = csv("x,y\n1,a\n3,b\n,a\n", &spec);
    let usual = Pipeline::fit(&spec, &data, &[0, 1, 2]).expect("the usual transforms fill it in");
    assert!(usual.warnings()[0].contains("missing in 1 of 3"), "{:?}", usual.warnings());
    spec.inputs[0].transforms = Some(transforms_of(r#"[{"type": "impute", "strategy": "mean"}]"#));
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2]).expect("fits");
    assert!(pipeline.input_fields()[0].optional);
    let served = pipeline.dataset_from_rows(&[Row::new()]).expect("a row");
    assert_eq!(apply(&pipeline, &served, &[0]), [2.0]);
}

#[test]
fn classes_are_sorted_as_numbers_where_they_are() {
    let spec = spec(&[("x", Kind::Number)], OutputKind::Category);
    let data = csv("x,y\n1,10\n2,9\n3,2\n", &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2]).expect("fits");
    let Task::Classification { classes, .. } = pipeline.task() else { panic!("classes") };
    assert_eq!(classes, &["2", "9", "10"]);
}

fn probabilities(pipeline: &Pipeline, outputs: &[f32]) -> (String, Vec<f32>) {
    match &pipeline.decode(outputs, 1)[0].outputs[0].1 {
        Prediction::Category { label, probabilities } => {
            (label.clone(), probabilities.iter().map(|p| p.1).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn logits_and_probabilities_decode_to_the_same_answer() {
    let (mut pipeline, _) = fitted();
    pipeline.set_output_activation(2, OutputActivation::Linear).expect("fits");
    let (label, from_logits) = probabilities(&pipeline, &[1.0, 3.0]);
    assert_eq!(label, "yes");
    assert_near(&from_logits, &[0.119_203, 0.880_797]);
    pipeline.set_output_activation(2, OutputActivation::Softmax).expect("fits");
    let (_, given) = probabilities(&pipeline, &[0.25, 0.75]);
    assert_eq!(given, [0.25, 0.75]);
    assert_near(&pipeline.decode_values(&[0.25, 0.75]), &[0.25, 0.75]);
}

#[test]
fn one_number_speaks_of_the_second_class() {
    let (mut pipeline, _) = fitted();
    pipeline.set_output_activation(1, OutputActivation::Sigmoid).expect("fits");
    assert!(matches!(pipeline.task(), Task::Binary { classes, .. } if classes == &["no", "yes"]));
    assert_eq!(pipeline.output_width(), 1);
    assert_eq!(probabilities(&pipeline, &[0.25]), ("no".into(), vec![0.75, 0.25]));
    let mut stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("sound");
    assert_eq!(stored, pipeline);
    stored.set_output_activation(1, OutputActivation::Linear).expect("fits");
    assert_eq!(probabilities(&stored, &[0.0]), ("no".into(), vec![0.5, 0.5]));
}

#[test]
fn a_network_that_does_not_fit_the_outputs_is_refused() {
    let (mut pipeline, _) = fitted();
    let error = pipeline.set_output_activation(3, OutputActivation::Softmax).expect_err("three");
    assert!(error.to_string().contains("gives 3 numbers"), "{error}");
    assert!(error.hint().expect("a way out").contains("units = 2"));
    assert!(pipeline.set_output_activation(2, OutputActivation::Sigmoid).is_err());
    assert!(pipeline.set_output_activation(1, OutputActivation::Softmax).is_err());
}

#[test]
fn numbers_come_back_in_their_own_unit() {
    let mut spec = spec(&[("x", Kind::Number)], OutputKind::Number);
    spec.outputs.push(OutputSpec::new("z", OutputKind::Number));
    let text = "x,y,z\n1,100,0\n2,200,9\n3,300,99\n";
    for transforms in [
        None,
        Some("[]"),
        Some(r#"[{"type": "min_max"}]"#),
        Some(r#"[{"type": "robust"}]"#),
        Some(r#"[{"type": "log1p"}, {"type": "standard"}]"#),
    ] {
        spec.outputs.iter_mut().for_each(|output| output.transforms = transforms.map(transforms_of));
        let data = csv(text, &spec);
        let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2]).expect("fits");
        let TargetValues::Values(targets) = pipeline.targets(&data, &[0, 1, 2]).expect("numbers") else {
            panic!("numbers")
        };
        let back = pipeline.decode_values(&targets);
        for (got, expected) in back.iter().zip([100.0, 0.0, 200.0, 9.0, 300.0, 99.0]) {
            assert!((got - expected).abs() < 1e-3, "{transforms:?}: {back:?}");
        }
        let answers = pipeline.decode(&targets, 3);
        assert_eq!(answers[2].outputs[0].0, "y");
        assert_eq!(Pipeline::from_json(pipeline.to_json().as_bytes()).expect("sound"), pipeline);
    }
    spec.outputs[0].transforms = Some(transforms_of(r#"[{"type": "clip", "min": 0}]"#));
    let error = Pipeline::fit(&spec, &csv(text, &spec), &[0, 1, 2]).expect_err("cannot be undone");
    assert!(error.to_string().contains("cannot be undone"), "{error}");
}

#[test]
fn a_vector_may_be_shown_as_an_image() {
    let mut spec = mixed();
    spec.inputs = vec![spec.inputs.remove(3)];
    spec.inputs[0].shape = Some([1, 2, 1]);
    let data = csv(TEXT, &spec);
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    assert_eq!(pipeline.input_shape(), [1, 2, 1]);
}

#[test]
fn a_stored_pipeline_is_checked() {
    let (pipeline, _) = fitted();
    let json = pipeline.to_json();
    let check = |from: &str, to: &str, too_new: bool| {
        assert!(json.contains(from), "{from} is in {json}");
        let error = Pipeline::from_json(json.replacen(from, to, 1).as_bytes()).expect_err(to);
        assert_eq!(matches!(error, DataError::TooNew { .. }), too_new, "{to}: {error}");
    };
    check("\"format_version\": 2", "\"format_version\": 3, \"new\": 1", true);
    check("modelyard.pipeline", "something.else", false);
    check("\"width\": 1", "\"width\": 2", false);
    check("\"width\": 1", "\"width\": 18446744073709551615", false);
    check("\"size\": 2", "\"size\": 1", false);
    check("\"kept\": 2", "\"kept\": 4000000000", false);
    check("\"Oslo\"", "\"Rome\"", false);
    check("\"output_width\": 2", "\"output_width\": 7", false);
    check("\"warnings\"", "\"unknown_key\"", false);
    assert!(Pipeline::from_json(b"").is_err());
    assert!(Pipeline::from_json(&json.as_bytes()[..json.len() / 2]).is_err());
}

#[test]
fn specs_refuse_unknown_keys() {
    for (json, part) in [
        (r#"{"inputs": [{"name": "x", "kind": "number", "colunm": "a"}]}"#, "colunm"),
        (r#"{"inputs": [{"name": "x", "kind": "numbr"}]}"#, "numbr"),
        (
            r#"{"inputs": [{"name": "x", "kind": "number", "transforms": [{"type": "standart"}]}]}"#,
            "standart",
        ),
        (
            r#"{"inputs": [{"name": "x", "kind": "number", "transforms": [{"type": "standard", "mean": 1}]}]}"#,
            "mean",
        ),
    ] {
        let error = serde_json::from_str::<PipelineSpec>(json).expect_err(json).to_string();
        assert!(error.contains(part), "{error}");
    }
    let source: SourceSpec =
        serde_json::from_str(r#"{"source": ["a.csv", "b.csv"]}"#).expect("the rest is usual");
    assert!(source.has_header && source.missing.contains(&"NA".to_owned()));
}

proptest! {
    #[test]
    fn serving_equals_training(ages in prop::collection::vec(-1e6f64..1e6, 2..40), cities in prop::collection::vec("[a-c]{1}", 40)) {
        let spec = spec(&[("age", Kind::Number), ("city", Kind::Category)], OutputKind::Category);
        let mut text = String::from("age,city,y\n");
        for (row, age) in ages.iter().enumerate() {
            text.push_str(&format!("{age},{},{}\n", cities[row], row % 2));
        }
        let data = csv(&text, &spec);
        let training: Vec<usize> = (0..ages.len().div_ceil(2).max(2)).collect();
        let pipeline = Pipeline::fit(&spec, &data, &training).expect("fits");
        let rows: Vec<Row> = ages.iter().zip(&cities)
            .map(|(age, city)| row(&[("age", Value::Number(*age)), ("city", text_value(city))]))
            .collect();
        let served = pipeline.dataset_from_rows(&rows).expect("rows");
        prop_assert_eq!(apply(&pipeline, &served, &all_rows(&served)), apply(&pipeline, &data, &all_rows(&data)));
    }
}

fn text_value(city: &str) -> Value {
    text(city)
}

#[test]
fn another_order_of_columns_changes_nothing() {
    let mut spec = spec(&[("v", Kind::Vector)], OutputKind::Number);
    spec.inputs[0].columns = Some(Columns::One("x*".into()));
    spec.inputs[0].transforms = Some(Vec::new());
    let data = csv("x1,x2,y\n1,10,0\n2,20,1\n", &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1]).expect("fits");
    let text = "x2,extra,x1,y,x3\n30,0,3,1,0\n";
    let by_name = csv(text, &pipeline.spec_of_columns());
    assert_near(&apply(&pipeline, &by_name, &[0]), &[3.0, 30.0]);
    // Read by the pattern, the columns would stand in the order of this file.
    let swapped = csv("x2,x1,y\n30,3,1\n", &spec);
    let error = pipeline.apply(&swapped, &[0], &mut Vec::new()).expect_err("in another order");
    assert!(error.to_string().contains("\"x1\"") && error.to_string().contains("\"x2\""), "{error}");
}

#[test]
fn a_label_written_otherwise_is_the_same_label() {
    let spec = spec(&[("flag", Kind::Category), ("rooms", Kind::Category)], OutputKind::Number);
    let data = csv("flag,rooms,y\nTrue,3.0,0\nFalse,4.0,1\nTrue,none,1\n", &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2]).expect("fits");
    let row = |flag: Value, rooms: Value| {
        let row = Row::from([("flag".to_owned(), flag), ("rooms".to_owned(), rooms)]);
        apply(&pipeline, &pipeline.dataset_from_rows(&[row]).expect("a row"), &[0])
    };
    let known = apply(&pipeline, &data, &[0]);
    assert_eq!(row(Value::from_json(&true.into()).expect("a value"), Value::Number(3.0)), known);
    assert_eq!(row(Value::Text("TRUE".into()), Value::Text("3".into())), known);
    assert_ne!(row(Value::Text("yes".into()), Value::Text("3.5".into())), known, "unknown");
    // Another file, too.
    let other = csv("flag,rooms,y\ntrue,3,0\n", &spec);
    assert_eq!(apply(&pipeline, &other, &[0]), known);
    // Where both spellings are labels, each is itself.
    let both = csv("flag,rooms,y\ntrue,3,0\nTrue,3.0,1\n", &spec);
    let pipeline = Pipeline::fit(&spec, &both, &[0, 1]).expect("fits");
    assert_ne!(apply(&pipeline, &both, &[0]), apply(&pipeline, &both, &[1]));
}

#[test]
fn declared_labels_keep_their_order() {
    let mut spec = spec(&[("x", Kind::Number)], OutputKind::Category);
    spec.outputs[0].labels = Some(vec!["well".into(), "ill".into(), "dead".into()]);
    let data = csv("x,y\n1,1\n2,0\n3,1\n4,0\n", &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2, 3]).expect("fits");
    let Task::Classification { classes, .. } = pipeline.task() else { panic!("{:?}", pipeline.task()) };
    assert_eq!(classes, &["well", "ill"], "the second one is the positive class");
    let stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("loads");
    assert_eq!(stored.task(), pipeline.task());
}

#[test]
fn of_an_unknown_label_nothing_is_claimed() {
    let one_hot = |settings: &str| {
        let spec = spec_of_x(Kind::Category, &format!("[{{\"type\": \"one_hot\"{settings}}}]"));
        let data = csv("x,y\na,p\na,q\nb,p\nb,q\nc,p\n", &spec);
        let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
        let rows = csv("x,y\nb,p\nc,p\nviolet,p\n", &spec);
        apply(&pipeline, &rows, &[0, 1, 2])
    };
    // Nothing was learned of the last column, as no training row was in it.
    assert_eq!(one_hot(""), [0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 0.]);
    // Here the rare label was.
    assert_eq!(one_hot(", \"min_count\": 2"), [0., 1., 0., 0., 0., 1., 0., 0., 1.]);
}
