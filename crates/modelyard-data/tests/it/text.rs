//! Texts: cut into tokens that training texts taught, or counted; the same in training and in serving.

use modelyard_data::read::text_lines;
use modelyard_data::{
    ColumnData, DataError, Dataset, InputSpec, Kind, OutputKind, Pipeline, PipelineSpec, SourceSpec, Value,
    read,
};

use super::{all_rows, apply, csv, spec, spec_of_x};

/// Every way to make numbers of a text.
pub(super) const TRANSFORMS: &[&str] = &[
    r#"[{"type": "tokenize", "length": 6}]"#,
    r#"[{"type": "tokenize", "model": "characters", "length": 12, "vocab_size": 12}]"#,
    r#"[{"type": "tokenize", "model": "bpe", "length": 8, "vocab_size": 64}]"#,
    r#"[{"type": "tokenize", "model": "wordpiece", "length": 8, "vocab_size": 64, "lowercase": true}]"#,
    r#"[{"type": "bag_of_words", "size": 64, "ngrams": 2}]"#,
];

const TRAINING: [&str; 6] = [
    "the good book",
    "a bad, bad book!",
    "床前明月光",
    "疑是地上霜。 good",
    "Good night",
    "the night is bad",
];

/// Six training rows, and two that differ between versions.
pub(super) fn dataset(spec: &PipelineSpec, version: usize) -> Dataset {
    let later = [["举头望明月", "quite unseen words"], ["", "the the the the the the the the the the the"]];
    let mut text = String::from("x,y\n");
    for (row, value) in TRAINING.iter().chain(&later[version - 1]).enumerate() {
        text.push_str(&format!("\"{value}\",{}\n", row % 2));
    }
    csv(&text, spec)
}

fn fitted(transforms: &str) -> (Pipeline, Dataset) {
    let spec = spec_of_x(Kind::Text, transforms);
    let data = dataset(&spec, 1);
    (Pipeline::fit(&spec, &data, &[0, 1, 2, 3, 4, 5]).expect("fits"), data)
}

fn numbers_of(pipeline: &Pipeline, text: &str) -> Vec<f32> {
    let row = [("x".to_owned(), Value::Text(text.to_owned()))].into();
    let data = pipeline.dataset_from_rows(&[row]).expect("takes a text");
    apply(pipeline, &data, &[0])
}

#[test]
fn words_are_numbered_by_how_often_they_come() {
    let (pipeline, data) = fitted(TRANSFORMS[0]);
    let numbers = apply(&pipeline, &data, &[0, 1]);
    // "bad" comes three times; "book", "good", "night" and "the" twice, in the order of their letters; "a" and
    // the marks once.
    assert_eq!(numbers[..6], [6.0, 4.0, 3.0, 0.0, 0.0, 0.0], "padded on the right");
    assert_eq!(numbers[7..9], [2.0, numbers[8]]);
    assert_eq!(numbers[9], 2.0);
    assert_eq!(numbers_of(&pipeline, "the good book"), numbers[..6], "as served");
    assert_eq!(numbers_of(&pipeline, "unseen good"), [1.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(numbers_of(&pipeline, "明光")[..2].iter().filter(|token| **token > 1.0).count(), 2);
    assert_eq!(numbers_of(&pipeline, "bad bad bad bad bad bad bad"), [2.0; 6], "cut on the right");
}

#[test]
fn a_text_without_tokens_is_one_unknown_token() {
    for transforms in &TRANSFORMS[..4] {
        let (pipeline, _) = fitted(transforms);
        for text in ["", " \n "] {
            let numbers = numbers_of(&pipeline, text);
            assert!(numbers[0] > 0.0, "{transforms}: {numbers:?}");
        }
    }
    let (pipeline, _) = fitted(TRANSFORMS[4]);
    assert_eq!(numbers_of(&pipeline, ""), vec![0.0; 64], "no word, no count");
}

#[test]
fn learning_gives_the_same_vocabulary_each_time() {
    for transforms in TRANSFORMS {
        let first = fitted(transforms).0.to_json();
        for _ in 0..4 {
            assert_eq!(fitted(transforms).0.to_json(), first, "{transforms}");
        }
    }
}

#[test]
fn parts_of_words_are_learnt_and_the_vocabulary_keeps_its_size() {
    let texts: Vec<String> = (0..40).map(|n| format!("lower lowest low{n} newer newest 春天{n}")).collect();
    for (model, size) in [("bpe", 30), ("wordpiece", 40), ("characters", 10), ("words", 10)] {
        let transforms =
            format!(r#"[{{"type": "tokenize", "model": "{model}", "length": 64, "vocab_size": {size}}}]"#);
        let spec = spec_of_x(Kind::Text, &transforms);
        let mut table = String::from("x,y\n");
        texts.iter().enumerate().for_each(|(row, text)| table.push_str(&format!("{text},{}\n", row % 2)));
        let data = csv(&table, &spec);
        let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
        let numbers = apply(&pipeline, &data, &all_rows(&data));
        assert!(numbers.iter().all(|token| (0.0..size as f32).contains(token)), "{model}");
        let used = |text: &str| numbers_of(&pipeline, text).iter().filter(|token| **token > 0.0).count();
        if model == "bpe" || model == "wordpiece" {
            assert!(used("lowest") < 6, "{model} learns parts of words");
        }
    }
}

#[test]
fn a_vocabulary_of_one_or_none_is_refused() {
    for (text, transforms) in [
        ("aaaa", r#"[{"type": "tokenize", "model": "characters", "length": 4}]"#),
        ("\"\"", r#"[{"type": "tokenize", "length": 4}]"#),
        ("word", r#"[{"type": "tokenize", "length": 4}]"#),
    ] {
        let spec = spec_of_x(Kind::Text, transforms);
        let data = csv(&format!("x,y\n{text},0\n{text},1\n"), &spec);
        let error = Pipeline::fit(&spec, &data, &[0, 1]).expect_err("too few tokens");
        assert!(error.to_string().contains("x: the training texts teach"), "{error}");
        assert!(error.hint().expect("a way out").contains("column"));
    }
    let spec = spec_of_x(Kind::Text, r#"[{"type": "tokenize", "length": 4, "vocab_size": 3}]"#);
    let data = csv("x,y\nab,0\ncd,1\n", &spec);
    let error = Pipeline::fit(&spec, &data, &[0, 1]).expect_err("no room");
    assert!(error.to_string().contains("vocabulary of 3"), "{error}");
}

#[test]
fn a_text_needs_its_transform_named_and_others_do_not_fit() {
    let mut spec = spec(&[("x", Kind::Text)], OutputKind::Category);
    let data = csv("x,y\nab,0\ncd,1\n", &spec);
    let error = Pipeline::fit(&spec, &data, &[0, 1]).expect_err("no transform");
    assert!(error.hint().expect("a way out").contains("tokenize"), "{error}");
    spec.inputs[0].transforms = Some(super::transforms_of(r#"[{"type": "standard"}]"#));
    assert!(Pipeline::fit(&spec, &data, &[0, 1]).is_err());
    let numbers = spec_of_x(Kind::Number, r#"[{"type": "tokenize", "length": 4}]"#);
    let data = csv("x,y\n1,0\n2,1\n", &numbers);
    let error = Pipeline::fit(&numbers, &data, &[0, 1]).expect_err("no text");
    assert!(error.hint().expect("a way out").contains("kind = \"text\""), "{error}");
}

#[test]
fn text_files_give_a_row_a_line_and_their_name_as_class() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("neg.txt"), "很差\r\n\n失望 \n").expect("writes");
    std::fs::write(folder.path().join("pos.txt"), "\u{feff}好书").expect("writes");
    let spec = spec(&[("x", Kind::Text)], OutputKind::Category);
    let data = read(&SourceSpec::new("*.txt"), folder.path(), &spec).expect("reads");
    let Some(ColumnData::Texts(texts)) = data.column("x") else { panic!("texts") };
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["很差", "失望", "好书"]);
    let Some(ColumnData::Categories(classes)) = data.column("y") else { panic!("classes") };
    assert_eq!(classes.codes, [0, 0, 1]);
    assert_eq!(classes.dictionary.label(1), Some("pos"));
}

#[test]
fn a_text_file_is_cut_into_chunks() {
    let spec = PipelineSpec {
        inputs: vec![InputSpec::new("x", Kind::Text)],
        outputs: Vec::new(),
        ..PipelineSpec::default()
    };
    let source = SourceSpec { chunk: Some(4), ..SourceSpec::new("x.txt") };
    let data = text_lines::from_bytes("ab\r\ncd\n春夏秋\n".as_bytes(), &source, &spec).expect("reads");
    let Some(ColumnData::Texts(texts)) = data.column("x") else { panic!("texts") };
    assert_eq!(texts.iter().collect::<Vec<_>>(), ["ab\nc", "d\n春夏", "秋"]);
}

#[test]
fn text_that_is_not_utf_8_is_told_with_its_line() {
    let spec = PipelineSpec {
        inputs: vec![InputSpec::new("x", Kind::Text)],
        outputs: Vec::new(),
        ..PipelineSpec::default()
    };
    let error =
        text_lines::from_bytes(b"good\nb\xff\n", &SourceSpec::new("x.txt"), &spec).expect_err("bytes");
    assert!(error.to_string().contains(":2"), "{error}");
    assert!(error.to_string().contains("byte 2 of the line is 0xff"), "{error}");
    assert!(error.hint().expect("a way out").contains("iconv"));
    assert!(matches!(
        text_lines::from_bytes(b"\n \n", &SourceSpec::new("x.txt"), &spec),
        Err(DataError::NoRows { .. })
    ));
    let table = modelyard_data::read::csv::from_bytes(b"x\nb\xff\n", &SourceSpec::new("x.csv"), &spec);
    assert!(table.expect_err("bytes").to_string().contains(":2, column \"x\": this is no UTF-8 text"));
}

#[test]
fn a_damaged_vocabulary_is_no_pipeline() {
    let (pipeline, _) = fitted(TRANSFORMS[1]);
    let json = pipeline.to_json();
    for (from, to) in
        [("\"[UNK]\": 1", "\"[UNK]\": 9"), ("\"WordLevel\"", "\"Unheard\""), ("\"vocab\"", "\"v\"")]
    {
        let damaged = json.replace(from, to);
        assert_ne!(damaged, json, "{from}");
        assert!(matches!(Pipeline::from_json(damaged.as_bytes()), Err(DataError::Document { .. })));
    }
}
