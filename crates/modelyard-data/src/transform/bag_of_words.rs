//! A text as weighted counts of its words, hashed into a fixed number of columns: the baseline that a network over
//! tokens has to beat (Weinberger and others 2009).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tokenize::takes_text;
use super::vocabulary::{Cutter, TokenModel};
use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// More columns than this want an embedding instead.
const SIZE_MAX: usize = 1 << 20;
/// The longest run of words that counts as one.
const NGRAMS_MAX: usize = 4;

/// Counts the words of a text (each Chinese character is a word) and, with `ngrams`, runs of them; weighs each by
/// how rare it is in training texts (tf-idf), and brings every row to length 1. A word's column is its hash, so no
/// vocabulary is kept and different words may share a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BagOfWords {
    /// How many columns.
    #[serde(default = "usual_size")]
    #[schemars(range(min = 2, max = 1_048_576))]
    pub size: usize,
    /// Up to how many neighbouring words count together: 2 counts pairs too.
    #[serde(default = "usual_ngrams")]
    #[schemars(range(min = 1, max = 4))]
    pub ngrams: usize,
    /// Whether `A` and `a` are the same.
    #[serde(default)]
    pub lowercase: bool,
}

fn usual_size() -> usize {
    4096
}

fn usual_ngrams() -> usize {
    1
}

/// The fitted form: the weight of each column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedBagOfWords {
    ngrams: usize,
    lowercase: bool,
    weights: Vec<f64>,
}

impl Declared for BagOfWords {
    type Fitted = FittedBagOfWords;

    fn fit(&self, training: &Training<'_>) -> Result<FittedBagOfWords, Problem> {
        let weights = vec![1.0; self.size.min(SIZE_MAX + 1)];
        let mut fitted = FittedBagOfWords { ngrams: self.ngrams, lowercase: self.lowercase, weights };
        fitted.output(training.form)?;
        let mut texts = 0u64;
        let mut with_column = vec![0u64; self.size];
        let mut counts = vec![0.0; self.size];
        training.visit(|block| {
            for text in block.texts.iter() {
                counts.fill(0.0);
                fitted.count(text, &mut counts);
                texts += 1;
                for (seen, count) in with_column.iter_mut().zip(&counts) {
                    *seen += u64::from(*count > 0.0);
                }
            }
        });
        // The smoothed inverse document frequency, as scikit-learn's TfidfTransformer.
        let weight = |seen: u64| ((1 + texts) as f64 / (1 + seen) as f64).ln() + 1.0;
        fitted.weights = with_column.into_iter().map(weight).collect();
        Ok(fitted)
    }
}

impl Transform for FittedBagOfWords {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        takes_text(incoming, "bag_of_words")?;
        if !(2..=SIZE_MAX).contains(&self.weights.len()) {
            return Err(Problem::new(format!("bag_of_words takes a size from 2 to {SIZE_MAX}")));
        }
        if !(1..=NGRAMS_MAX).contains(&self.ngrams) {
            return Err(Problem::new(format!("bag_of_words takes ngrams from 1 to {NGRAMS_MAX}")));
        }
        Ok(Form::Numbers { width: self.weights.len() })
    }

    fn apply(&self, block: &mut Block) {
        let width = self.weights.len();
        block.floats.clear();
        block.floats.resize(block.rows * width, 0.0);
        for (text, row) in block.texts.iter().zip(block.floats.chunks_exact_mut(width)) {
            self.count(text, row);
            row.iter_mut().zip(&self.weights).for_each(|(count, weight)| *count *= weight);
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|value| *value /= length);
            }
        }
    }
}

impl FittedBagOfWords {
    fn count(&self, text: &str, counts: &mut [f64]) {
        let mut words: Vec<u64> = Vec::new();
        Cutter::new(TokenModel::Words, self.lowercase).cut(text, |word| words.push(hash(word.as_bytes())));
        for length in 1..=self.ngrams {
            for run in words.windows(length) {
                let run = run.iter().fold(0u64, |all, word| all.rotate_left(5) ^ word);
                counts[(run % counts.len() as u64) as usize] += 1.0;
            }
        }
    }
}

/// FNV-1a, whose numbers are the same on every machine.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
