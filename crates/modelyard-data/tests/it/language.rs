//! Outputs of the next token: what is to be guessed at each step, and text from tokens again.

use modelyard_data::{
    Continuing, Finish, InputSpec, Kind, Language, NO_TOKEN, NextTokens, OutputActivation, OutputKind,
    OutputSpec, Pipeline, PipelineSpec, SourceSpec, TargetValues, TransformSpec, read,
};

use super::apply;

const TEXT: &str = "abab\nab\n床前明月光\nbaba a\n";

fn spec(transform: &str) -> PipelineSpec {
    let transform: TransformSpec = serde_json::from_str(transform).expect("a transform");
    let input = InputSpec { transforms: Some(vec![transform]), ..InputSpec::new("text", Kind::Text) };
    PipelineSpec {
        inputs: vec![input],
        outputs: vec![OutputSpec::new("next", OutputKind::NextToken)],
        windows: None,
    }
}

fn fitted(transform: &str) -> (Pipeline, Vec<f32>, NextTokens) {
    let spec = spec(transform);
    let data =
        read::text_lines::from_bytes(TEXT.as_bytes(), &SourceSpec::new("a.txt"), &spec).expect("reads");
    let pipeline = Pipeline::fit(&spec, &data, &[0, 1, 2, 3]).expect("fits");
    let TargetValues::Tokens(next) = pipeline.targets(&data, &[0, 1, 2, 3]).expect("texts") else {
        panic!("targets are tokens");
    };
    let inputs = apply(&pipeline, &data, &[0, 1, 2, 3]);
    (pipeline, inputs, next)
}

const CHARACTERS: &str = r#"{"type": "tokenize", "model": "characters", "length": 5}"#;

#[test]
fn each_step_is_to_guess_the_next_and_the_end() {
    let (pipeline, inputs, next) = fitted(CHARACTERS);
    let language = pipeline.language().expect("a language model");
    let [before, a, b] = language.prompt("ab")[..] else { panic!("a boundary and two characters") };
    assert_eq!(before, Language::BOUNDARY);
    let row = |tokens: [u32; 5]| tokens.map(|token| token as f32);
    assert_eq!(inputs[..5], row([before, a, b, a, b]));
    assert_eq!(next.tokens[..5], [a, b, a, b, Language::BOUNDARY], "the end of a whole text is learnt, too");
    assert_eq!(inputs[5..10], row([before, a, b, 0, 0]));
    assert_eq!(next.tokens[5..10], [a, b, Language::BOUNDARY, NO_TOKEN, NO_TOKEN]);
    assert!(!next.tokens[10..20].contains(&Language::BOUNDARY), "these texts go on behind the row");
    assert_eq!(next.characters, [5, 3, 5, 5]);
    assert_eq!((next.steps, language.steps(), language.tokens()), (5, 5, 3 + 8));
}

#[test]
fn characters_are_counted_alike_for_every_tokenizer() {
    let (_, _, next) = fitted(r#"{"type": "tokenize", "model": "bpe", "vocab_size": 40, "length": 20}"#);
    assert_eq!(next.characters, [5, 3, 6, 7], "of whole texts, with their end");
    let tokens = |row: usize| next.tokens[row * 20..][..20].iter().filter(|t| **t != NO_TOKEN).count();
    assert!(tokens(0) < 5, "pairs of characters are one token: {:?}", &next.tokens[..5]);
    let (_, _, next) = fitted(r#"{"type": "tokenize", "model": "bpe", "vocab_size": 40, "length": 1}"#);
    assert!(next.characters[0] >= 2, "the first token of abab stands for several: {:?}", next.characters);
}

#[test]
fn a_continuation_ends_where_it_should() {
    let (mut pipeline, ..) = fitted(CHARACTERS);
    let width = 5 * (pipeline.language().expect("a language model").tokens() + 2);
    pipeline.set_output_activation(width, OutputActivation::Linear).expect("more logits than tokens will do");
    let stored = Pipeline::from_json(pipeline.to_json().as_bytes()).expect("our own text");
    assert_eq!(stored, pipeline);
    let language = stored.language().expect("a language model");
    assert_eq!(language.logits(), language.tokens() + 2);
    assert_eq!(language.never_drawn(), [0, 1, 11, 12]);
    let text = language.prompt("ab床a");
    let go = |stop: &[&str], tokens_max: usize, end: bool| {
        let stop: Vec<String> = stop.iter().map(|text| (*text).to_owned()).collect();
        let mut growing = Continuing::new(language, &stop, tokens_max);
        let tokens = text[1..].iter().copied().chain(end.then_some(Language::BOUNDARY));
        let whole = tokens.into_iter().find_map(|token| growing.push(token)).expect("it ends");
        (whole.text, whole.tokens, whole.finish)
    };
    assert_eq!(go(&[], 9, true), ("ab床a".to_owned(), 5, Finish::End));
    assert_eq!(go(&[], 4, true), ("ab床a".to_owned(), 4, Finish::Length));
    assert_eq!(go(&["", "x", "b床"], 9, true), ("a".to_owned(), 3, Finish::Stop));
}

#[test]
fn what_cannot_be_continued_is_said() {
    let refused = |spec: &PipelineSpec, wanted: &str| {
        let source = SourceSpec::new("a.txt");
        let error = read::text_lines::from_bytes(TEXT.as_bytes(), &source, spec)
            .and_then(|data| Pipeline::fit(spec, &data, &[0, 1]))
            .expect_err(wanted);
        assert!(error.to_string().contains(wanted), "{error}");
    };
    let words = spec(r#"{"type": "tokenize", "model": "words", "length": 5}"#);
    refused(&words, "words and WordPiece lose the spaces");
    refused(&spec(r#"{"type": "bag_of_words", "size": 9}"#), "needs a text cut into tokens");
    let mut two = spec(CHARACTERS);
    two.inputs.push(InputSpec { name: "more".to_owned(), ..two.inputs[0].clone() });
    refused(&two, "needs exactly one input, a text");
    let mut column = spec(CHARACTERS);
    column.outputs[0].column = Some("next".to_owned());
    refused(&column, "it takes no column, labels or transforms");
    let (mut pipeline, ..) = fitted(CHARACTERS);
    let error = pipeline.set_output_activation(5 * 10, OutputActivation::Linear).expect_err("too few logits");
    assert!(error.to_string().contains("this output needs 55"), "{error}");
}
