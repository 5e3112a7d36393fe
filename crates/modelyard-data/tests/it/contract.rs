//! The contract of every transform: what it learns comes from training rows alone, a row alone gives the
//! numbers it gives among others, and it survives being stored.

use modelyard_data::{Dataset, Kind, Pipeline, PipelineSpec, TransformSpec};

use super::{all_rows, apply, csv, images, sound, spec_of_x, text};

/// Rows 0 to 5 train; rows 6 and 7 differ between the two versions of the data.
const TRAINING_ROWS: &[usize] = &[0, 1, 2, 3, 4, 5];

struct Case {
    kind: Kind,
    transforms: &'static str,
    training: [&'static str; 6],
    later: [[&'static str; 2]; 2],
}

const NUMBERS: [&str; 6] = ["1", "2.5", "4", "4", "7", "0"];
const LATER_NUMBERS: [[&str; 2]; 2] = [["3", "100"], ["-0.5", "1e6"]];
const LABELS: [&str; 6] = ["b", "a", "b", "c", "b", "a"];
const LATER_LABELS: [[&str; 2]; 2] = [["a", "new"], ["z", "zz"]];
const TIMES: [&str; 6] =
    ["2024-01-01", "2024-02-29 06:30", "2024-03-03T12:00:00Z", "2024-12-31", "1969-12-31", "1709188200"];
const LATER_TIMES: [[&str; 2]; 2] = [["2025-01-01", "2026-06-06"], ["1900-01-01", "2100-01-01"]];

fn cases() -> Vec<Case> {
    let number =
        |transforms| Case { kind: Kind::Number, transforms, training: NUMBERS, later: LATER_NUMBERS };
    let category =
        |transforms| Case { kind: Kind::Category, transforms, training: LABELS, later: LATER_LABELS };
    let with_gap = |case: Case| {
        let mut training = case.training;
        training[2] = "NA";
        Case { training, ..case }
    };
    vec![
        number(r#"[]"#),
        number(r#"[{"type": "standard"}]"#),
        number(r#"[{"type": "min_max"}]"#),
        number(r#"[{"type": "robust"}]"#),
        number(r#"[{"type": "log1p"}, {"type": "standard"}]"#),
        number(r#"[{"type": "clip", "min": 1, "max": 5}]"#),
        with_gap(number(r#"[{"type": "impute", "strategy": "mean"}, {"type": "standard"}]"#)),
        with_gap(number(r#"[{"type": "impute", "strategy": "median"}, {"type": "robust"}]"#)),
        with_gap(number(r#"[{"type": "impute", "strategy": "most_frequent"}]"#)),
        with_gap(number(r#"[{"type": "impute", "strategy": "constant", "value": -1}]"#)),
        category(r#"[{"type": "one_hot"}]"#),
        category(r#"[{"type": "one_hot", "max_categories": 1}]"#),
        category(r#"[{"type": "one_hot", "min_count": 2}]"#),
        category(r#"[{"type": "ordinal"}, {"type": "min_max"}]"#),
        with_gap(category(r#"[{"type": "impute", "strategy": "most_frequent"}, {"type": "one_hot"}]"#)),
        with_gap(category(
            r#"[{"type": "impute", "strategy": "constant", "value": "none"}, {"type": "ordinal"}]"#,
        )),
        Case {
            kind: Kind::Datetime,
            transforms: r#"[{"type": "datetime_parts", "parts": ["minute", "hour", "weekday", "day_of_month", "day_of_year", "month"]}]"#,
            training: TIMES,
            later: LATER_TIMES,
        },
    ]
}

fn data(case: &Case, version: usize, spec: &PipelineSpec) -> Dataset {
    let mut text = String::from("x,y\n");
    for (row, value) in case.training.iter().chain(&case.later[version]).enumerate() {
        text.push_str(&format!("{value},{}\n", row % 2));
    }
    csv(&text, spec)
}

/// What holds for tables and images alike.
fn check(name: &str, spec: &PipelineSpec, first: &Dataset, second: &Dataset) {
    let pipeline =
        Pipeline::fit(spec, first, TRAINING_ROWS).unwrap_or_else(|error| panic!("{name}: {error}"));
    let other = Pipeline::fit(spec, second, TRAINING_ROWS).expect("fits");
    assert_eq!(pipeline, other, "{name}: learnt from rows that do not train");

    let rows = all_rows(first);
    let whole = apply(&pipeline, first, &rows);
    assert!(whole.iter().all(|value| value.is_finite()), "{name}: {whole:?}");
    assert_eq!(whole.len(), rows.len() * pipeline.input_shape().iter().product::<usize>(), "{name}: width");
    let alone: Vec<f32> = rows.iter().flat_map(|row| apply(&pipeline, first, &[*row])).collect();
    assert_eq!(whole, alone, "{name}: a row alone differs");

    let stored =
        Pipeline::from_json(pipeline.to_json().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(stored.to_json(), pipeline.to_json(), "{name}: stored");
    assert_eq!(apply(&stored, second, &rows), apply(&pipeline, second, &rows), "{name}: stored");
}

#[test]
fn transforms_of_columns_keep_the_contract() {
    for case in cases() {
        let spec = spec_of_x(case.kind, case.transforms);
        check(case.transforms, &spec, &data(&case, 0, &spec), &data(&case, 1, &spec));
    }
}

#[test]
fn transforms_of_images_keep_the_contract() {
    for transforms in images::TRANSFORMS {
        let spec = spec_of_x(Kind::Image, transforms);
        check(transforms, &spec, &images::dataset(&spec, 1), &images::dataset(&spec, 2));
    }
}

#[test]
fn transforms_of_texts_keep_the_contract() {
    for transforms in text::TRANSFORMS {
        let spec = spec_of_x(Kind::Text, transforms);
        check(transforms, &spec, &text::dataset(&spec, 1), &text::dataset(&spec, 2));
    }
}

#[test]
fn transforms_of_sounds_keep_the_contract() {
    for transforms in sound::TRANSFORMS {
        let spec = spec_of_x(Kind::Audio, transforms);
        check(transforms, &spec, &sound::dataset(&spec, 1), &sound::dataset(&spec, 2));
    }
}

#[test]
fn no_transform_is_without_a_case() {
    let all: Vec<&str> = cases()
        .iter()
        .map(|case| case.transforms)
        .chain(images::TRANSFORMS.iter().copied())
        .chain(text::TRANSFORMS.iter().chain(sound::TRANSFORMS).copied())
        .collect();
    for name in TransformSpec::NAMES {
        assert!(
            all.iter().any(|json| json.contains(&format!("\"{name}\""))),
            "{name} is not in the contract"
        );
    }
}

#[test]
fn what_is_missing_is_filled_or_refused() {
    for case in cases() {
        let spec = spec_of_x(case.kind, case.transforms);
        let pipeline = Pipeline::fit(&spec, &data(&case, 0, &spec), TRAINING_ROWS).expect("fits");
        let gap = csv("x,y\n?,0\n", &spec);
        let mut out = vec![7.0];
        let applied = pipeline.apply(&gap, &[0], &mut out);
        if case.transforms.contains("impute") {
            applied.expect("filled in");
            assert!(out.iter().all(|value| value.is_finite()));
        } else {
            let error = applied.expect_err("refused");
            assert!(error.to_string().contains("row 0, \"x\""), "{error}");
            assert!(error.hint().expect("a way out").contains("impute"));
            assert_eq!(out, [7.0], "nothing is appended");
        }
    }
}

#[test]
fn a_constant_column_gives_finite_numbers_and_a_warning() {
    for mut case in cases() {
        case.training = [case.training[0]; 6];
        let spec = spec_of_x(case.kind, case.transforms);
        let data = data(&case, 0, &spec);
        let pipeline = Pipeline::fit(&spec, &data, TRAINING_ROWS).expect("fits");
        assert!(apply(&pipeline, &data, TRAINING_ROWS).iter().all(|value| value.is_finite()));
        if case.kind != Kind::Datetime && !case.transforms.contains("none") {
            assert!(pipeline.warnings().iter().any(|w| w.contains("same value")), "{}", case.transforms);
        }
    }
}

#[test]
fn a_column_all_missing_is_refused_with_a_hint() {
    for mut case in cases() {
        let learns = ["standard", "min_max", "robust", "mean", "median", "most_frequent"]
            .iter()
            .any(|name| case.transforms.contains(name));
        let fills = case.transforms.contains("constant");
        if case.kind == Kind::Category && !fills || case.kind == Kind::Number && learns && !fills {
            case.training = ["NA"; 6];
            let spec = spec_of_x(case.kind, case.transforms);
            let error =
                Pipeline::fit(&spec, &data(&case, 0, &spec), TRAINING_ROWS).expect_err("nothing to learn");
            assert!(
                error.to_string().contains("every training row is missing"),
                "{}: {error}",
                case.transforms
            );
            assert!(error.hint().is_some());
        }
    }
}
