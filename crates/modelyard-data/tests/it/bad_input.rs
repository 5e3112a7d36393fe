//! Bad input, one test a line: each error says what, where and, where known, what to do.

use modelyard_data::{DataError, Kind, OutputKind, Pipeline, PipelineSpec, SourceSpec, read, read::jsonl};

use super::{all_rows, csv, spec};

fn xy() -> PipelineSpec {
    spec(&[("x", Kind::Number)], OutputKind::Category)
}

fn read_text(text: &str, spec: &PipelineSpec) -> DataError {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("data.csv"), text).expect("writes");
    read(&SourceSpec::new("data.csv"), folder.path(), spec).expect_err("bad input")
}

fn says(error: &DataError, parts: &[&str]) {
    let text = format!("{error} / {}", error.hint().unwrap_or_default());
    for part in parts {
        assert!(text.contains(part), "{text:?} should tell of {part:?}");
    }
}

#[test]
fn missing_file() {
    let error = read(&SourceSpec::new("gone.csv"), "/nonexistent".as_ref(), &xy()).expect_err("no file");
    assert!(matches!(error, DataError::Missing { .. }));
    assert_eq!(error.kind(), modelyard_types::ErrorKind::NotFound);
    says(&error, &["gone.csv"]);
    let folder = tempfile::tempdir().expect("a folder");
    let error = read(&SourceSpec::new("*.csv"), folder.path(), &xy()).expect_err("no match");
    assert!(matches!(error, DataError::Missing { .. }));
}

#[test]
fn empty_file() {
    assert!(matches!(read_text("", &xy()), DataError::Empty { .. }));
    assert!(matches!(read_text("\u{feff}", &xy()), DataError::Empty { .. }));
}

#[test]
fn header_only() {
    let error = read_text("x,y\n", &xy());
    assert!(matches!(error, DataError::NoRows { .. }));
    says(&error, &["has no rows", "has_header"]);
}

#[test]
fn ragged_rows() {
    says(&read_text("x,y\n1,a\n2\n", &xy()), &["data.csv:3", "1 cells", "2"]);
    says(&read_text("x,y\n1,a\n2,b,c\n", &xy()), &["data.csv:3", "3 cells"]);
}

#[test]
fn text_where_a_number_belongs() {
    says(
        &read_text("x,y\n1,a\n\n12O,b\n", &xy()),
        &["data.csv:4", "\"x\"", "\"12O\"", "missing under [data]"],
    );
}

#[test]
fn lines_are_counted_as_editors_do() {
    for (text, line) in [
        ("x,y\na,a\n", 2),
        ("x,y\na,a", 2),
        ("x,y\r\n1,a\r\na,a\r\n", 3),
        ("x,y\r\n1,a\r\na,a", 3),
        ("x,y\n\n\n1,\"two\nlines\"\n\na,\"b\nb\"\n1,a\n", 7),
        ("\r\n\r\nx,y\r\n\r\na,a\r\n", 5),
    ] {
        says(&read_text(text, &xy()), &[&format!("data.csv:{line},")]);
    }
}

#[test]
fn infinity() {
    says(&read_text("x,y\ninf,a\n", &xy()), &["data.csv:2", "infinity"]);
    says(&read_text("x,y\n1e999,a\n", &xy()), &["data.csv:2", "infinity"]);
}

#[test]
fn a_misspelt_column() {
    says(
        &read_text("lenght,y\n1,a\n", &spec(&[("length", Kind::Number)], OutputKind::Category)),
        &["did you mean \"lenght\""],
    );
    says(&read_text("x,x,y\n1,1,a\n", &xy()), &["two columns"]);
    let error = jsonl::from_bytes(
        b"{\"lenght\": 1, \"y\": 2}\n",
        &SourceSpec::new("x.jsonl"),
        &spec(&[("length", Kind::Number)], OutputKind::Category),
    );
    says(&error.expect_err("no such key"), &["did you mean \"lenght\""]);
}

#[test]
fn a_wrong_datetime() {
    says(
        &read_text("x,y\n31/12/24,a\n", &spec(&[("x", Kind::Datetime)], OutputKind::Category)),
        &["data.csv:2", "31/12/24", "format"],
    );
}

#[test]
fn text_that_is_not_utf8() {
    let source = SourceSpec::new("x.csv");
    let spec = spec(&[("x", Kind::Category)], OutputKind::Category);
    let error =
        modelyard_data::read::csv::from_bytes(b"x,y\n\xff\xfe,a\n", &source, &spec).expect_err("Latin-1");
    says(&error, &[":2", "UTF-8"]);
}

#[test]
fn json_that_is_nested_too_deep() {
    let source = SourceSpec::new("x.jsonl");
    for deep in ["[".repeat(100_000), "{\"x\":".repeat(100_000)] {
        let error = jsonl::from_bytes(deep.as_bytes(), &source, &xy()).expect_err("too deep");
        says(&error, &["line 1"]);
        assert!(Pipeline::from_json(deep.as_bytes()).is_err());
    }
    let error = jsonl::from_bytes(b"{\"x\": {}, \"y\": 1}", &source, &xy()).expect_err("an object");
    says(&error, &["nested"]);
}

#[test]
fn a_label_in_test_that_training_never_saw() {
    let data = csv("x,y\n1,a\n2,b\n3,c\n", &xy());
    let pipeline = Pipeline::fit(&xy(), &data, &[0, 1]).expect("fits");
    says(&pipeline.targets(&data, &[2]).expect_err("unseen"), &["row 2, \"y\"", "\"c\"", "stratified"]);
}

#[test]
fn a_missing_label() {
    let data = csv("x,y\n1,a\n2,b\n3,\n", &xy());
    let pipeline = Pipeline::fit(&xy(), &data, &all_rows(&data)).expect("fits");
    says(&pipeline.targets(&data, &[2]).expect_err("missing"), &["row 2", "no value"]);
}

#[test]
fn a_label_with_one_class() {
    let data = csv("x,y\n1,a\n2,a\n", &xy());
    says(&Pipeline::fit(&xy(), &data, &[0, 1]).expect_err("one class"), &["1 class", "\"a\"", "two"]);
}

#[test]
fn a_column_all_missing() {
    let data = csv("x,y\n,a\n,b\n", &xy());
    says(
        &Pipeline::fit(&xy(), &data, &[0, 1]).expect_err("nothing"),
        &["\"x\"", "every training row"].map(|s| s.trim_matches('"')),
    );
}

#[test]
fn an_identifier_as_a_category() {
    let mut text = String::from("x,y\n");
    (0..10_001).for_each(|row| text.push_str(&format!("id{row},{}\n", row % 2)));
    let spec = spec(&[("x", Kind::Category)], OutputKind::Category);
    let data = csv(&text, &spec);
    says(
        &Pipeline::fit(&spec, &data, &all_rows(&data)).expect_err("too wide"),
        &["10002 columns", "max_categories"],
    );
}

#[test]
fn transforms_that_do_not_fit() {
    for (kind, transforms, part) in [
        (Kind::Number, r#"[{"type": "one_hot"}]"#, "takes a category"),
        (Kind::Category, r#"[{"type": "standard"}]"#, "one_hot or ordinal first"),
        (Kind::Category, "[]", "one_hot or ordinal"),
        (Kind::Number, r#"[{"type": "clip"}]"#, "min, max or both"),
        (Kind::Number, r#"[{"type": "clip", "min": 2, "max": 1}]"#, "above max"),
        (Kind::Number, r#"[{"type": "impute", "strategy": "constant"}]"#, "needs a value"),
        (Kind::Category, r#"[{"type": "impute", "strategy": "mean"}, {"type": "one_hot"}]"#, "no mean"),
        (Kind::Number, r#"[{"type": "image_to_float"}]"#, "takes an image"),
    ] {
        let spec = super::spec_of_x(kind, transforms);
        let data = csv("x,y\n1,a\n2,b\n", &spec);
        says(&Pipeline::fit(&spec, &data, &[0, 1]).expect_err(transforms), &[part]);
    }
    let spec = super::spec_of_x(Kind::Number, r#"[{"type": "log1p"}]"#);
    let data = csv("x,y\n-1,a\n2,b\n", &spec);
    says(&Pipeline::fit(&spec, &data, &[0, 1]).expect_err("no logarithm"), &["above -1", "clip"]);
}

#[test]
fn declarations_that_contradict_themselves() {
    let fit = |spec: &PipelineSpec| {
        let data = csv("x,z,y\n1,1,a\n2,3,b\n", &spec.clone());
        Pipeline::fit(spec, &data, &[0, 1]).expect_err("contradiction")
    };
    let mut none = xy();
    none.inputs.clear();
    says(&fit(&none), &["at least one input"]);
    let mut none = xy();
    none.outputs.clear();
    says(&fit(&none), &["at least one output"]);
    let mut two = xy();
    two.outputs.push(modelyard_data::OutputSpec::new("z", OutputKind::Number));
    says(&fit(&two), &["only output"]);
    let mut shaped = spec(&[("x", Kind::Vector)], OutputKind::Category);
    shaped.inputs[0].columns = Some(modelyard_data::Columns::Many(vec!["x".into(), "z".into()]));
    shaped.inputs[0].shape = Some([2, 2, 1]);
    says(&fit(&shaped), &["[2, 2, 1]", "2 numbers"]);
    let twice = spec(&[("x", Kind::Number), ("x", Kind::Number)], OutputKind::Category);
    says(&read_text("x,y\n1,a\n", &twice), &["declared twice"]);
    let mut wrong = xy();
    wrong.inputs[0].shape = Some([1, 1, 1]);
    says(&read_text("x,y\n1,a\n", &wrong), &["shape", "vector"]);
    says(&read_text("x,y\n1,a\n", &spec(&[("x", Kind::Vector)], OutputKind::Category)), &["columns"]);
}
