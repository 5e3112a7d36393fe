//! The rows of a column in another order, with rows put in between.

use crate::dataset::{Categories, ColumnData, Images, Vectors};
use crate::numbers::Numbers;
use crate::texts::Texts;

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Origin {
    /// It is this row.
    Row(usize),
    /// It lies between these two, this share of the way.
    Between(usize, usize, f64),
}

/// The column with these rows.
pub(super) fn arrange(column: &ColumnData, rows: &[Origin]) -> ColumnData {
    match column {
        ColumnData::Numbers(numbers) => {
            let mut arranged = Numbers::default();
            rows.iter().for_each(|origin| arranged.push(between(*origin, |row| numbers.get(row))));
            ColumnData::Numbers(arranged)
        }
        ColumnData::Datetimes(seconds) => {
            ColumnData::Datetimes(rows.iter().map(|origin| between(*origin, |row| seconds[row])).collect())
        }
        ColumnData::Categories(Categories { codes, dictionary }) => ColumnData::Categories(Categories {
            codes: rows.iter().map(|origin| codes[before(*origin)]).collect(),
            dictionary: dictionary.clone(),
        }),
        ColumnData::Vectors(Vectors { width, values }) => {
            let value = |origin: &Origin, at: usize| {
                between(*origin, |row| f64::from(values[row * width + at])) as f32
            };
            let values = rows.iter().flat_map(|origin| (0..*width).map(move |at| value(origin, at)));
            ColumnData::Vectors(Vectors { width: *width, values: values.collect() })
        }
        ColumnData::Texts(texts) => {
            let mut arranged = Texts::default();
            rows.iter().for_each(|origin| arranged.push(texts.get(before(*origin))));
            ColumnData::Texts(arranged)
        }
        ColumnData::Images(Images { shape, bytes }) => {
            let size: usize = shape.iter().product();
            let image = |origin: &Origin| &bytes[before(*origin) * size..(before(*origin) + 1) * size];
            ColumnData::Images(Images {
                shape: *shape,
                bytes: rows.iter().flat_map(image).copied().collect(),
            })
        }
    }
}

fn between(origin: Origin, value: impl Fn(usize) -> f64) -> f64 {
    match origin {
        Origin::Row(row) => value(row),
        Origin::Between(from, to, share) => value(from) * (1.0 - share) + value(to) * share,
    }
}

fn before(origin: Origin) -> usize {
    match origin {
        Origin::Row(row) | Origin::Between(row, _, _) => row,
    }
}
