//! Outputs of the next token: what a language model learns from texts, and how what it draws becomes text again.

use std::sync::Arc;

use super::input::FittedInput;
use super::output::wrong_column;
use super::{Pipeline, Task, column_of};
use crate::dataset::{ColumnData, Dataset};
use crate::error::{DataError, Problem};
use crate::spec::{OutputSpec, PipelineSpec};
use crate::transform::{BOUNDARY, Fitted, FittedTokenize, PADDING, TokenModel, TransformSpec, UNKNOWN_TOKEN};

/// A target that is not there: at a step of padding.
pub const NO_TOKEN: u32 = u32::MAX;

/// What follows at each step of some texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextTokens {
    /// Steps a row.
    pub steps: usize,
    /// rows × steps token numbers; [`NO_TOKEN`] behind the end of a text.
    pub tokens: Vec<u32>,
    /// For each row, how many characters its tokens stand for; the end of a text counts as one.
    pub characters: Vec<u32>,
}

impl NextTokens {
    /// How many tokens there are to guess.
    pub fn count(&self) -> usize {
        self.tokens.iter().filter(|token| **token != NO_TOKEN).count()
    }
}

/// The fitted output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FittedNextToken {
    pub(super) name: Arc<str>,
    /// The place of the text input.
    place: usize,
    input: Arc<str>,
    tokens: FittedTokenize,
}

impl FittedNextToken {
    /// Ties the output to the one text input.
    pub(super) fn new(
        output: &OutputSpec,
        spec: &PipelineSpec,
        inputs: &[FittedInput],
    ) -> Result<Self, DataError> {
        let wrong = |problem: &str| {
            Problem::new(problem).hint(
                "declare one input of kind \"text\" with transforms = [{ type = \"tokenize\", model = \"characters\", \
                 length = 128 }] or model = \"bpe\"",
            )
        };
        let ([input], [declared]) = (inputs, spec.inputs.as_slice()) else {
            return Err(wrong("the next token needs exactly one input, a text").in_fit(&output.name));
        };
        let [(Fitted::Tokenize(tokens), _)] = input.steps.as_slice() else {
            return Err(wrong("the next token needs a text cut into tokens, and nothing else done with it")
                .in_fit(&output.name));
        };
        let keeps_the_text = declared.transforms.iter().flatten().all(|transform| match transform {
            TransformSpec::Tokenize(tokens) => {
                matches!(tokens.model, TokenModel::Characters | TokenModel::Bpe)
            }
            _ => true,
        });
        if !keeps_the_text || !tokens.has_boundaries() {
            let problem =
                "words and WordPiece lose the spaces between tokens, so no text can be put together again";
            return Err(wrong(problem).in_fit(&output.name));
        }
        let (name, place) = (output.name.as_str().into(), 0);
        Ok(Self { name, place, input: input.name.clone(), tokens: tokens.clone() })
    }

    pub(super) fn task(&self) -> Task {
        let tokens = self.tokens.vocabulary_len();
        Task::NextToken { output: self.name.to_string(), steps: self.tokens.length(), tokens, logits: tokens }
    }

    pub(super) fn targets(&self, data: &Dataset, rows: &[usize]) -> Result<NextTokens, DataError> {
        let ColumnData::Texts(texts) = &column_of(data, self.place, &self.input)?.data else {
            return Err(wrong_column(&self.input));
        };
        let steps = self.tokens.length();
        let mut found = NextTokens { steps, ..NextTokens::default() };
        for (done, &row) in rows.iter().enumerate() {
            let (next, characters) = self.tokens.next_tokens(texts.get(row));
            found.tokens.extend(next);
            found.tokens.resize((done + 1) * steps, NO_TOKEN);
            found.characters.push(u32::try_from(characters).unwrap_or(u32::MAX));
        }
        Ok(found)
    }
}

/// The language of a model that continues texts: from text to tokens and back.
#[derive(Clone, Copy, Debug)]
pub struct Language<'a> {
    tokens: &'a FittedTokenize,
    input: &'a str,
    output: &'a str,
    logits: usize,
}

impl Language<'_> {
    /// The token before and after each text.
    pub const BOUNDARY: u32 = BOUNDARY;
}

impl<'a> Language<'a> {
    /// The name of the text input.
    pub fn input(&self) -> &'a str {
        self.input
    }

    /// The name of the output.
    pub fn output(&self) -> &'a str {
        self.output
    }

    /// How many tokens the network sees at once.
    pub fn steps(&self) -> usize {
        self.tokens.length()
    }

    /// How many different tokens there are.
    pub fn tokens(&self) -> usize {
        self.tokens.vocabulary_len()
    }

    /// How many logits the network gives at each step: one for each token, and perhaps some that stand for none.
    pub fn logits(&self) -> usize {
        self.logits
    }

    /// The tokens that must never be drawn, for they are no text: padding, unknown, and logits that stand for none.
    pub fn never_drawn(&self) -> Vec<u32> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        [PADDING, UNKNOWN_TOKEN].into_iter().chain(number(self.tokens())..number(self.logits)).collect()
    }

    /// The tokens of the beginning of a text, the boundary before it included.
    pub fn prompt(&self, text: &str) -> Vec<u32> {
        self.tokens.tokens(text)
    }
}

/// Why a continuation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The network drew the end of the text.
    End,
    /// A text came at which it was to stop.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
}

impl Finish {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// The continuation of a text, finished or growing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// What was drawn, without the text at which it stopped.
    pub text: String,
    /// How many tokens were drawn, that of the end included.
    pub tokens: usize,
    /// Why it ended.
    pub finish: Finish,
}

/// A continuation on its way: takes tokens until it is finished, and tells what stays of the text as it grows.
#[derive(Clone, Debug)]
pub struct Continuing<'a> {
    language: Language<'a>,
    stop: &'a [String],
    tokens_max: usize,
    text: String,
    tokens: usize,
}

impl<'a> Continuing<'a> {
    /// Begins an empty one, which ends at one of the texts `stop` or after `tokens_max` tokens, if not before.
    pub fn new(language: Language<'a>, stop: &'a [String], tokens_max: usize) -> Self {
        Self { language, stop, tokens_max, text: String::new(), tokens: 0 }
    }

    /// Takes the next token; gives the whole where it is finished.
    pub fn push(&mut self, token: u32) -> Option<Continuation> {
        self.tokens += 1;
        if token == BOUNDARY {
            return Some(self.finish(Finish::End));
        }
        self.text.push_str(&self.language.tokens.vocabulary().text_of(token).unwrap_or_default());
        let stops = self.stop.iter().filter(|stop| !stop.is_empty());
        if let Some(at) = stops.filter_map(|stop| self.text.find(stop.as_str())).min() {
            self.text.truncate(at);
            return Some(self.finish(Finish::Stop));
        }
        (self.tokens >= self.tokens_max).then(|| self.finish(Finish::Length))
    }

    /// The text so far, as far as nothing that comes can take it back: all but what may be the beginning of a text at
    /// which it stops. It only grows, and what it ends as begins with it.
    pub fn settled(&self) -> &str {
        let begins = |stop: &String| {
            let ends = stop.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
            ends.filter(|at| self.text.ends_with(&stop[..*at])).max().unwrap_or(0)
        };
        &self.text[..self.text.len() - self.stop.iter().map(begins).max().unwrap_or(0)]
    }

    fn finish(&mut self, finish: Finish) -> Continuation {
        Continuation { text: std::mem::take(&mut self.text), tokens: self.tokens, finish }
    }
}

impl Pipeline {
    /// The language of a model that continues texts; none for all others.
    pub fn language(&self) -> Option<Language<'_>> {
        let Task::NextToken { logits, .. } = self.task() else { return None };
        let super::output::FittedOutput::NextToken(output) = self.outputs.first()? else { return None };
        Some(Language { tokens: &output.tokens, input: &output.input, output: &output.name, logits: *logits })
    }
}
