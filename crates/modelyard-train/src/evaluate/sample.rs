//! What a metric looks at: the true answers beside the predicted ones.

use super::metric::Metric;
use super::series::{Detail, Series};

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
    /// A number for each of several rows ahead.
    Forecast,
    /// What remains of a life.
    Remaining,
    /// Anomalies.
    Anomaly,
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
            Self::Forecast => "a forecast",
            Self::Remaining => "remaining life",
            Self::Anomaly => "anomalies",
        }
    }

    /// The name in `scores.json` and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "classification",
            Self::Multilabel => "labels",
            Self::NextToken => "next_token",
            Self::Regression => "regression",
            Self::Forecast => "forecast",
            Self::Remaining => "remaining",
            Self::Anomaly => "anomaly",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Binary,
        Self::Multiclass,
        Self::Multilabel,
        Self::NextToken,
        Self::Regression,
        Self::Forecast,
        Self::Remaining,
        Self::Anomaly,
    ];

    /// The kind whose metrics fit too, because its answers are compared in the same way.
    pub fn plain(self) -> Self {
        match self {
            Self::Forecast | Self::Remaining => Self::Regression,
            Self::Anomaly => Self::Binary,
            plain => plain,
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
    /// Either of them, over a series.
    Series(Box<Series>),
}

impl Sample {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { truth, .. } => truth.len(),
            Self::Labels { truth, labels, .. } => truth.len() / labels.max(&1),
            Self::Tokens { losses, .. } => losses.len(),
            Self::Values { truth, outputs, .. } => truth.len() / outputs.max(&1),
            Self::Series(series) => match (&series.plain, &series.detail) {
                (_, Detail::Anomaly(alarms)) => alarms.flagged.len(),
                (plain, _) => plain.as_ref().map_or(0, Self::rows),
            },
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
            Self::Series(series) => series.task(),
        }
    }

    /// The likeliest class of each row; the first one where several are equally likely.
    pub fn predicted_classes(&self) -> Vec<u32> {
        match self {
            Self::Classes { probabilities, classes, .. } => {
                probabilities.chunks_exact((*classes).max(1)).map(likeliest).collect()
            }
            Self::Labels { .. } | Self::Tokens { .. } | Self::Values { .. } | Self::Series(_) => Vec::new(),
        }
    }

    /// The plain sample in a series; itself where it is none.
    pub fn into_plain(self) -> Option<Self> {
        match self {
            Self::Series(series) => series.plain,
            plain => Some(plain),
        }
    }

    /// What a metric looks at: the plain sample, where the metric is not one of series. None where nothing is
    /// known to compare with.
    pub fn seen_by(&self, metric: &dyn Metric) -> Option<&Self> {
        match self {
            Self::Series(series) if !metric.fits(series.task()) => series.plain.as_ref(),
            other => Some(other),
        }
    }

    /// These rows alone, in this order; rows may repeat. A series stays whole: its rows are not drawn one by one.
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
            Self::Series(_) => self.clone(),
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
