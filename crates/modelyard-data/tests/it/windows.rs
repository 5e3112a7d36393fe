//! Windows over series: from a table to steps of numbers and back, in training and in serving, and what is refused.

use modelyard_data::{
    DataError, Dataset, Duplicates, Every, Gaps, Kind, OutputKind, Pipeline, PipelineSpec, Prediction, Row,
    Short, SourceSpec, SplitKind, SplitSpec, TargetValues, Value, WindowSpec, split,
};

use crate::{apply, assert_near, csv, spec};

/// Two numbers of a machine and, of its rows in order of time, `y`.
fn windowed(length: usize) -> PipelineSpec {
    let mut spec = spec(&[("a", Kind::Number), ("c", Kind::Category)], OutputKind::Number);
    spec.inputs[0].transforms = Some(Vec::new());
    spec.outputs[0].transforms = Some(Vec::new());
    spec.windows = Some(WindowSpec::new("t", length));
    spec
}

fn windows(spec: &mut PipelineSpec) -> &mut WindowSpec {
    spec.windows.as_mut().expect("the test has windows")
}

fn read(text: &str, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    modelyard_data::read::csv::from_bytes(text.as_bytes(), &SourceSpec::new("x.csv"), spec)
}

/// Rows at `times`, where a = t, y = 10 t, and c is even or odd.
fn table(times: impl IntoIterator<Item = u32>) -> String {
    let row = |t: u32| format!("{t},u{},{t},{},{}\n", t / 100, ["even", "odd"][(t % 2) as usize], t * 10);
    std::iter::once("t,u,a,c,y\n".to_owned()).chain(times.into_iter().map(row)).collect()
}

fn says(error: &DataError, wanted: &[&str]) {
    let text = format!("{error} | {}", error.hint().unwrap_or_default());
    for part in wanted {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn a_sample_is_a_window_and_its_target_is_that_of_its_last_row() {
    let spec = windowed(3);
    let data = csv(&table([4, 1, 3, 2, 0]), &spec);
    assert_eq!(data.samples(), [2, 3, 4]);
    assert!(data.warnings()[0].contains("not in the order"), "{:?}", data.warnings());
    let pipeline = Pipeline::fit(&spec, &data, &data.samples()).expect("fits");
    assert_eq!(pipeline.input_shape(), [3, 4], "one_hot has a place for labels that are new");
    let numbers = apply(&pipeline, &data, &[3]);
    assert_near(&numbers, &[1.0, 0.0, 1.0, 0.0, 2.0, 1.0, 0.0, 0.0, 3.0, 0.0, 1.0, 0.0]);
    let TargetValues::Values(targets) = pipeline.targets(&data, &[2, 4]).expect("numbers") else {
        panic!("numbers")
    };
    assert_near(&targets, &[20.0, 40.0]);
    let again = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads back");
    assert_eq!(again, pipeline);
}

#[test]
fn a_request_gives_a_list_for_each_input() {
    let spec = windowed(3);
    let data = csv(&table(0..5), &spec);
    let pipeline = Pipeline::fit(&spec, &data, &data.samples()).expect("fits");
    let row = |json: &str| -> Row {
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).expect("an object");
        json.iter().map(|(name, value)| (name.clone(), Value::from_json(value).expect("a value"))).collect()
    };
    let asked = row(r#"{"a": [1, 2, 3], "c": ["odd", "even", "odd"]}"#);
    let served = pipeline.dataset_from_rows(&[asked.clone(), asked]).expect("rows");
    let numbers = apply(&pipeline, &served, &served.samples());
    assert_eq!(numbers[..12], apply(&pipeline, &data, &[3])[..]);
    assert_eq!(numbers[12..], numbers[..12]);
    for (wrong, wanted) in [
        (r#"{"a": [1, 2], "c": ["odd", "even", "odd"]}"#, &["\"a\"", "list of 3 values", "not 2"][..]),
        (r#"{"a": 1, "c": ["odd", "even", "odd"]}"#, &["list of 3 values", "the number 1"]),
        (r#"{"a": [1, null, 3], "c": ["odd", "even", "odd"]}"#, &["row 0", "missing"]),
        (r#"{"a": ["x", 2, 3], "c": ["odd", "even", "odd"]}"#, &["at step 0", "number"]),
        (r#"{"a": [1, 2, 3]}"#, &["\"c\"", "no value"]),
    ] {
        let error = match pipeline.dataset_from_rows(&[row(wrong)]) {
            Err(error) => error,
            Ok(data) => pipeline.apply(&data, &data.samples(), &mut Vec::new()).expect_err(wrong),
        };
        says(&error, wanted);
    }
    let field = &pipeline.input_fields()[1];
    assert_eq!(field.steps, Some(3));
    assert!(matches!(&field.example, Some(Value::List(items)) if items.len() == 3), "{field:?}");
}

#[test]
fn windows_keep_to_their_unit() {
    let mut spec = windowed(3);
    windows(&mut spec).unit = Some("u".into());
    let data = csv(&table((0..4).chain(100..105)), &spec);
    assert_eq!(data.samples(), [2, 3, 6, 7, 8]);
    windows(&mut spec).length = 5;
    says(
        &read(&table((0..4).chain(100..105)), &spec).expect_err("short"),
        &["\"u0\"", "4 rows", "needs 5", "pad"],
    );
    windows(&mut spec).short = Short::Skip;
    assert_eq!(csv(&table((0..4).chain(100..105)), &spec).samples(), [8]);
    windows(&mut spec).short = Short::Pad;
    let padded = csv(&table((0..4).chain(100..105)), &spec);
    assert_eq!(padded.samples(), [3, 8]);
    let pipeline = Pipeline::fit(&spec, &padded, &[3, 8]).expect("fits");
    let first: Vec<f32> = apply(&pipeline, &padded, &[3]).into_iter().step_by(4).collect();
    assert_near(&first, &[0.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn gaps_are_refused_split_or_filled() {
    let text = table([0, 1, 2, 5, 6, 7, 8]);
    let mut spec = windowed(3);
    windows(&mut spec).every = Some(Every::Number(1.0));
    says(&read(&text, &spec).expect_err("gap"), &["gap of 2 rows", "between 2 and 5", "split"]);
    windows(&mut spec).gaps = Gaps::Split;
    assert_eq!(csv(&text, &spec).samples(), [2, 5, 6]);
    windows(&mut spec).gaps = Gaps::Fill;
    let filled = csv(&text, &spec);
    assert_eq!(filled.samples(), [2, 5, 6, 7, 8], "rows 3 and 4 were put in");
    assert!(filled.warnings().iter().any(|text| text.contains("2 rows were put into gaps")));
    let pipeline = Pipeline::fit(&spec, &filled, &[5]).expect("fits");
    let numbers: Vec<f32> = apply(&pipeline, &filled, &[5]).into_iter().step_by(4).collect();
    assert_near(&numbers, &[3.0, 4.0, 5.0]);
    let far = table([0, 1, 2, 60, 61, 62]);
    assert_eq!(csv(&far, &spec).samples(), [2, 5], "a gap longer than a window is split");
    windows(&mut spec).every = None;
    says(&read(&text, &spec).expect_err("every"), &["data.windows.gaps", "every"]);
}

#[test]
fn times_that_make_no_series_are_refused() {
    let spec = windowed(2);
    says(&read(&table([0, 1, 1, 2]), &spec).expect_err("twice"), &["rows 1 and 2", "same time", "unit"]);
    let mut kept = spec.clone();
    windows(&mut kept).duplicates = Duplicates::KeepLast;
    let data = csv("t,a,c,y\n0,1,x,1\n1,2,x,1\n1,3,x,1\n", &kept);
    assert_eq!((data.rows(), data.windows().expect("windows").origin(1)), (2, Some(2)));
    assert!(data.warnings()[0].contains("1 rows have the time of another"), "{:?}", data.warnings());
    says(&read("t,a,c,y\n0,1,x,1\n,1,x,1\n", &spec).expect_err("no time"), &["row 1", "no time"]);
    says(&read(&table([0]), &spec).expect_err("short"), &["1 rows", "needs 2"]);
    let mixed = "t,a,c,y\n2024-01-01T00:00:00Z,1,x,1\n2024-01-01 00:05,1,x,1\n";
    says(&read(mixed, &spec).expect_err("zones"), &[":3", "names no time zone", "before name one"]);
    let zoned = "t,a,c,y\n2024-01-01T00:00:00+01:00,1,x,1\n2024-01-01T00:00:00Z,2,x,1\n";
    assert_eq!(csv(zoned, &spec).samples(), [1]);
    let mut without = spec.clone();
    windows(&mut without).length = 0;
    says(&read(&table(0..3), &without).expect_err("length"), &["data.windows.length"]);
    windows(&mut without).length = 2;
    windows(&mut without).every = Some(Every::Text("soon".into()));
    says(&read(&table(0..3), &without).expect_err("every"), &["data.windows.every", "5m"]);
    windows(&mut without).time = "when".into();
    windows(&mut without).every = None;
    says(&read(&table(0..3), &without).expect_err("column"), &["\"when\""]);
}

fn parts(kind: SplitKind, data: &Dataset, spec: &PipelineSpec) -> Result<modelyard_data::Parts, DataError> {
    split(&SplitSpec { kind, ..SplitSpec::default() }, data, &spec.outputs)
}

#[test]
fn no_part_learns_from_what_another_judges_by() {
    let mut spec = windowed(3);
    let data = csv(&table(0..60), &spec);
    let error = parts(SplitKind::Random, &data, &spec).expect_err("overlap");
    says(&error, &["share rows", "kind = \"time\""]);
    let by_time = parts(SplitKind::Time, &data, &spec).expect("splits");
    assert_eq!((by_time.train.len(), by_time.notes.len()), (40, 0));

    windows(&mut spec).horizon = 4;
    let data = csv(&table(0..60), &spec);
    let by_time = parts(SplitKind::Time, &data, &spec).expect("splits");
    let first = by_time.validation[0];
    assert!(by_time.train.iter().all(|row| row + 4 < first), "{:?} before {first}", by_time.train.last());
    assert!(by_time.notes[0].contains("windows were left out"), "{:?}", by_time.notes);

    windows(&mut spec).horizon = 0;
    windows(&mut spec).stride = 3;
    let data = csv(&table(0..60), &spec);
    assert_eq!(parts(SplitKind::Random, &data, &spec).expect("windows share no rows").notes.len(), 0);

    windows(&mut spec).unit = Some("u".into());
    let data = csv(&table((0..9).chain(100..109).chain(200..209)), &spec);
    let by_unit = parts(SplitKind::Group, &data, &spec).expect("by unit");
    assert_eq!([by_unit.train.len(), by_unit.validation.len(), by_unit.test.len()], [3, 3, 3]);
}

#[test]
fn a_test_source_that_begins_too_early_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), table(0..40)).expect("written");
    std::fs::write(folder.path().join("b.csv"), table(30..50)).expect("written");
    std::fs::write(folder.path().join("c.csv"), table(40..50)).expect("written");
    let spec = windowed(3);
    let source = |test: &str| SourceSpec {
        test_source: Some(modelyard_data::Paths::One(test.into())),
        ..SourceSpec::new("a.csv")
    };
    let early = modelyard_data::read(&source("b.csv"), folder.path(), &spec).expect("reads");
    says(&parts(SplitKind::Time, &early, &spec).expect_err("early"), &["begins before"]);
    let later = modelyard_data::read(&source("c.csv"), folder.path(), &spec).expect("reads");
    assert_eq!(parts(SplitKind::Time, &later, &spec).expect("splits").test.len(), 8);
}

#[test]
fn lives_are_counted_back_and_capped() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), table((0..6).chain(100..109))).expect("written");
    std::fs::write(folder.path().join("b.csv"), table((0..4).chain(100..105))).expect("written");
    std::fs::write(folder.path().join("lives.txt"), "2 \n9\n").expect("written");
    let mut spec = windowed(3);
    spec.outputs[0].kind = OutputKind::Remaining;
    spec.outputs[0].cap = Some(4.0);
    windows(&mut spec).unit = Some("u".into());
    let mut source = SourceSpec::new("a.csv");
    source.test_source = Some(modelyard_data::Paths::One("b.csv".into()));
    source.test_labels = Some(modelyard_data::Paths::One("lives.txt".into()));
    let data = modelyard_data::read(&source, folder.path(), &spec).expect("reads");
    let parts = split(
        &SplitSpec { kind: SplitKind::Group, train: Some(0.5), ..SplitSpec::default() },
        &data,
        &spec.outputs,
    )
    .expect("by unit");
    assert_eq!(parts.test, [18, 23], "the last row of each unit of the test source");
    let pipeline = Pipeline::fit(&spec, &data, &parts.train).expect("fits");
    let TargetValues::Values(targets) = pipeline.targets(&data, &[2, 5, 8, 18, 23]).expect("numbers") else {
        panic!("numbers")
    };
    assert_near(&targets, &[3.0, 0.0, 4.0, 2.0, 4.0]);
    let Prediction::Number(life) = pipeline.decode(&[7.0], 1)[0].outputs[0].1 else { panic!("a number") };
    assert!((life - 4.0).abs() < 1e-9, "an answer is not above the cap");
    std::fs::write(folder.path().join("lives.txt"), "2\n").expect("written");
    let error = modelyard_data::read(&source, folder.path(), &spec).expect_err("one life for two units");
    says(&error, &["has 1", "2 units"]);
    windows(&mut spec).unit = None;
    says(
        &modelyard_data::read(&source, folder.path(), &spec).expect_err("unit"),
        &["\"y\"", "unit"].map(|s| s.trim_matches('"')),
    );
}

#[test]
fn lives_belong_to_the_units_in_the_order_of_the_test_source() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.csv"), table((0..6).chain(100..109))).expect("written");
    std::fs::write(folder.path().join("b.csv"), table((100..104).chain(0..2))).expect("written");
    std::fs::write(folder.path().join("lives.txt"), "7\n2\n").expect("written");
    let mut spec = windowed(3);
    spec.outputs[0].kind = OutputKind::Remaining;
    windows(&mut spec).unit = Some("u".into());
    windows(&mut spec).short = Short::Skip;
    let mut source = SourceSpec::new("a.csv");
    source.test_source = Some(modelyard_data::Paths::One("b.csv".into()));
    source.test_labels = Some(modelyard_data::Paths::One("lives.txt".into()));
    let data = modelyard_data::read(&source, folder.path(), &spec).expect("reads");
    let last = *data.samples().last().expect("a sample");
    let pipeline = Pipeline::fit(&spec, &data, &[2, 3, 9]).expect("fits");
    let TargetValues::Values(life) = pipeline.targets(&data, &[last]).expect("numbers") else {
        panic!("numbers")
    };
    assert_near(&life, &[7.0]);
    let told = data.warnings().iter().any(|text| text.contains("1 of the 2 units of the test source"));
    assert!(told, "a unit that is too short is told of: {:?}", data.warnings());
}

#[test]
fn the_last_window_is_there_whatever_the_stride() {
    let mut spec = windowed(3);
    windows(&mut spec).stride = 4;
    assert_eq!(csv(&table(0..12), &spec).samples(), [3, 7, 11]);
    windows(&mut spec).unit = Some("u".into());
    assert_eq!(csv(&table((0..6).chain(100..105)), &spec).samples(), [5, 10]);
}

#[test]
fn a_forecast_has_steps_and_intervals_that_hold() {
    let mut spec = windowed(4);
    windows(&mut spec).horizon = 2;
    spec.inputs[0].known_future = true;
    let data = csv(&table(0..40), &spec);
    assert_eq!(data.samples().last(), Some(&37));
    let rows: Vec<usize> = (3..20).collect();
    let mut pipeline = Pipeline::fit(&spec, &data, &rows).expect("fits");
    assert_eq!(pipeline.input_shape(), [4, 5]);
    let numbers = apply(&pipeline, &data, &[10]);
    assert_near(&numbers[15..17], &[10.0, 12.0]);
    let TargetValues::Values(targets) = pipeline.targets(&data, &[10]).expect("numbers") else {
        panic!("numbers")
    };
    assert_near(&targets, &[110.0, 120.0]);
    pipeline.set_output_activation(2, modelyard_data::OutputActivation::Linear).expect("two steps");
    // A network that is 1 too low at the first step, and at the second by the row's number from 0 to 9.
    let judged: Vec<usize> = (20..30).collect();
    let outputs: Vec<f32> = judged
        .iter()
        .enumerate()
        .flat_map(|(at, &row)| [10.0 * (row as f32 + 1.0) - 1.0, 10.0 * (row as f32 + 2.0) - at as f32])
        .collect();
    pipeline.calibrate(&data, &rows, &judged, &outputs).expect("calibrates");
    let Prediction::Forecast(steps) = &pipeline.decode(&[100.0, 200.0], 1)[0].outputs[0].1 else {
        panic!("steps")
    };
    assert_eq!((steps[0].step, steps[0].value, steps[0].interval), (1, 100.0, Some((99.0, 101.0))));
    assert_eq!(steps[1].interval, Some((191.0, 209.0)));
    let again = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads back");
    assert_eq!(again, pipeline);
    let rows_to_predict = spec.inputs_only();
    assert_eq!(csv(&table(0..40), &rows_to_predict).samples().last(), Some(&37), "the future must be known");
}

#[test]
fn anomalies_have_a_score_and_a_threshold() {
    let mut spec = windowed(3);
    spec.inputs.truncate(1);
    spec.outputs[0].kind = OutputKind::Anomaly;
    spec.outputs[0].transforms = None;
    spec.outputs[0].column = Some("c".into());
    spec.outputs[0].healthy = Some("even".into());
    spec.outputs[0].quantile = Some(0.5);
    let text = table((0..40).map(|t| t * 2)).replace("20,u0,20,even", "20,u0,20,odd");
    let data = csv(&text, &spec);
    let parts = split(&SplitSpec { kind: SplitKind::Time, ..SplitSpec::default() }, &data, &spec.outputs)
        .expect("splits");
    assert!(parts.notes[0].contains("3 samples with anomalous rows"), "{:?}", parts.notes);
    assert!(parts.notes[1].contains("4 windows were left out, because they share rows"), "{:?}", parts.notes);
    let (learned, judged) = (parts.train.last().expect("some"), parts.validation[0]);
    assert!(learned + 3 <= judged && parts.validation.last().expect("some") + 3 <= parts.test[0]);
    assert!(!parts.train.contains(&10) && !parts.train.contains(&12) && parts.train.contains(&13));
    let mut pipeline = Pipeline::fit(&spec, &data, &parts.train).expect("fits");
    assert_eq!(pipeline.output_width(), 3);
    assert_eq!(pipeline.targets(&data, &[5]).expect("zeros"), TargetValues::Input);
    let mut left = vec![3.0, 2.0, 1.0];
    pipeline.leave_residuals(&[1.0, 2.0, 4.0], &mut left);
    assert_eq!(left, [2.0, 0.0, -3.0]);
    assert_eq!(pipeline.known_anomalies(&data, &[9, 10]).expect("known"), Some(vec![false, true]));
    pipeline
        .calibrate(&data, &parts.train, &[5, 6, 7], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0])
        .expect("calibrates");
    let answers = pipeline.decode(&[2.0, 2.0, 2.0, 0.0, 0.0, 6.0], 2);
    let said: Vec<bool> = answers.iter().map(|answer| answer.outputs[0].1.is_anomalous()).collect();
    assert_eq!(said, [false, true]);
    let again = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads back");
    assert_eq!(again, pipeline);
}
