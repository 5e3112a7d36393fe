//! `[[inputs]]` and `[[outputs]]`: which columns a network sees, and what it is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::AugmentSpec;
use crate::transform::TransformSpec;

/// Everything between raw rows and the network: the inputs and the outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineSpec {
    /// What the network sees. Numbers, categories, datetimes and vectors are put side by side in this order, as the
    /// part `features`; each image, each text and each vector with a shape is a part of its own.
    pub inputs: Vec<InputSpec>,
    /// What the network is asked for: one category, the labels of one output, the next token, or one or more numbers.
    #[serde(default)]
    pub outputs: Vec<OutputSpec>,
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
        Self { inputs: self.inputs.clone(), outputs: Vec::new() }
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
    /// `image_to_float` for images. Texts and sounds have no usual one: name `tokenize`, `bag_of_words` or `log_mel`. An empty list leaves numbers as they are.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How a datetime is written, as in `%d.%m.%Y %H:%M`, or `unix` or `unix_ms`. When absent: RFC 3339,
    /// `YYYY-MM-DD HH:MM[:SS]`, a date, or Unix seconds. What names no time zone is taken as UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
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
        }
    }
}

/// One output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// The name under which answers give this output.
    pub name: String,
    /// Whether it is a category or a number.
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
}

impl OutputSpec {
    /// An output of this name and kind with every setting at its default.
    pub fn new(name: impl Into<String>, kind: OutputKind) -> Self {
        Self { name: name.into(), kind, column: None, labels: None, transforms: None }
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
