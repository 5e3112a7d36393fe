//! Windows beside what is given once for each of them: texts, pictures and numbers of a part of their own.

use base64::Engine as _;
use modelyard_data::{
    Dataset, InputSpec, Kind, OutputKind, Pipeline, PipelineSpec, Row, Value, WindowSpec, read,
};

use crate::{apply, assert_near, csv, spec, transforms_of};

/// A number at each of two steps; a text and an age of the window's last row.
fn mixed() -> PipelineSpec {
    let mut spec = spec(&[("note", Kind::Text), ("a", Kind::Number)], OutputKind::Number);
    spec.inputs[0].transforms =
        Some(transforms_of(r#"[{"type": "tokenize", "model": "words", "length": 3}]"#));
    spec.inputs[1].transforms = Some(Vec::new());
    let age = InputSpec { part: Some("machine".into()), transforms: Some(Vec::new()), ..number("age") };
    let b = InputSpec { transforms: Some(Vec::new()), ..number("b") };
    spec.inputs.extend([age, b]);
    spec.windows = Some(WindowSpec::new("t", 2));
    spec
}

fn number(name: &str) -> InputSpec {
    InputSpec::new(name, Kind::Number)
}

const TABLE: &str = "t,a,b,age,note,y\n0,1,10,7,warm,1\n1,2,20,7,warm dry,2\n2,3,30,8,dry,3\n";

fn fitted(spec: &PipelineSpec) -> (Pipeline, Dataset) {
    let data = csv(TABLE, spec);
    (Pipeline::fit(spec, &data, &data.samples()).expect("fits"), data)
}

#[test]
fn what_has_a_part_of_its_own_is_that_of_the_last_row() {
    let spec = mixed();
    let (pipeline, data) = fitted(&spec);
    let parts: Vec<(&str, &[usize])> =
        pipeline.input_parts().iter().map(|part| (part.name.as_str(), part.shape.as_slice())).collect();
    assert_eq!(parts, [("note", &[3][..]), ("features", &[2, 2]), ("machine", &[1])]);
    let numbers = apply(&pipeline, &data, &[1, 2]);
    // "dry" comes twice among the last rows, "warm" once.
    assert_near(&numbers[..8], &[3.0, 2.0, 0.0, 1.0, 10.0, 2.0, 20.0, 7.0]);
    assert_near(&numbers[8..], &[2.0, 0.0, 0.0, 2.0, 20.0, 3.0, 30.0, 8.0]);
    let again = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads back");
    assert_eq!(again, pipeline);
}

#[test]
fn a_request_gives_it_once() {
    let (pipeline, data) = fitted(&mixed());
    let list = |values: &[f64]| Value::Vector(values.to_vec());
    let row = |a: &[f64], b: &[f64], age: f64, note: &str| -> Row {
        let named = [
            ("a", list(a)),
            ("b", list(b)),
            ("age", Value::Number(age)),
            ("note", Value::Text(note.to_owned())),
        ];
        named.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    };
    let rows =
        [row(&[1.0, 2.0], &[10.0, 20.0], 7.0, "warm dry"), row(&[2.0, 3.0], &[20.0, 30.0], 8.0, "dry")];
    let served = pipeline.dataset_from_rows(&rows).expect("rows");
    assert_eq!(apply(&pipeline, &served, &served.samples()), apply(&pipeline, &data, &[1, 2]));
    let fields = pipeline.input_fields();
    let steps: Vec<Option<usize>> = fields.iter().map(|field| field.steps).collect();
    assert_eq!(steps, [None, Some(2), None, Some(2)]);
    assert_eq!(fields[2].example, Some(Value::Number(7.0)));

    let missing = row(&[1.0, 2.0], &[10.0, 20.0], f64::NAN, "dry");
    let error = pipeline
        .dataset_from_rows(&[rows[0].clone(), missing])
        .and_then(|data| pipeline.apply(&data, &data.samples(), &mut Vec::new()));
    let error = error.expect_err("no age").to_string();
    assert!(error.contains("row 1") && error.contains("\"age\""), "{error}");
}

/// A red picture of two by two.
fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(2, 2, image::Rgb([255, 0, 0]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("encodes");
    bytes.into_inner()
}

#[test]
fn a_picture_stands_beside_the_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("red.png"), png()).expect("written");
    std::fs::write(folder.path().join("a.csv"), "t,a,seen,y\n0,1,red.png,1\n1,2,red.png,2\n2,3,red.png,3\n")
        .expect("written");
    let mut spec = spec(&[("a", Kind::Number), ("seen", Kind::Image)], OutputKind::Number);
    spec.inputs[0].transforms = Some(Vec::new());
    spec.windows = Some(WindowSpec::new("t", 2));
    let data = read(&modelyard_data::SourceSpec::new("a.csv"), folder.path(), &spec).expect("reads");
    let pipeline = Pipeline::fit(&spec, &data, &data.samples()).expect("fits");
    assert_eq!(pipeline.input_parts()[1].shape, [2, 2, 3]);
    let picture = base64::engine::general_purpose::STANDARD.encode(png());
    let row: Row =
        [("a".to_owned(), Value::Vector(vec![2.0, 3.0])), ("seen".to_owned(), Value::Text(picture))].into();
    let served = pipeline.dataset_from_rows(&[row]).expect("a row");
    assert_eq!(apply(&pipeline, &served, &served.samples()), apply(&pipeline, &data, &[2]));
}

#[test]
fn what_cannot_stand_beside_steps_is_refused_by_name() {
    let says = |spec: &PipelineSpec, wanted: &[&str]| {
        let error = read::csv::from_bytes(TABLE.as_bytes(), &modelyard_data::SourceSpec::new("x.csv"), spec)
            .expect_err("refused");
        let text = format!("{error} | {}", error.hint().unwrap_or_default());
        wanted.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in {text:?}"));
    };
    let mut known = mixed();
    known.windows.as_mut().expect("windows").horizon = 1;
    known.inputs[2].known_future = true;
    says(&known, &["age", "once a window", "known_future"]);
    let mut features = mixed();
    features.inputs[0].part = Some("features".into());
    says(&features, &["note", "the part features holds the steps"]);
    let mut anomaly = mixed();
    anomaly.outputs[0].kind = OutputKind::Anomaly;
    says(&anomaly, &["note", "nothing beside their steps"]);
    let mut without = mixed();
    without.inputs.retain(|input| ["note", "age"].contains(&input.name.as_str()));
    says(&without, &["data.windows", "no input gives the steps"]);
}
