//! From the network's numbers back to rows: what was applied and undone is what it was.

use modelyard_data::{Columns, Dataset, Kind, OutputKind, Pipeline, PipelineSpec, Row, Value, WindowSpec};

use super::{all_rows, apply, assert_near, csv, images, spec, spec_of_x, transforms_of};

/// Undoes what these rows became; what comes out must become the very same numbers again.
fn undone(pipeline: &Pipeline, data: &Dataset, rows: &[usize]) -> Vec<Row> {
    let numbers = apply(pipeline, data, rows);
    let undone = pipeline.undo(&numbers).unwrap_or_else(|error| panic!("{error}"));
    let again = pipeline.dataset_from_rows(&undone).unwrap_or_else(|error| panic!("{error}"));
    assert_near(&apply(pipeline, &again, &again.samples()), &numbers);
    undone
}

fn number(row: &Row, name: &str) -> f64 {
    match row[name] {
        Value::Number(number) => number,
        ref other => panic!("{name} is {}", other.describe()),
    }
}

fn mixed() -> PipelineSpec {
    let mut spec =
        spec(&[("size", Kind::Number), ("city", Kind::Category), ("p", Kind::Vector)], OutputKind::Category);
    spec.inputs[0].transforms = Some(transforms_of(
        r#"[{"type": "impute", "strategy": "mean"}, {"type": "log1p"}, {"type": "robust"}]"#,
    ));
    spec.inputs[2].columns = Some(Columns::One("p*".into()));
    spec
}

const TEXT: &str = "size,city,p0,p1,y\n20,Rome,1,20,yes\n40,Oslo,3,40,no\n60,Rome,5,70,yes\n";

#[test]
fn rows_come_back_in_their_own_units() {
    let data = csv(TEXT, &mixed());
    let pipeline = Pipeline::fit(&mixed(), &data, &all_rows(&data)).expect("fits");
    let rows = undone(&pipeline, &data, &[1, 2]);
    assert!((number(&rows[0], "size") - 40.0).abs() < 1e-3, "{rows:?}");
    assert_eq!(
        [&rows[0]["city"], &rows[1]["city"]],
        [&Value::Text("Oslo".into()), &Value::Text("Rome".into())]
    );
    let Value::Vector(pixels) = &rows[1]["p"] else { panic!("{rows:?}") };
    assert!((pixels[0] - 5.0).abs() < 1e-3 && (pixels[1] - 70.0).abs() < 1e-3, "{pixels:?}");
}

#[test]
fn the_nearest_category_is_taken() {
    for transform in ["one_hot", "ordinal"] {
        let mut spec = spec(&[("city", Kind::Category)], OutputKind::Category);
        spec.inputs[0].transforms = Some(transforms_of(&format!(r#"[{{"type": "{transform}"}}]"#)));
        let data = csv("city,y\nOslo,a\nRome,b\nBonn,a\n", &spec);
        let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
        undone(&pipeline, &data, &[0, 1, 2]);
        // Bonn, Oslo, Rome, and what training never saw, which nobody draws.
        let numbers: &[f32] = if transform == "one_hot" { &[0.1, 0.3, 0.6, 0.9] } else { &[1.7] };
        let rows = pipeline.undo(numbers).expect("one row");
        assert_eq!(rows[0]["city"], Value::Text("Rome".into()), "{transform}");
    }
}

#[test]
fn a_window_comes_back_step_by_step() {
    let mut spec = spec(&[("a", Kind::Number), ("c", Kind::Category)], OutputKind::Number);
    spec.windows = Some(WindowSpec::new("t", 3));
    let rows: String = (0..6).map(|t| format!("{t},{},{},{t}\n", t * t, ["even", "odd"][t % 2])).collect();
    let data = csv(&format!("t,a,c,y\n{rows}"), &spec);
    let pipeline = Pipeline::fit(&spec, &data, &data.samples()).expect("fits");
    let rows = undone(&pipeline, &data, &[4]);
    let Value::Vector(squares) = &rows[0]["a"] else { panic!("{rows:?}") };
    for (got, wanted) in squares.iter().zip([4.0, 9.0, 16.0]) {
        assert!((got - wanted).abs() < 1e-4, "{squares:?}");
    }
    assert_eq!(
        rows[0]["c"],
        Value::List(["even", "odd", "even"].map(|text| Value::Text(text.into())).to_vec())
    );
}

#[test]
fn images_come_back_as_files() {
    for transforms in images::TRANSFORMS {
        let spec = spec_of_x(Kind::Image, transforms);
        let data = images::dataset(&spec, 0);
        let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
        let rows = undone(&pipeline, &data, &[0, 5]);
        assert!(
            matches!(&rows[0]["x"], Value::Bytes(bytes) if bytes.starts_with(b"\x89PNG")),
            "{transforms}"
        );
        let numbers = apply(&pipeline, &data, &[0]);
        let bright: Vec<f32> = numbers.iter().map(|_| 1e9).collect();
        pipeline.undo(&bright).expect("what is brighter than white is white");
    }
}

#[test]
fn what_cannot_be_undone_is_said() {
    let mut spec = mixed();
    spec.inputs.push(modelyard_data::InputSpec::new("when", Kind::Datetime));
    let data = csv("size,city,p0,p1,when,y\n1,Rome,1,2,2024-01-01,a\n2,Rome,3,4,2024-01-02,b\n", &spec);
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    let error = pipeline.undo(&apply(&pipeline, &data, &[0])).expect_err("times have no way back");
    let text = format!("{error} | {}", error.hint().unwrap_or_default());
    assert!(text.contains("when") && text.contains("`datetime_parts` cannot be undone"), "{text}");
    assert!(text.contains("leave the input out"), "{text}");
}
