//! What each format gives, and how files are found.

use std::io::Write as _;

use modelyard_data::read::csv::from_bytes as read_csv;
use modelyard_data::{
    ColumnData, Columns, DataError, Dataset, InputSpec, Kind, OutputKind, Paths, PipelineSpec, SourceSpec,
    SplitKind, named_files, read, read::jsonl, source_files, split,
};

use super::{csv, spec};

fn numbers(data: &Dataset, name: &str) -> Vec<f64> {
    match data.column(name) {
        Some(ColumnData::Numbers(numbers)) => numbers.iter().collect(),
        other => panic!("{name} is {other:?}"),
    }
}

fn labels(data: &Dataset, name: &str) -> Vec<Option<String>> {
    match data.column(name) {
        Some(ColumnData::Categories(c)) => {
            c.codes.iter().map(|code| c.dictionary.label(*code).map(String::from)).collect()
        }
        other => panic!("{name} is {other:?}"),
    }
}

fn vectors(data: &Dataset, name: &str) -> (usize, Vec<f32>) {
    match data.column(name) {
        Some(ColumnData::Vectors(vectors)) => (vectors.width, vectors.values.clone()),
        other => panic!("{name} is {other:?}"),
    }
}

fn ab() -> PipelineSpec {
    spec(&[("a", Kind::Number), ("b", Kind::Category)], OutputKind::Number)
}

#[test]
fn csv_as_people_write_it() {
    let text =
        "\u{feff}b,unused,y,a\r\n\"one, \"\"two\"\"\",x,1, 2.5 \r\nNA,x,-2e3,?\r\n\"line\nbreak\",x,0,-0\r\n";
    let data = csv(text, &ab());
    assert_eq!(data.rows(), 3);
    let a = numbers(&data, "a");
    assert_eq!((a[0], a[1].is_nan(), a[2]), (2.5, true, 0.0));
    assert_eq!(labels(&data, "b"), [Some("one, \"two\"".into()), None, Some("line\nbreak".into())]);
    assert_eq!(numbers(&data, "y"), [1.0, -2000.0, 0.0]);
}

#[test]
fn without_a_header_columns_are_numbered() {
    let mut source = SourceSpec::new("x.csv");
    source.has_header = false;
    source.delimiter = Some(';');
    source.missing = vec!["-999".into()];
    let mut spec = spec(&[("v", Kind::Vector)], OutputKind::Number);
    spec.inputs[0].columns = Some(Columns::One("c0..c1".into()));
    spec.outputs[0].column = Some("c2".into());
    let data = modelyard_data::read::csv::from_bytes(b"1;2;3\n-999;5;6\n", &source, &spec).expect("reads");
    let (width, values) = vectors(&data, "v");
    assert_eq!(width, 2);
    assert!(values[2].is_nan());
    assert_eq!([values[0], values[1], values[3]], [1.0, 2.0, 5.0]);
    assert_eq!(numbers(&data, "y"), [3.0, 6.0]);
}

#[test]
fn json_lines_of_every_kind() {
    let text = "\u{feff}{\"a\": 1, \"b\": \"x\", \"y\": 2, \"v\": [1, 2], \"t\": \"2024-02-29\", \"p1\": 5, \"p2\": 6}\n\n\
                {\"b\": true, \"y\": 3, \"v\": [3, null], \"t\": 1709188200, \"p1\": 7, \"p2\": 8, \"more\": {}}\n";
    let mut spec = ab();
    spec.inputs.push(InputSpec::new("v", Kind::Vector));
    spec.inputs.push(InputSpec::new("t", Kind::Datetime));
    let mut p = InputSpec::new("p", Kind::Vector);
    p.columns = Some(Columns::Many(vec!["p*".into()]));
    spec.inputs.push(p);
    let data = jsonl::from_bytes(text.as_bytes(), &SourceSpec::new("x.jsonl"), &spec)
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(numbers(&data, "a")[1].is_nan());
    assert_eq!(labels(&data, "b"), [Some("x".into()), Some("true".into())]);
    assert!(vectors(&data, "v").1[3].is_nan());
    assert_eq!(vectors(&data, "p"), (2, vec![5.0, 6.0, 7.0, 8.0]));
    assert_eq!(data.column("t"), Some(&ColumnData::Datetimes(vec![1_709_164_800.0, 1_709_188_200.0])));
}

fn write(folder: &std::path::Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).expect("writes");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

#[test]
fn several_files_follow_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "day-2.csv", b"a,b,y\n2,x,0\n");
    write(folder.path(), "day-1.csv", b"y,b,a\n0,x,1\n");
    write(folder.path(), "late.csv.gz", &gzip(b"a,b,y\n3,x,0\n"));
    write(folder.path(), "test.tsv", b"a\tb\ty\n4\tx\t0\n");
    let mut source = SourceSpec::new("");
    source.source = Paths::Many(vec!["day-*.csv".into(), "late.csv.gz".into()]);
    assert_eq!(numbers(&read(&source, folder.path(), &ab()).expect("reads"), "a"), [1.0, 2.0, 3.0]);
    source.test_source = Some(Paths::One("late.csv.gz".into()));
    source.source = Paths::One("day-*.csv".into());
    let data = read(&source, folder.path(), &ab()).expect("reads");
    assert_eq!(data.test_rows(), Some(2..3));
    let files = source_files(&source, folder.path()).expect("finds");
    let names: Vec<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["day-1.csv", "day-2.csv", "late.csv.gz"]);
    let tsv = read(&SourceSpec::new("test.tsv"), folder.path(), &ab()).expect("reads");
    assert_eq!(numbers(&tsv, "a"), [4.0]);
}

fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values);
    bytes
}

#[test]
fn an_array_with_a_file_of_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    let values: Vec<u8> = (0..6i16).flat_map(i16::to_le_bytes).collect();
    write(folder.path(), "x.npy", &npy("<i2", "(2, 3)", &values));
    write(folder.path(), "y.npy", &npy("|u1", "(2,)", &[7, 8]));
    let mut source = SourceSpec::new("x.npy");
    source.labels = Some(Paths::One("y.npy".into()));
    let mut spec = spec(&[("v", Kind::Vector), ("c1", Kind::Number)], OutputKind::Category);
    let data = read(&source, folder.path(), &spec).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(vectors(&data, "v"), (3, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    assert_eq!(numbers(&data, "c1"), [1.0, 4.0]);
    assert_eq!(labels(&data, "y"), [Some("7".into()), Some("8".into())]);
    // Without a file of labels the output is one of the columns.
    spec.outputs[0].column = Some("c2".into());
    spec.inputs[0].columns = Some(Columns::One("c0..c1".into()));
    let data = read(&SourceSpec::new("x.npy"), folder.path(), &spec).expect("reads");
    assert_eq!(labels(&data, "y"), [Some("2".into()), Some("5".into())]);
    write(folder.path(), "y.npy", &npy("|u1", "(3,)", &[7, 8, 9]));
    assert!(matches!(read(&source, folder.path(), &spec), Err(DataError::Malformed { .. })));
}

#[test]
fn a_vector_of_whole_rows_does_not_swallow_the_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let values: Vec<u8> = (0..6i16).flat_map(i16::to_le_bytes).collect();
    write(folder.path(), "x.npy", &npy("<i2", "(2, 3)", &values));
    let mut spec = spec(&[("v", Kind::Vector)], OutputKind::Category);
    spec.outputs[0].column = Some("c2".into());
    let error = read(&SourceSpec::new("x.npy"), folder.path(), &spec).expect_err("the answer is inside");
    assert!(error.to_string().contains("\"c2\""), "{error}");
    assert_eq!(error.hint().as_deref(), Some("name its columns, as in columns = \"c0..c1\""));
    // Nor what groups the rows, though labels are in a file of their own.
    write(folder.path(), "y.npy", &npy("|u1", "(2,)", &[7, 8]));
    let mut source = SourceSpec::new("x.npy");
    source.labels = Some(Paths::One("y.npy".into()));
    assert!(read(&source, folder.path(), &spec).is_ok());
    source.split.kind = SplitKind::Group;
    source.split.column = Some("c0".into());
    let error = read(&source, folder.path(), &spec).expect_err("the group is inside");
    assert!(error.to_string().contains("\"c0\""), "{error}");
}

#[test]
fn a_file_is_read_once_only() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "train.csv", b"a,b,y\n1,x,0\n");
    write(folder.path(), "test.csv", b"a,b,y\n2,x,0\n");
    let mut source = SourceSpec::new("*.csv");
    source.test_source = Some(Paths::One("./test.csv".into()));
    let error = read(&source, folder.path(), &ab()).expect_err("test.csv is in both");
    assert!(error.to_string().contains("test.csv is named twice"), "{error}");
    assert!(error.to_string().contains("test_source"), "{error}");
    let mut twice = SourceSpec::new("");
    twice.source = Paths::Many(vec!["train.csv".into(), "t*n.csv".into()]);
    let error = read(&twice, folder.path(), &ab()).expect_err("train.csv is there twice");
    assert!(error.to_string().contains("train.csv is named twice"), "{error}");
    source.source = Paths::One("train.csv".into());
    assert!(read(&source, folder.path(), &ab()).is_ok());
}

#[test]
fn a_column_that_only_a_later_line_has_is_told() {
    let mut spec = spec(&[("v", Kind::Vector)], OutputKind::Number);
    spec.inputs[0].columns = Some(Columns::One("f_*".into()));
    let read = |text: &str| jsonl::from_bytes(text.as_bytes(), &SourceSpec::new("x.jsonl"), &spec);
    assert!(read("{\"f_1\": 1, \"y\": 0}\n{\"f_1\": 2, \"y\": 0, \"note\": 1}\n").is_ok());
    let error = read("{\"f_1\": 1, \"y\": 0}\n{\"f_1\": 2, \"f_7\": 2, \"y\": 0}\n").expect_err("f_7 is new");
    assert!(error.to_string().contains("\"f_7\" is not in the first row"), "{error}");
    assert!(error.to_string().contains(":2") || error.to_string().contains("line 2"), "{error}");
}

#[test]
fn a_marker_that_is_a_number_is_one_however_it_is_written() {
    let mut source = SourceSpec::new("x");
    source.missing = vec!["-999".into(), "NA".into()];
    let spec = spec(&[("a", Kind::Number)], OutputKind::Number);
    let lines = "{\"a\": -999, \"y\": 1}\n{\"a\": -999.0, \"y\": 1}\n{\"a\": \"NA\", \"y\": 1}\n{\"a\": 2, \"y\": 1}\n";
    let of_lines = jsonl::from_bytes(lines.as_bytes(), &source, &spec).expect("reads");
    let cells = b"a,y\n-999,1\n-999.0,1\nNA,1\n2,1\n";
    let of_cells = read_csv(cells, &source, &spec).expect("reads");
    for data in [of_lines, of_cells] {
        let values = numbers(&data, "a");
        assert!(values[..3].iter().all(|value| value.is_nan()) && values[3] == 2.0, "{values:?}");
    }
}

#[test]
fn a_text_is_the_same_from_a_table_a_line_and_a_request() {
    let mut spec = spec(&[("note", Kind::Text), ("a", Kind::Number)], OutputKind::Number);
    spec.inputs[0].transforms = Some(super::transforms_of("[{\"type\": \"tokenize\", \"length\": 4}]"));
    let mut source = SourceSpec::new("x");
    source.missing = vec!["NA".into()];
    let texts = |data: &Dataset| match data.column("note") {
        Some(ColumnData::Texts(texts)) => {
            (0..data.rows()).map(|row| texts.get(row).to_owned()).collect::<Vec<_>>()
        }
        other => panic!("a text is {other:?}"),
    };
    let of_cells = read_csv(b"note,a,y\n  hello ,1,1\nNA,1,1\n", &source, &spec).expect("reads");
    let lines = "{\"note\": \"  hello \", \"a\": 1, \"y\": 1}\n{\"note\": \"NA\", \"a\": 1, \"y\": 1}\n";
    let of_lines = jsonl::from_bytes(lines.as_bytes(), &source, &spec).expect("reads");
    assert_eq!(texts(&of_cells), ["hello", ""]);
    assert_eq!(texts(&of_lines), ["hello", ""]);
}

#[test]
fn a_number_is_a_datetime_by_its_format() {
    let of = |format: Option<&str>, number: &str| {
        let mut spec = spec(&[("at", Kind::Datetime)], OutputKind::Number);
        spec.inputs[0].format = format.map(String::from);
        let line = format!("{{\"at\": {number}, \"y\": 1}}");
        let data = jsonl::from_bytes(line.as_bytes(), &SourceSpec::new("x.jsonl"), &spec).ok()?;
        match data.column("at") {
            Some(ColumnData::Datetimes(seconds)) => Some(seconds[0]),
            other => panic!("a datetime is {other:?}"),
        }
    };
    assert_eq!(of(None, "1700000000"), Some(1_700_000_000.0));
    assert_eq!(of(Some("unix"), "1700000000"), Some(1_700_000_000.0));
    assert_eq!(of(Some("unix_ms"), "1700000000500"), Some(1_700_000_000.5));
    assert_eq!(of(Some("%Y%m%d"), "20240229"), Some(1_709_164_800.0));
    assert_eq!(of(Some("%d.%m.%Y"), "2024"), None);
}

#[test]
fn the_split_reads_its_own_column() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::from("a,b,y,cycle,unit\n");
    for row in 0..40 {
        text.push_str(&format!("1,x,0,{},u{}\n", 40 - row, row / 4));
    }
    write(folder.path(), "x.csv", text.as_bytes());
    let mut source = SourceSpec::new("x.csv");
    source.split.kind = SplitKind::Time;
    assert!(read(&source, folder.path(), &ab()).is_err(), "by which column?");
    source.split.column = Some("cycle".into());
    let data = read(&source, folder.path(), &ab()).expect("reads");
    let parts = split(&source.split, &data, &ab().outputs).expect("splits");
    assert_eq!(parts.test, [0, 1, 2, 3, 4, 5], "the largest cycles are the latest");
    source.split.kind = SplitKind::Group;
    source.split.column = Some("unit".into());
    let data = read(&source, folder.path(), &ab()).expect("reads");
    let parts = split(&source.split, &data, &ab().outputs).expect("splits");
    assert!(parts.test.len().is_multiple_of(4) && !parts.test.is_empty(), "whole units");
}

#[test]
fn files_that_cells_name_are_part_of_the_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("p")).expect("made");
    std::fs::create_dir(at("q")).expect("made");
    for (name, bytes) in [
        ("p/table.csv", "y,photo\n1,b.png\n2,a.png\n3,a.png\n4,iVBORw0K\n5,gone.png\n"),
        ("q/table.csv", "y,photo\n1,a.png\n"),
        ("rows.jsonl", "{\"photo\": \"p/b.png\", \"y\": 1}\n{\"photo\": [0, 255], \"y\": 2}\n"),
        ("p/a.png", "a"),
        ("p/b.png", "b"),
        ("q/a.png", "other"),
    ] {
        std::fs::write(at(name), bytes).expect("written");
    }
    let spec = PipelineSpec {
        inputs: vec![InputSpec::new("photo", Kind::Image), InputSpec::new("y", Kind::Number)],
        outputs: Vec::new(),
        windows: None,
    };
    let named = |source: &str, spec: &PipelineSpec| {
        named_files(&SourceSpec::new(source), folder.path(), spec).expect("tables that can be read")
    };
    assert_eq!(named("p/table.csv", &spec), [at("p/a.png"), at("p/b.png")]);
    assert_eq!(named("q/*.csv", &spec), [at("q/a.png")], "taken from the table's own folder");
    assert_eq!(named("rows.jsonl", &spec), [at("p/b.png")]);
    let numbers =
        PipelineSpec { inputs: vec![InputSpec::new("y", Kind::Number)], outputs: Vec::new(), windows: None };
    assert_eq!(named("p/table.csv", &numbers), Vec::<std::path::PathBuf>::new());
}
