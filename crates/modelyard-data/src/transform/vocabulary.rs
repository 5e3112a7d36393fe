//! How texts are cut into tokens, and the tokens that training texts taught, by the `tokenizers` crate. The fitted
//! form is that crate's own JSON, so other programs read it too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::utils::{Lowercase, Sequence};
use tokenizers::normalizers::{BertNormalizer, NFC, NormalizerWrapper};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::{NormalizedString, Normalizer, PreTokenizedString, PreTokenizer};
use tokenizers::{
    AddedToken, ModelWrapper, OffsetReferential, OffsetType, SplitDelimiterBehavior, Tokenizer,
};

use super::Training;
use crate::error::Problem;

/// The token that fills a row up to its length: what padding masks look for.
pub(crate) const PADDING: u32 = 0;
/// The token of what training did not see.
pub(crate) const UNKNOWN_TOKEN: u32 = 1;
/// The token that stands before and after a text whose continuation is learnt.
pub(crate) const BOUNDARY: u32 = 2;
/// How many tokens stand for no text where there are boundaries.
const SPECIALS: u32 = 3;

const SPECIAL: [&str; 3] = ["[PAD]", "[UNK]", "[END]"];
/// What a WordPiece token begins with where it continues a word.
const CONTINUES: &str = "##";
/// Longer byte pairs are phrases rather than parts of words.
const PAIR_CHARS_MAX: usize = 16;
/// Words with the space before them, marks, and spaces: put together again they are the text.
const PIECES: &str = r" ?[\p{L}\p{M}\p{N}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+";
const CHARACTER: &str = r"[\s\S]";

/// How texts are cut into tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenModel {
    /// Words and marks; each Chinese character is a word.
    #[default]
    Words,
    /// Every character is a token.
    Characters,
    /// Byte-pair encoding (Sennrich and others 2016): frequent neighbours become one token. Spaces are kept, so
    /// tokens put together give the text again.
    Bpe,
    /// Parts of words as in BERT, continued by `##`; each Chinese character is a word.
    WordPiece,
}

/// A fitted tokenizer: texts into token numbers and back.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Json", into = "Json")]
pub(crate) struct Vocabulary {
    json: Json,
    tokenizer: Arc<Tokenizer>,
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocabulary of {}", self.len())
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl From<Vocabulary> for Json {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.json
    }
}

impl TryFrom<Json> for Vocabulary {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        let tokenizer = Tokenizer::from_bytes(json.to_string()).map_err(|error| error.to_string())?;
        let vocabulary = Self { json, tokenizer: Arc::new(tokenizer) };
        for (number, name) in SPECIAL.iter().take(2).enumerate() {
            if vocabulary.tokenizer.token_to_id(name) != u32::try_from(number).ok() {
                return Err(format!("the token {name} of the vocabulary is not number {number}"));
            }
        }
        Ok(vocabulary)
    }
}

impl Vocabulary {
    /// How many tokens there are, padding and unknown included.
    pub(crate) fn len(&self) -> usize {
        self.tokenizer.get_vocab_size(false)
    }

    /// The token numbers of a text, each below [`Vocabulary::len`].
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        let size = u32::try_from(self.len()).unwrap_or(u32::MAX);
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => {
                let known = |&token: &u32| if token < size { token } else { UNKNOWN_TOKEN };
                encoding.get_ids().iter().map(known).collect()
            }
            Err(_) => vec![UNKNOWN_TOKEN],
        }
    }
}

impl Vocabulary {
    /// The token numbers of a text, each with the number of the text's characters up to its end.
    pub(crate) fn encode_with_ends(&self, text: &str) -> Vec<(u32, usize)> {
        let all = text.chars().count();
        match self.tokenizer.encode_char_offsets(text, false) {
            Ok(encoding) => {
                let ends = encoding.get_offsets().iter().map(|(_, end)| *end);
                encoding.get_ids().iter().copied().zip(ends).collect()
            }
            Err(_) => vec![(UNKNOWN_TOKEN, all)],
        }
    }

    /// The text that a token stands for; none for padding, boundaries, and what is no token.
    pub(crate) fn text_of(&self, token: u32) -> Option<String> {
        if token < SPECIALS { None } else { self.tokenizer.id_to_token(token) }
    }
}

/// What training texts are turned into before tokens are learnt.
pub(super) struct Cutter {
    normalizer: NormalizerWrapper,
    pieces: PreTokenizerWrapper,
}

impl Cutter {
    pub(super) fn new(model: TokenModel, lowercase: bool) -> Self {
        match model {
            TokenModel::Words | TokenModel::WordPiece => Self {
                normalizer: BertNormalizer::new(true, true, Some(false), lowercase).into(),
                pieces: BertPreTokenizer.into(),
            },
            TokenModel::Characters => Self::of_pattern(CHARACTER, lowercase),
            TokenModel::Bpe => Self::of_pattern(PIECES, lowercase),
        }
    }

    fn of_pattern(pattern: &str, lowercase: bool) -> Self {
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        let mut normalizers: Vec<NormalizerWrapper> = vec![NFC.into()];
        if lowercase {
            normalizers.push(Lowercase.into());
        }
        Self {
            normalizer: Sequence::new(normalizers).into(),
            pieces: split.expect("the pattern is fixed and compiles").into(),
        }
    }

    /// Shows every piece of a text.
    pub(super) fn cut(&self, text: &str, mut see: impl FnMut(&str)) {
        let mut normalized = NormalizedString::from(text);
        if self.normalizer.normalize(&mut normalized).is_err() {
            return;
        }
        let mut pieces = PreTokenizedString::from(normalized);
        if self.pieces.pre_tokenize(&mut pieces).is_ok() {
            let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            splits.into_iter().filter(|(piece, ..)| !piece.is_empty()).for_each(|(piece, ..)| see(piece));
        }
    }

    fn into_tokenizer(self, model: impl Into<ModelWrapper>) -> Result<Vocabulary, Problem> {
        let failed = |error: tokenizers::Error| Problem::new(format!("no tokens can be learnt: {error}"));
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_normalizer(Some(self.normalizer)).map_err(failed)?;
        tokenizer.with_pre_tokenizer(Some(self.pieces));
        let text = tokenizer.to_string(false).map_err(failed)?;
        let json: Json = serde_json::from_str(&text).expect("the crate writes JSON");
        Vocabulary::try_from(json).map_err(Problem::new)
    }
}

/// Learns at most `size` tokens from the training texts. `specials` are [`PADDING`], [`UNKNOWN_TOKEN`] and, where
/// 3, [`BOUNDARY`].
pub(super) fn learn(
    model: TokenModel,
    lowercase: bool,
    size: usize,
    specials: usize,
    training: &Training<'_>,
) -> Result<Vocabulary, Problem> {
    let cutter = Cutter::new(model, lowercase);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    training.visit(|block| {
        for text in block.texts.iter() {
            cutter.cut(text, |piece| match counts.get_mut(piece) {
                Some(count) => *count += 1,
                None => drop(counts.insert(piece.to_owned(), 1)),
            });
        }
    });
    let specials = &SPECIAL[..specials];
    let vocabulary = match model {
        TokenModel::Words | TokenModel::Characters => {
            cutter.into_tokenizer(levels(&counts, size, specials)?)?
        }
        TokenModel::Bpe => cutter.into_tokenizer(pairs(&counts, size, specials, None)?)?,
        TokenModel::WordPiece => {
            let pairs = pairs(&counts, size, specials, Some(CONTINUES))?;
            cutter.into_tokenizer(WordPiece::from_bpe(&pairs))?
        }
    };
    let learnt = vocabulary.len() - specials.len();
    if learnt < 2 {
        return Err(Problem::new(format!(
            "the training texts teach {learnt} token{}; a network needs two different ones at least",
            if learnt == 1 { "" } else { "s" }
        ))
        .hint("check the column: its texts are empty or all the same character"));
    }
    Ok(vocabulary)
}

/// The most frequent keys, the first in order among equally frequent ones.
fn most_frequent<K: Ord + Copy>(counts: &BTreeMap<K, u64>, most: usize) -> Vec<K> {
    let mut keys: Vec<(K, u64)> = counts.iter().map(|(key, count)| (*key, *count)).collect();
    keys.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    keys.truncate(most);
    keys.into_iter().map(|(key, _)| key).collect()
}

/// Every frequent piece is a token.
fn levels(counts: &BTreeMap<String, u64>, size: usize, specials: &[&str]) -> Result<WordLevel, Problem> {
    let counts: BTreeMap<&str, u64> = counts.iter().map(|(piece, count)| (piece.as_str(), *count)).collect();
    let pieces = most_frequent(&counts, size - specials.len());
    let numbered = specials.iter().copied().chain(pieces).zip(0..);
    WordLevel::builder()
        .vocab(numbered.map(|(piece, number)| (piece.to_owned(), number)).collect())
        .unk_token(SPECIAL[1].to_owned())
        .build()
        .map_err(|error| Problem::new(format!("no tokens can be learnt: {error}")))
}

/// Characters, and the frequent pairs of tokens as tokens of their own. The characters are chosen and numbered
/// here, for the trainer would number some of them in the order of a hash map.
fn pairs(
    counts: &BTreeMap<String, u64>,
    size: usize,
    specials: &[&str],
    continues: Option<&str>,
) -> Result<BPE, Problem> {
    let mut characters: BTreeMap<char, u64> = BTreeMap::new();
    for (piece, count) in counts {
        piece.chars().for_each(|character| *characters.entry(character).or_default() += count);
    }
    // A character may need two tokens: one at the beginning of a word and one inside.
    let places = (size - specials.len()) / if continues.is_some() { 2 } else { 1 };
    let mut kept = most_frequent(&characters, places);
    kept.sort_unstable();
    let is_kept = |character: char| kept.binary_search(&character).is_ok();
    let mut words: BTreeMap<&str, u64> = BTreeMap::new();
    for (piece, count) in counts {
        for word in piece.split(|character| !is_kept(character)).filter(|word| !word.is_empty()) {
            *words.entry(word).or_default() += count;
        }
    }
    let mut first: Vec<String> = specials.iter().map(|special| (*special).to_owned()).collect();
    if let Some(prefix) = continues {
        let inside = words.keys().flat_map(|word| word.chars().skip(1));
        let inside: std::collections::BTreeSet<char> = inside.collect();
        first.extend(inside.into_iter().map(|character| format!("{prefix}{character}")));
    }
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(2)
        .special_tokens(first.into_iter().map(|token| AddedToken::from(token, true)).collect())
        .max_token_length(Some(PAIR_CHARS_MAX));
    if let Some(prefix) = continues {
        trainer = trainer.continuing_subword_prefix(prefix.to_owned());
    }
    let mut model = BPE::builder().unk_token(SPECIAL[1].to_owned()).build().map_err(failed)?;
    let words = words.into_iter().map(|(word, count)| (word.into(), count)).collect();
    trainer.build().do_train(&words, &mut model).map_err(failed)?;
    Ok(model)
}

fn failed(error: tokenizers::Error) -> Problem {
    Problem::new(format!("no tokens can be learnt: {error}"))
}
