//! `[[inputs]]` and `[[outputs]]`: which columns a network sees, and what it is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WindowSpec;
use crate::augment::AugmentSpec;
use crate::transform::TransformSpec;

/// The part of all inputs that have no shape of their own; where there are windows, that of their steps.
pub(crate) const FEATURES: &str = "features";

/// Everything between raw rows and the network: the inputs and the outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// What the network sees. Numbers, categories, datetimes and vectors are put side by side in this order, as the
    /// part `features`; each image, each text and each vector with a shape is a part of its own. Where there are
    /// windows, `features` is [steps, features], and what is in another part is taken of a window's last row.
    pub inputs: Vec<InputSpec>,
    /// What the network is asked for: one category, the labels of one output, the next token, or one or more numbers.
    #[serde(default)]
    pub outputs: Vec<OutputSpec>,
    /// How rows become windows; none where each row is a sample of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowSpec>,
}

impl PipelineSpec {
    /// The same without what changes training rows only: a served pipeline knows nothing of it.
    pub(crate) fn without_augmentation(&self) -> Self {
        let mut spec = self.clone();
        spec.inputs.iter_mut().for_each(|input| input.augment = None);
        spec
    }

    /// Whether the network is to continue texts.
    pub(crate) fn is_of_language(&self) -> bool {
        self.outputs.iter().any(|output| output.kind == OutputKind::NextToken)
    }

    /// The same with a token before and after each text, where the network is to learn how texts begin and end.
    pub(crate) fn with_boundaries(mut self) -> Self {
        if self.is_of_language() {
            for transform in self.inputs.iter_mut().filter_map(|input| input.transforms.as_mut()).flatten() {
                if let TransformSpec::Tokenize(tokens) = transform {
                    tokens.boundary = true;
                }
            }
        }
        self
    }

    /// The same inputs without outputs: what rows to predict look like.
    pub fn inputs_only(&self) -> Self {
        let windows = self.windows.clone().map(|windows| WindowSpec { stride: 1, ..windows });
        Self { inputs: self.inputs.clone(), outputs: Vec::new(), windows }
    }

    /// How many steps of a window an input gives; none where it is one value of each row, or of a window's last.
    pub fn steps_of(&self, input: &InputSpec) -> Option<usize> {
        let windows = self.windows.as_ref()?;
        let plain = matches!(input.kind, Kind::Number | Kind::Category | Kind::Datetime | Kind::Vector);
        let in_features = input.part.as_deref().is_none_or(|part| part == FEATURES);
        (plain && input.shape.is_none() && in_features).then_some(windows.length)
    }

    /// How many rows behind its window a sample needs: those it is to forecast, or of which inputs are known.
    pub(crate) fn ahead(&self) -> usize {
        let horizon = self.windows.as_ref().map_or(0, |windows| windows.horizon);
        let needed = !self.outputs.is_empty() || self.inputs.iter().any(|input| input.known_future);
        if needed { horizon } else { 0 }
    }
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The name by which requests give this input.
    pub name: String,
    /// What kind of value it is.
    pub kind: Kind,
    /// The column in the data; the same as `name` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The columns of a vector: a pattern such as `pixel_*`, a range such as `c0..c63`, or a list of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// What is done with the value, in order. When absent: `impute` if training rows have missing values,
    /// then `standard` for numbers and vectors, `one_hot` for categories, `datetime_parts` for datetimes and
    /// `image_to_float` for images. Texts and sounds have no usual one: name `tokenize`, `bag_of_words` or `log_mel`.
    /// An empty list leaves numbers as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transforms: Option<Vec<TransformSpec>>,
    /// Height, width and channels by which a vector is shown to the network as an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// For images: what changes training rows at random, in this order and anew in each epoch. Other rows, and
    /// those served, are never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Vec<AugmentSpec>>,
    /// The part of the network's input that it belongs to, where there are several: layers take parts by `from`.
    /// When absent: the input's own name for images, texts and vectors with a shape, `features` for all others.
    /// Where there are windows, `features` holds their steps, and what has another part is given once a window: the
    /// value of its last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How a datetime is written, as in `%d.%m.%Y %H:%M`, or `unix` or `unix_ms`. When absent: RFC 3339,
    /// `YYYY-MM-DD HH:MM[:SS]`, a date, or Unix seconds. What names no time zone is taken as UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Whether the value is known ahead of time, as a holiday or a plan is: where windows have a `horizon`, the
    /// network then sees each step's value and that of the row `horizon` rows later.
    #[serde(default, skip_serializing_if = "is_false")]
    pub known_future: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl InputSpec {
    /// An input of this name and kind with every setting at its default.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
            column: None,
            columns: None,
            transforms: None,
            shape: None,
            augment: None,
            part: None,
            format: None,
            known_future: false,
        }
    }
}

/// One output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The name under which answers give this output.
    pub name: String,
    /// What kind of answer it is.
    pub kind: OutputKind,
    /// The column in the data; the same as `name` when absent. Formats with a file of labels ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Names for categories that the data writes as 0, 1, 2, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// For a number: what is done with it before training, undone in every answer: `standard`, `min_max`,
    /// `robust` or `log1p`. When absent: `standard`. An empty list trains on the number as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transforms: Option<Vec<TransformSpec>>,
    /// For `remaining`: the longest life that the network is asked for; longer ones count as this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<f64>,
    /// For a forecast: the quantiles that the network gives at each step, as in [0.1, 0.5, 0.9], trained with the
    /// loss `quantile`. When absent it gives one number a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Vec<f64>>,
    /// For a forecast: the share of true values that its interval shall hold, calibrated on the validation rows.
    /// When absent: what lies between the outermost `quantiles`, or 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// For `anomaly`: the share of healthy validation rows that stay below the threshold. When absent: 0.995.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// For `anomaly` with a `column` of labels: the label of healthy rows. When absent: `0`, `false`, `no`,
    /// `normal`, `healthy`, `ok` or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
}

impl OutputSpec {
    /// An output of this name and kind with every setting at its default.
    pub fn new(name: impl Into<String>, kind: OutputKind) -> Self {
        Self {
            name: name.into(),
            kind,
            column: None,
            labels: None,
            transforms: None,
            cap: None,
            quantiles: None,
            coverage: None,
            quantile: None,
            healthy: None,
        }
    }
}

/// The kinds of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number.
    Number,
    /// One of a set of texts.
    Category,
    /// A point in time.
    Datetime,
    /// Several numbers under one name.
    Vector,
    /// A picture.
    Image,
    /// A text of any length.
    Text,
    /// A sound: a WAV file.
    Audio,
}

impl Kind {
    /// The kind's name as the project file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Category => "category",
            Self::Datetime => "datetime",
            Self::Vector => "vector",
            Self::Image => "image",
            Self::Text => "text",
            Self::Audio => "audio",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// A number: regression.
    Number,
    /// One of a set of texts: classification.
    Category,
    /// Any number of a set of texts, separated by `;`: multi-label classification.
    Labels,
    /// The next token at each step of the one text input: a language model, which continues texts. It has no column
    /// of its own.
    NextToken,
    /// How many rows of time the row's unit still has before its last one: remaining useful life. It needs
    /// `[data.windows]` with a `unit`; the units of `source` are taken to end with their last row, and those of
    /// `test_source` to have left what `test_labels` says, one number a line.
    Remaining,
    /// How unlike the healthy rows a row or window is: the network learns to give its own input back, and what it
    /// cannot give back is the score. Rows known to be anomalous, by a `column` or by times in `labels` under
    /// `[data]`, are kept from training and used for the scores.
    Anomaly,
}

impl OutputKind {
    /// The kind's name as the project file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Category => "category",
            Self::Labels => "labels",
            Self::NextToken => "next_token",
            Self::Remaining => "remaining",
            Self::Anomaly => "anomaly",
        }
    }
}

impl std::fmt::Display for OutputKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One pattern or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// A name, a pattern with `*`, or a range `c0..c63`.
    One(String),
    /// Several, whose columns follow each other.
    Many(Vec<String>),
}

impl Columns {
    /// The patterns in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(pattern) => std::slice::from_ref(pattern),
            Self::Many(patterns) => patterns.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}
