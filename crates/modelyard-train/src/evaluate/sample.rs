//! What a metric looks at: the true answers beside the predicted ones.

/// What kind of answer is scored; it decides which metrics apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Two classes; the second one is the positive one.
    Binary,
    /// Three classes or more.
    Multiclass,
    /// Any number of labels a row.
    Multilabel,
    /// The next token of a text.
    NextToken,
    /// Numbers.
    Regression,
}

impl TaskKind {
    /// Whether each answer is one of several classes.
    pub fn is_of_classes(self) -> bool {
        matches!(self, Self::Binary | Self::Multiclass)
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary classification",
            Self::Multiclass => "classification",
            Self::Multilabel => "multi-label classification",
            Self::NextToken => "a language model",
            Self::Regression => "regression",
        }
    }
}

/// True and predicted answers of the same rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Classes.
    Classes {
        /// The true class of each row.
        truth: Vec<u32>,
        /// The predicted probabilities, rows × classes, row-major.
        probabilities: Vec<f32>,
        /// How many classes there are.
        classes: usize,
    },
    /// Labels, any number of them a row.
    Labels {
        /// 1 where a row has the label, rows × labels, row-major.
        truth: Vec<f32>,
        /// The predicted probabilities, likewise.
        probabilities: Vec<f32>,
        /// How many labels there are.
        labels: usize,
    },
    /// Texts, of which only counts are kept: the outputs of one text can be megabytes.
    Tokens {
        /// −ln of the probability of each row's tokens, summed.
        losses: Vec<f64>,
        /// How many tokens each row has.
        tokens: Vec<u32>,
        /// How many characters they stand for.
        characters: Vec<u32>,
    },
    /// Numbers.
    Values {
        /// The true values, rows × outputs, row-major, in the unit of the data.
        truth: Vec<f32>,
        /// The predicted values, likewise.
        predicted: Vec<f32>,
        /// How many outputs there are.
        outputs: usize,
    },
}

impl Sample {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { truth, .. } => truth.len(),
            Self::Labels { truth, labels, .. } => truth.len() / labels.max(&1),
            Self::Tokens { losses, .. } => losses.len(),
            Self::Values { truth, outputs, .. } => truth.len() / outputs.max(&1),
        }
    }

    /// What kind of answer this is.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Classes { classes: 0..=2, .. } => TaskKind::Binary,
            Self::Classes { .. } => TaskKind::Multiclass,
            Self::Labels { .. } => TaskKind::Multilabel,
            Self::Tokens { .. } => TaskKind::NextToken,
            Self::Values { .. } => TaskKind::Regression,
        }
    }

    /// The likeliest class of each row; the first one where several are equally likely.
    pub fn predicted_classes(&self) -> Vec<u32> {
        match self {
            Self::Classes { probabilities, classes, .. } => {
                probabilities.chunks_exact((*classes).max(1)).map(likeliest).collect()
            }
            Self::Labels { .. } | Self::Tokens { .. } | Self::Values { .. } => Vec::new(),
        }
    }

    /// These rows alone, in this order; rows may repeat.
    pub fn pick(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { truth, probabilities, classes } => Self::Classes {
                truth: rows.iter().map(|&row| truth[row]).collect(),
                probabilities: pick_rows(probabilities, *classes, rows),
                classes: *classes,
            },
            Self::Labels { truth, probabilities, labels } => Self::Labels {
                truth: pick_rows(truth, *labels, rows),
                probabilities: pick_rows(probabilities, *labels, rows),
                labels: *labels,
            },
            Self::Tokens { losses, tokens, characters } => Self::Tokens {
                losses: rows.iter().map(|&row| losses[row]).collect(),
                tokens: rows.iter().map(|&row| tokens[row]).collect(),
                characters: rows.iter().map(|&row| characters[row]).collect(),
            },
            Self::Values { truth, predicted, outputs } => Self::Values {
                truth: pick_rows(truth, *outputs, rows),
                predicted: pick_rows(predicted, *outputs, rows),
                outputs: *outputs,
            },
        }
    }
}

fn pick_rows(values: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect()
}

fn likeliest(probabilities: &[f32]) -> u32 {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    best as u32
}
