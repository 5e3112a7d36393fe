//! A text as a row of token numbers of one length.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vocabulary::{BOUNDARY, PADDING, TokenModel, UNKNOWN_TOKEN, Vocabulary, learn};
use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// The longest row of tokens.
const LENGTH_MAX: usize = 1 << 16;
/// Token numbers stay exact in float32.
const VOCABULARY_MAX: usize = 1 << 20;

/// Cuts a text into tokens, which are numbers: 0 for padding, 1 for what training did not see, then the tokens
/// learnt from the training texts. Longer texts lose their end, shorter ones are filled up with 0 on the right;
/// a text without any token is one unknown token. Behind it stands an `embedding` layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokenize {
    /// How texts are cut.
    #[serde(default)]
    pub model: TokenModel,
    /// At most this many different tokens, padding and unknown included: what the embedding's `input_dim` must
    /// hold.
    #[serde(default = "usual_size")]
    #[schemars(range(min = 4, max = 1_048_576))]
    pub vocab_size: usize,
    /// Tokens a row.
    #[schemars(range(min = 1, max = 65_536))]
    pub length: usize,
    /// Whether `A` and `a` are the same.
    #[serde(default)]
    pub lowercase: bool,
    /// Whether the token 2 stands for the beginning and the end of a text. Outputs of the kind `next_token` set
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub boundary: bool,
}

fn usual_size() -> usize {
    8000
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedTokenize {
    length: usize,
    boundary: bool,
    tokenizer: Vocabulary,
}

impl Declared for Tokenize {
    type Fitted = FittedTokenize;

    fn fit(&self, training: &Training<'_>) -> Result<FittedTokenize, Problem> {
        takes_text(training.form, "tokenize")?;
        let specials = if self.boundary { 3 } else { 2 };
        if !(specials + 2..=VOCABULARY_MAX).contains(&self.vocab_size) {
            let problem = format!("a vocabulary of {} tokens cannot be", self.vocab_size);
            return Err(Problem::new(problem).hint(format!(
                "vocab_size is from {} to {VOCABULARY_MAX}; {specials} of them are padding and the like",
                specials + 2
            )));
        }
        let tokenizer = learn(self.model, self.lowercase, self.vocab_size, specials, training)?;
        let fitted = FittedTokenize { length: self.length, boundary: self.boundary, tokenizer };
        fitted.output(training.form)?;
        Ok(fitted)
    }
}

/// Only texts can be cut into tokens or words.
pub(super) fn takes_text(form: &Form, name: &str) -> Result<(), Problem> {
    match form {
        Form::Text => Ok(()),
        other => Err(Problem::new(format!("{name} takes a text, not {}", other.describe()))
            .hint("declare the input with kind = \"text\" and put this transform first")),
    }
}

impl Transform for FittedTokenize {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        takes_text(incoming, "tokenize")?;
        if !(1..=LENGTH_MAX).contains(&self.length) {
            return Err(Problem::new(format!("tokenize takes a length from 1 to {LENGTH_MAX}")));
        }
        if self.tokenizer.len() > VOCABULARY_MAX || (self.boundary && self.tokenizer.len() < 3) {
            return Err(Problem::new(format!("a vocabulary of {} tokens cannot be", self.tokenizer.len())));
        }
        Ok(Form::Numbers { width: self.length })
    }

    fn apply(&self, block: &mut Block) {
        block.floats.clear();
        for (row, text) in block.texts.iter().enumerate() {
            let tokens = self.tokens(text);
            block.floats.extend(tokens.iter().take(self.length).map(|token| f64::from(*token)));
            block.floats.resize((row + 1) * self.length, f64::from(PADDING));
        }
    }
}

impl FittedTokenize {
    /// The tokens of a text before it is cut or filled up to the length.
    pub(crate) fn tokens(&self, text: &str) -> Vec<u32> {
        let mut tokens = self.tokenizer.encode(text);
        if self.boundary {
            tokens.insert(0, BOUNDARY);
        } else if tokens.is_empty() {
            // A row of nothing but padding would leave attention and averages nothing to look at.
            tokens.push(UNKNOWN_TOKEN);
        }
        tokens
    }

    /// What follows at each step of a text's row: the tokens after the first [`BOUNDARY`], the last one included where
    /// the row holds the whole text; and how many characters they stand for, the text's end counted as one.
    pub(crate) fn next_tokens(&self, text: &str) -> (Vec<u32>, usize) {
        let tokens = self.tokenizer.encode_with_ends(text);
        let mut next: Vec<u32> = tokens.iter().map(|(token, _)| *token).take(self.length).collect();
        if tokens.len() < self.length {
            next.push(BOUNDARY);
            return (next, text.chars().count() + 1);
        }
        let characters = tokens.get(self.length - 1).map_or(0, |(_, end)| *end);
        (next, characters)
    }

    /// Tokens a row.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Whether boundaries stand around texts.
    pub(crate) fn has_boundaries(&self) -> bool {
        self.boundary
    }

    /// The tokenizer.
    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.tokenizer
    }

    /// How many different tokens there are.
    pub(crate) fn vocabulary_len(&self) -> usize {
        self.tokenizer.len()
    }
}
