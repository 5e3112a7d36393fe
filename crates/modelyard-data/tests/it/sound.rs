//! Sounds: WAV files from folders, tables and requests, heard alike.

use std::path::Path;

use modelyard_data::{
    ColumnData, Dataset, InputSpec, Kind, OutputKind, Pipeline, PipelineSpec, SourceSpec, Value, read,
};

use super::{all_rows, apply, spec_of_x};

/// Every way to make numbers of a sound.
pub(super) const TRANSFORMS: &[&str] =
    &[r#"[{"type": "log_mel", "sample_rate": 8000, "seconds": 0.05, "n_fft": 64, "hop": 32, "n_mels": 6}]"#];

/// A WAV file of 16 bits.
fn wav(rate: u32, samples: impl Iterator<Item = f32>) -> Vec<u8> {
    let data: Vec<u8> = samples.flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * 2).to_le_bytes());
    bytes.extend_from_slice(b"\x02\0\x10\0data");
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

fn tone(hertz: f32, rate: u32) -> Vec<u8> {
    let count = rate / 10;
    wav(rate, (0..count).map(|at| 0.5 * (std::f32::consts::TAU * hertz * at as f32 / rate as f32).sin()))
}

/// Two classes of three sounds, and a table that names them.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut table = String::from("x,y\n");
    for (class, hertz) in [("high", 2000.0), ("low", 300.0)] {
        std::fs::create_dir(folder.path().join(class)).expect("made");
        for number in 0..3 {
            let file = format!("{class}/{number}.wav");
            std::fs::write(folder.path().join(&file), tone(hertz + number as f32, 8000)).expect("written");
            table.push_str(&format!("{file},{class}\n"));
        }
    }
    std::fs::write(folder.path().join("table.csv"), table).expect("written");
    folder
}

fn read_as(source: &str, folder: &Path, spec: &PipelineSpec) -> Dataset {
    read(&SourceSpec::new(source), folder, spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Eight sounds in two classes; those of rows 6 and 7 differ between versions.
pub(super) fn dataset(spec: &PipelineSpec, version: usize) -> Dataset {
    let folder = tempfile::tempdir().expect("a folder");
    for row in 0..8 {
        let class = if row < 4 { "a" } else { "b" };
        let hertz = 200.0 * (row + 1) as f32 + if row >= 6 { 77.0 * version as f32 } else { 0.0 };
        std::fs::create_dir_all(folder.path().join(class)).expect("made");
        std::fs::write(folder.path().join(format!("{class}/{row}.wav")), tone(hertz, 8000)).expect("written");
    }
    read_as(".", folder.path(), spec)
}

#[test]
fn sounds_of_folders_tables_and_requests_are_the_same_numbers() {
    let folder = folder();
    let spec = spec_of_x(Kind::Audio, TRANSFORMS[0]);
    let data = read_as(".", folder.path(), &spec);
    assert_eq!(data.rows(), 6);
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    assert_eq!(pipeline.input_shape(), [11, 6]);
    let numbers = apply(&pipeline, &data, &all_rows(&data));
    let named = read_as("table.csv", folder.path(), &spec);
    assert_eq!(apply(&pipeline, &named, &all_rows(&named)), numbers, "by path");

    let stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads");
    let row = [("x".to_owned(), Value::Bytes(tone(2000.0, 8000)))].into();
    let served = stored.dataset_from_rows(&[row]).expect("a row");
    assert_eq!(apply(&stored, &served, &[0]), numbers[..66], "as served");
    assert!(numbers[..66] != numbers[198..264], "high is not low");
}

#[test]
fn another_rate_sounds_alike() {
    let folder = folder();
    let spec = spec_of_x(Kind::Audio, TRANSFORMS[0]);
    let data = read_as(".", folder.path(), &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 3]).expect("fits");
    let row = |rate| [("x".to_owned(), Value::Bytes(tone(300.0, rate)))].into();
    let served = pipeline.dataset_from_rows(&[row(8000), row(22_050)]).expect("rows");
    let numbers = apply(&pipeline, &served, &[0, 1]);
    // The band of the tone itself, in a frame well inside.
    let loudest = (0..6).max_by(|a, b| numbers[30 + a].total_cmp(&numbers[30 + b])).expect("bands");
    assert!((numbers[30 + loudest] - numbers[96 + loudest]).abs() < 0.05, "{numbers:?}");
}

#[test]
fn bad_sounds_are_told_with_their_place() {
    let folder = folder();
    let spec = spec_of_x(Kind::Audio, TRANSFORMS[0]);
    let whole = tone(300.0, 8000);
    for (bytes, says) in [
        (wav(8000, std::iter::empty()), "length is zero"),
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (b"no sound".to_vec(), "cannot be decoded"),
    ] {
        std::fs::write(folder.path().join("low/1.wav"), &bytes).expect("written");
        for source in [".", "table.csv"] {
            let error = read(&SourceSpec::new(source), folder.path(), &spec).expect_err(says);
            assert!(error.to_string().contains(says), "{error}");
            let place = if source == "." { "1.wav" } else { "table.csv:6" };
            assert!(error.to_string().contains(place), "{error}");
        }
    }
    std::fs::remove_file(folder.path().join("low/1.wav")).expect("removed");
    let error = read(&SourceSpec::new("table.csv"), folder.path(), &spec).expect_err("no file");
    assert!(error.to_string().contains("1.wav cannot be read"), "{error}");
}

#[test]
fn a_request_names_no_files() {
    let folder = folder();
    let spec = spec_of_x(Kind::Audio, TRANSFORMS[0]);
    let data = read_as(".", folder.path(), &spec);
    let pipeline = Pipeline::fit(&spec, &data, &[0, 3]).expect("fits");
    let path = folder.path().join("low/1.wav").display().to_string();
    let row = [("x".to_owned(), Value::Text(path))].into();
    let error = pipeline.dataset_from_rows(&[row]).expect_err("a path");
    assert!(error.to_string().contains("no base64"), "{error}");
}

#[test]
fn a_sound_needs_log_mel_and_nothing_else_takes_it() {
    let spec = PipelineSpec {
        inputs: vec![InputSpec::new("x", Kind::Audio)],
        outputs: Vec::new(),
        ..PipelineSpec::default()
    };
    let folder = folder();
    let error = read(&SourceSpec::new("."), folder.path(), &spec).expect_err("no transform");
    assert!(error.hint().expect("a way out").contains("log_mel"), "{error}");
    let number = spec_of_x(Kind::Number, TRANSFORMS[0]);
    let data = super::csv("x,y\n1,0\n2,1\n", &number);
    let error = Pipeline::fit(&number, &data, &[0, 1]).expect_err("no sound");
    assert!(error.to_string().contains("stands first"), "{error}");
    let spec = spec_of_x(Kind::Audio, r#"[{"type": "log_mel", "seconds": -1}]"#);
    assert!(
        read(&SourceSpec::new("."), folder.path(), &spec)
            .expect_err("no time")
            .to_string()
            .contains("seconds")
    );
}

#[test]
fn images_are_read_by_path_too() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.png"), super::images::grey_png(2, 3)).expect("written");
    std::fs::write(folder.path().join("t.csv"), "x,y\na.png,0\na.png,1\n").expect("written");
    let spec = super::spec(&[("x", Kind::Image)], OutputKind::Category);
    let data = read_as("t.csv", folder.path(), &spec);
    assert!(matches!(data.column("x"), Some(ColumnData::Images(images)) if images.shape == [2, 3, 1]));
}
