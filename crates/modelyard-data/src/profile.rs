//! The distribution of the training rows, column by column: what later rows are compared with to notice
//! drift.

use serde::{Deserialize, Serialize};

use crate::dataset::{Categories, ColumnData, Dataset, MISSING};
use crate::error::DataError;
use crate::transform::{Moments, quantile};

const NAME: &str = "profile.json";
const FORMAT: &str = "modelyard.profile";
const FORMAT_VERSION: u64 = 1;
const BINS: usize = 20;
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Quantiles and bins of longer columns are taken from evenly spaced values.
const VALUES_MAX: usize = 1 << 20;
/// Categories beyond the most frequent ones are counted together.
const CATEGORIES_MAX: usize = 1000;

/// The distribution of every input and output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    format: String,
    format_version: u64,
    /// How many training rows there were.
    pub rows: u64,
    /// Inputs and outputs in the declared order.
    pub fields: Vec<FieldProfile>,
}

/// The distribution of one input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FieldProfile {
    /// A number.
    Number(NumberProfile),
    /// A datetime, in Unix seconds.
    Datetime(NumberProfile),
    /// All numbers of a vector together.
    Vector(NumberProfile),
    /// The mean brightness of each image, from 0 to 255.
    Image(NumberProfile),
    /// A category.
    Category(CategoryProfile),
    /// The length of each text in characters.
    Text(NumberProfile),
}

/// The distribution of numbers. All but the counts are 0 where every value is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberProfile {
    /// The name of the input or output.
    pub name: String,
    /// Values that are there.
    pub count: u64,
    /// Values that are missing.
    pub missing: u64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation (divided by n).
    pub std: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Pairs of a fraction and the value that this fraction of values does not exceed.
    pub quantiles: Vec<(f64, f64)>,
    /// Counts between equally spaced bounds.
    pub histogram: Vec<Bin>,
}

/// One bar of a histogram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// The lower bound, inside.
    pub from: f64,
    /// The upper bound, outside but for the last bin.
    pub to: f64,
    /// How many values (of evenly spaced ones, where there are very many) lie between.
    pub count: u64,
}

/// The distribution of a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryProfile {
    /// The name of the input or output.
    pub name: String,
    /// Values that are there.
    pub count: u64,
    /// Values that are missing.
    pub missing: u64,
    /// Labels with their counts, the most frequent first.
    pub counts: Vec<(String, u64)>,
    /// Values with rarer labels, past the first thousand labels.
    pub others: u64,
}

impl Profile {
    /// The distribution of these rows.
    pub fn new(data: &Dataset, training_rows: &[usize]) -> Self {
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            rows: training_rows.len() as u64,
            fields: data
                .columns()
                .iter()
                .map(|column| field_profile(&column.name, &column.data, training_rows))
                .collect(),
        }
    }

    /// The profile as the text of `profile.json`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("every number in it is finite and every key a text")
    }

    /// The profile from the bytes of `profile.json`.
    ///
    /// # Errors
    /// [`DataError::TooNew`] for a later format, [`DataError::Document`] for anything that is no profile.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            format_version: u64,
        }
        let damaged = |problem: String| DataError::Document { document: NAME, problem };
        let head: Head = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if head.format != FORMAT {
            return Err(damaged(format!("its format is {:?}", head.format)));
        }
        if head.format_version > FORMAT_VERSION {
            let (found, known) = (head.format_version, FORMAT_VERSION);
            return Err(DataError::TooNew { document: NAME, found, known });
        }
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
    }
}

fn field_profile(name: &str, column: &ColumnData, rows: &[usize]) -> FieldProfile {
    match column {
        ColumnData::Numbers(numbers) => {
            FieldProfile::Number(number_profile(name, rows.len(), |index| numbers.get(rows[index])))
        }
        ColumnData::Datetimes(seconds) => {
            FieldProfile::Datetime(number_profile(name, rows.len(), |index| seconds[rows[index]]))
        }
        ColumnData::Vectors(v) => {
            let value = |index: usize| f64::from(v.values[rows[index / v.width] * v.width + index % v.width]);
            FieldProfile::Vector(number_profile(name, rows.len() * v.width, value))
        }
        ColumnData::Images(images) => {
            let size: usize = images.shape.iter().product();
            let brightness = |index: usize| {
                let pixels = &images.bytes[rows[index] * size..(rows[index] + 1) * size];
                pixels.iter().map(|&pixel| u64::from(pixel)).sum::<u64>() as f64 / size.max(1) as f64
            };
            FieldProfile::Image(number_profile(name, rows.len(), brightness))
        }
        ColumnData::Texts(texts) => {
            let length = |index: usize| texts.get(rows[index]).chars().count() as f64;
            FieldProfile::Text(number_profile(name, rows.len(), length))
        }
        ColumnData::Categories(categories) => {
            FieldProfile::Category(category_profile(name, categories, rows))
        }
    }
}

fn number_profile(name: &str, len: usize, value: impl Fn(usize) -> f64) -> NumberProfile {
    let mut moments = Moments::default();
    (0..len).for_each(|index| moments.add(value(index)));
    let mut sample: Vec<f64> = (0..len).step_by(len.div_ceil(VALUES_MAX).max(1)).map(&value).collect();
    sample.retain(|value| !value.is_nan());
    sample.sort_unstable_by(f64::total_cmp);
    let none = moments.count == 0;
    let (min, max) = if none { (0.0, 0.0) } else { (moments.min, moments.max) };
    let of_sample = |q: f64| if sample.is_empty() { 0.0 } else { quantile(&sample, q) };
    NumberProfile {
        name: name.to_owned(),
        count: moments.count,
        missing: len as u64 - moments.count,
        mean: storable(moments.mean),
        std: storable(moments.std()),
        min,
        max,
        quantiles: QUANTILES.iter().map(|&q| (q, of_sample(q))).collect(),
        histogram: if none { Vec::new() } else { histogram(&sample, min, max) },
    }
}

/// JSON has no infinity, to which the spread of values near the largest double may grow.
fn storable(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::MAX }
}

fn histogram(sorted: &[f64], min: f64, max: f64) -> Vec<Bin> {
    let bins = if min == max { 1 } else { BINS };
    let bound = |bin: usize| {
        let share = bin as f64 / bins as f64;
        min * (1.0 - share) + max * share
    };
    let mut start = 0;
    (0..bins)
        .map(|bin| {
            let to = if bin + 1 == bins { max } else { bound(bin + 1) };
            let end =
                if bin + 1 == bins { sorted.len() } else { sorted.partition_point(|value| *value < to) };
            let count = end.saturating_sub(start) as u64;
            start = end.max(start);
            Bin { from: bound(bin), to, count }
        })
        .collect()
}

fn category_profile(name: &str, categories: &Categories, rows: &[usize]) -> CategoryProfile {
    let mut counts = vec![0u64; categories.dictionary.len()];
    let mut missing = 0;
    for &row in rows {
        match categories.codes[row] {
            MISSING => missing += 1,
            code => counts[code as usize] += 1,
        }
    }
    let labelled = categories.dictionary.labels().map(String::from).zip(counts);
    let mut counts: Vec<(String, u64)> = labelled.filter(|(_, count)| *count > 0).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let others = counts.iter().skip(CATEGORIES_MAX).map(|(_, count)| count).sum();
    counts.truncate(CATEGORIES_MAX);
    CategoryProfile { name: name.to_owned(), count: rows.len() as u64 - missing, missing, counts, others }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dataset::{Column, Dictionary};
    use crate::numbers::Numbers;

    fn data() -> Dataset {
        let mut numbers = Numbers::default();
        (0..=100).for_each(|value| numbers.push(if value == 50 { f64::NAN } else { f64::from(value) }));
        let codes = (0..=100).map(|row| if row == 0 { MISSING } else { row % 2 }).collect();
        let categories = Categories { codes, dictionary: Arc::new(Dictionary::new(["even", "odd"])) };
        let column = |name: &str, data| Column { name: name.into(), data, members: Vec::new() };
        Dataset::new(
            vec![column("x", ColumnData::Numbers(numbers)), column("y", ColumnData::Categories(categories))],
            None,
        )
    }

    #[test]
    fn a_profile_counts_what_is_there() {
        let rows: Vec<usize> = (0..=100).collect();
        let profile = Profile::new(&data(), &rows);
        let FieldProfile::Number(x) = &profile.fields[0] else { panic!("a number") };
        assert_eq!((x.count, x.missing, x.min, x.max), (100, 1, 0.0, 100.0));
        assert!((x.mean - 50.0).abs() < 1e-9);
        assert_eq!(x.histogram.iter().map(|bin| bin.count).sum::<u64>(), 100);
        assert_eq!(x.histogram.len(), BINS);
        assert_eq!(x.quantiles[4], (0.5, 50.0));
        let FieldProfile::Category(y) = &profile.fields[1] else { panic!("a category") };
        assert_eq!((y.count, y.missing), (100, 1));
        assert_eq!(y.counts, [("even".to_owned(), 50), ("odd".to_owned(), 50)]);
    }

    #[test]
    fn a_profile_reads_back() {
        let profile = Profile::new(&data(), &[0, 3, 50]);
        assert_eq!(Profile::from_json(profile.to_json().as_bytes()).expect("sound"), profile);
        let newer = profile.to_json().replace("\"format_version\": 1", "\"format_version\": 9, \"more\": 0");
        assert!(matches!(Profile::from_json(newer.as_bytes()), Err(DataError::TooNew { found: 9, .. })));
        assert!(Profile::from_json(b"{}").is_err());
        assert!(Profile::from_json("[".repeat(100_000).as_bytes()).is_err());
    }
}
