//! A few rows of one input on their way through the transforms, and the form that they have at each step.

use serde::{Deserialize, Serialize};

use crate::dataset::Dictionary;
use crate::texts::Texts;

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Form {
    /// `width` numbers a row, in `floats`; NaN is missing.
    Numbers { width: usize },
    /// One of `size` categories a row, in `codes`.
    Category { size: usize },
    /// Seconds since 1970 UTC, in `floats`; NaN is missing.
    Datetime,
    /// Bytes of an image [height, width, channels], in `bytes`.
    Bytes { shape: [usize; 3] },
    /// Numbers of an image [height, width, channels], in `floats`.
    Image { shape: [usize; 3] },
    /// A text of any length, in `texts`.
    Text,
}

impl Form {
    /// Numbers a row, where the form is one of numbers.
    pub(crate) fn width(&self) -> Option<usize> {
        match self {
            Self::Numbers { width } => Some(*width),
            Self::Image { shape } => Some(shape.iter().product()),
            Self::Datetime => Some(1),
            Self::Category { .. } | Self::Bytes { .. } | Self::Text => None,
        }
    }

    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Numbers { width: 1 } => "a number".into(),
            Self::Numbers { width } => format!("{width} numbers"),
            Self::Category { .. } => "a category".into(),
            Self::Datetime => "a datetime".into(),
            Self::Bytes { shape } => format!("an image {shape:?}"),
            Self::Image { shape } => format!("an image of numbers {shape:?}"),
            Self::Text => "a text".into(),
        }
    }
}

/// Some rows of one input. Only the buffer that the form names is in use; the others keep their memory for
/// the next block.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    pub(crate) form: Option<Form>,
    pub(crate) floats: Vec<f64>,
    pub(crate) codes: Vec<u32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) texts: Texts,
}

/// Shows blocks of rows, one after the other, to whoever asks.
pub(crate) type Visit<'a> = dyn Fn(&mut dyn FnMut(&Block)) + 'a;

/// What a [`super::Declared`] transform may look at: the training rows of its own input, block by block, as
/// the transforms before it leave them.
pub(crate) struct Training<'a> {
    pub(crate) form: &'a Form,
    pub(crate) dictionary: Option<&'a Dictionary>,
    pub(crate) visit: &'a Visit<'a>,
}

impl Training<'_> {
    /// Runs over all training rows, in blocks.
    pub(crate) fn visit(&self, mut see: impl FnMut(&Block)) {
        (self.visit)(&mut see);
    }

    /// The values that are there, component by component, sorted. Holds them all: only for what needs order.
    pub(crate) fn sorted_components(&self, width: usize) -> Vec<Vec<f64>> {
        let mut components = vec![Vec::new(); width];
        self.visit(|block| {
            for row in block.floats.chunks_exact(width) {
                for (component, &value) in components.iter_mut().zip(row) {
                    if !value.is_nan() {
                        component.push(value);
                    }
                }
            }
        });
        for component in &mut components {
            component.sort_unstable_by(f64::total_cmp);
        }
        components
    }

    /// How often each category comes, in the order of the dictionary.
    pub(crate) fn category_counts(&self, size: usize) -> Vec<u64> {
        let mut counts = vec![0; size];
        self.visit(|block| {
            for &code in &block.codes {
                if let Some(count) = counts.get_mut(code as usize) {
                    *count += 1;
                }
            }
        });
        counts
    }

    /// Count, mean and variance of each of `width` interleaved components (Welford's method).
    pub(crate) fn moments(&self, width: usize) -> Vec<Moments> {
        let mut moments = vec![Moments::default(); width];
        self.visit(|block| {
            for row in block.floats.chunks_exact(width) {
                for (moments, &value) in moments.iter_mut().zip(row) {
                    moments.add(value);
                }
            }
        });
        moments
    }
}

/// Running count, mean, spread and bounds of values; NaN is passed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    squares: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, mean: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The standard deviation over the values themselves (divided by n).
    pub(crate) fn std(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares / self.count as f64).max(0.0).sqrt() }
    }
}

/// The value at fraction `q` of sorted values, between two of them in proportion.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    // Weighted so that neither a large difference nor an infinite one can arise.
    let share = at - at.floor();
    low * (1.0 - share) + high * share
}
