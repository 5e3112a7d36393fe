//! Training, validation and test rows: disjoint, complete, and the same for the same seed.

mod rolling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dataset::{Categories, ColumnData, Dataset, Dictionary, MISSING};
use crate::error::DataError;
use crate::random::Random;
use crate::spec::{OutputKind, OutputSpec, SplitKind, SplitSpec};
use crate::window::Windows;

pub use rolling::{Fold, rolling_origin};

const VALIDATION_USUAL: f64 = 0.15;
const TEST_USUAL: f64 = 0.15;

/// A smaller fraction is none.
const FRACTION_LEAST: f64 = 1e-9;

/// Which rows learn, decide and judge. Each list is sorted, and no row is in two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The rows to learn from.
    pub train: Vec<usize>,
    /// The rows that decide when to stop.
    pub validation: Vec<usize>,
    /// The rows kept away until the end.
    pub test: Vec<usize>,
    /// Which samples were left out of all parts, and why, one sentence each.
    pub notes: Vec<String>,
}

/// Divides the rows. Those of a separate test source are the test rows; the split then divides the others.
///
/// # Errors
/// [`DataError::Split`] where fractions do not add up, the column is not fit for the kind of split, or a part
/// would be left without rows.
pub fn split(spec: &SplitSpec, data: &Dataset, outputs: &[OutputSpec]) -> Result<Parts, DataError> {
    let own_test = data.test_rows();
    let fractions = Fractions::resolve(spec, own_test.is_some())?;
    let first_test = own_test.as_ref().map_or(data.rows(), |own| own.start);
    let (pool, own_samples): (Vec<usize>, Vec<usize>) =
        data.samples().into_iter().partition(|&row| row < first_test);
    let rows = pool.len();
    let mut parts = match spec.kind {
        SplitKind::Random => random(rows, &fractions, spec.seed),
        SplitKind::Stratified => {
            stratified(&pick(strata(data, outputs)?, &pool), rows, &fractions, spec.seed)
        }
        SplitKind::Time => by_time(&moments(data, &pool)?, rows, &fractions)?,
        SplitKind::Group => by_group(&groups(data, &pool)?, rows, &fractions, spec.seed)?,
    };
    for (name, part, fraction) in [
        ("training", &parts.train, fractions.train),
        ("validation", &parts.validation, fractions.validation),
        ("test", &parts.test, fractions.test),
    ] {
        if part.is_empty() && fraction > 0.0 {
            return Err(failed(format!("{rows} rows leave none for {name}"))
                .with_hint("give more rows, or set the fractions under [data.split]"));
        }
    }
    for part in [&mut parts.train, &mut parts.validation, &mut parts.test] {
        part.iter_mut().for_each(|row| *row = pool[*row]);
        part.sort_unstable();
    }
    if own_test.is_some() {
        keep_sources_apart(spec.kind, data, &pool, &own_samples)?;
        parts.test = own_samples;
    }
    keep_healthy(data, outputs, &mut parts);
    if let Some(windows) = data.windows() {
        let gives_back = outputs.iter().any(|output| output.kind == OutputKind::Anomaly);
        keep_apart(windows, (spec.kind, gives_back), &mut parts)?;
    }
    Ok(parts)
}

fn failed(problem: impl Into<String>) -> DataError {
    DataError::Split { problem: problem.into(), hint: None }
}

/// The fraction of each part; together 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fractions {
    train: f64,
    validation: f64,
    test: f64,
}

impl Fractions {
    fn resolve(spec: &SplitSpec, own_test: bool) -> Result<Self, DataError> {
        for (name, fraction) in [("train", spec.train), ("validation", spec.validation), ("test", spec.test)]
        {
            if fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
                return Err(failed(format!("{name} is a fraction from 0 to 1")));
            }
        }
        if own_test && spec.test.is_some_and(|test| test > 0.0) {
            return Err(failed("test asks for rows of source, but there is a separate test_source")
                .with_hint("remove test under [data.split], or test_source under [data]"));
        }
        let given_test = if own_test { Some(0.0) } else { spec.test };
        let (train, validation, test) = match (spec.train, spec.validation, given_test) {
            (Some(train), Some(validation), Some(test)) => (train, validation, test),
            (Some(train), Some(validation), None) => (train, validation, 1.0 - train - validation),
            (Some(train), None, Some(test)) => (train, 1.0 - train - test, test),
            (Some(train), None, None) => (train, (1.0 - train) / 2.0, (1.0 - train) / 2.0),
            (None, validation, test) => {
                let (validation, test) = (validation.unwrap_or(VALIDATION_USUAL), test.unwrap_or(TEST_USUAL));
                (1.0 - validation - test, validation, test)
            }
        };
        let sum = train + validation + test;
        if (sum - 1.0).abs() > 1e-6 || train <= 0.0 || validation < -FRACTION_LEAST || test < -FRACTION_LEAST
        {
            return Err(failed(format!(
                "train {train:.3}, validation {validation:.3} and test {test:.3} are no division of 1"
            ))
            .with_hint("leave one of them out, and it gets the rest"));
        }
        // What subtracting decimals leaves over (1 - 0.7 - 0.3 is 5.6e-17) asks for no rows.
        let asked = |fraction: f64| if fraction < FRACTION_LEAST { 0.0 } else { fraction };
        Ok(Self { train, validation: asked(validation), test: asked(test) })
    }
}

fn random(rows: usize, fractions: &Fractions, seed: u64) -> Parts {
    let mut order: Vec<usize> = (0..rows).collect();
    Random::new(seed).shuffle(&mut order);
    let test = count(rows, fractions.test);
    let validation = count(rows, fractions.validation).min(rows - test);
    Parts {
        test: order[..test].to_vec(),
        validation: order[test..test + validation].to_vec(),
        train: order[test + validation..].to_vec(),
        notes: Vec::new(),
    }
}

/// The nearest number of rows, at least one of three or more where any are wanted.
fn count(rows: usize, fraction: f64) -> usize {
    let nearest = ((rows as f64 * fraction).round() as usize).min(rows);
    if nearest == 0 && fraction > 0.0 && rows >= 3 { 1 } else { nearest }
}

/// Within each category the rows are shuffled and divided. Rounding carries over from category to category,
/// so that many small ones still add up; one row of each always trains, so that no part has a category that
/// training has not.
fn stratified(column: &Categories, rows: usize, fractions: &Fractions, seed: u64) -> Parts {
    let mut strata: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (row, code) in column.codes[..rows].iter().enumerate() {
        strata.entry(column.dictionary.label(*code)).or_default().push(row);
    }
    let mut random = Random::new(seed);
    let mut parts = Parts::default();
    let (mut test_due, mut validation_due) = (0.0, 0.0);
    for mut members in strata.into_values() {
        random.shuffle(&mut members);
        let size = members.len();
        test_due += size as f64 * fractions.test;
        validation_due += size as f64 * fractions.validation;
        let mut take = |due: f64, part: &mut Vec<usize>| {
            let wanted = (due.round() as usize).saturating_sub(part.len());
            part.extend(members.drain(..wanted.min(members.len() - 1)));
        };
        take(test_due, &mut parts.test);
        take(validation_due, &mut parts.validation);
        parts.train.extend(members);
    }
    parts
}

/// The earliest rows train, the latest test. Rows of one moment stay together, in the earlier part.
fn by_time(moments: &[f64], rows: usize, fractions: &Fractions) -> Result<Parts, DataError> {
    if let Some(row) = moments[..rows].iter().position(|moment| moment.is_nan()) {
        return Err(failed(format!("row {row} has no time")).with_hint("remove the rows without a time"));
    }
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|a, b| moments[*a].total_cmp(&moments[*b]));
    let after_ties = |mut cut: usize| {
        while cut > 0 && cut < rows && moments[order[cut]] == moments[order[cut - 1]] {
            cut += 1;
        }
        cut
    };
    let test = count(rows, fractions.test);
    let validation = count(rows, fractions.validation).min(rows - test);
    let validation_from = after_ties(rows - test - validation);
    let test_from = after_ties(rows - test).max(validation_from);
    Ok(Parts {
        train: order[..validation_from].to_vec(),
        validation: order[validation_from..test_from].to_vec(),
        test: order[test_from..].to_vec(),
        notes: Vec::new(),
    })
}

/// Whole groups, in shuffled order, go to the test part while that brings it nearer to its size, then to the
/// validation part, and the rest trains.
fn by_group(column: &Categories, rows: usize, fractions: &Fractions, seed: u64) -> Result<Parts, DataError> {
    if let Some(row) = column.codes[..rows].iter().position(|code| *code == MISSING) {
        return Err(failed(format!("row {row} has no group")).with_hint("remove the rows without a group"));
    }
    let mut groups: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for (row, code) in column.codes[..rows].iter().enumerate() {
        groups.entry(column.dictionary.label(*code)).or_default().push(row);
    }
    let wanted = [fractions.train, fractions.validation, fractions.test];
    let parts_wanted = wanted.iter().filter(|fraction| **fraction > 0.0).count();
    if groups.len() < parts_wanted {
        return Err(failed(format!("{} groups cannot be divided into {parts_wanted} parts", groups.len()))
            .with_hint("a part takes whole groups; choose a column with more values"));
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    Random::new(seed).shuffle(&mut groups);
    let kept_for_later = usize::from(fractions.validation > 0.0) + 1;
    let test = take_groups(&mut groups, rows as f64 * fractions.test, kept_for_later);
    let validation = take_groups(&mut groups, rows as f64 * fractions.validation, 1);
    Ok(Parts { train: groups.concat(), validation, test, notes: Vec::new() })
}

fn take_groups(groups: &mut Vec<Vec<usize>>, wanted: f64, keep: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    while wanted > 0.0 && groups.len() > keep {
        let group = groups.last().map_or(0, Vec::len);
        let nearer = (taken.len() as f64 + group as f64 - wanted).abs() < (taken.len() as f64 - wanted).abs();
        if !nearer && !taken.is_empty() {
            break;
        }
        taken.extend(groups.pop().unwrap_or_default());
    }
    taken
}

fn strata<'a>(data: &'a Dataset, outputs: &[OutputSpec]) -> Result<&'a Categories, DataError> {
    if data.split_column().is_some() {
        return categories(data);
    }
    let output = outputs.iter().find(|output| output.kind == OutputKind::Category);
    match output.and_then(|output| data.column(&output.name)) {
        Some(ColumnData::Categories(column)) => Ok(column),
        _ => Err(failed("kind = \"stratified\" needs a category to balance")
            .with_hint("set column under [data.split], or use kind = \"random\"")),
    }
}

fn categories(data: &Dataset) -> Result<&Categories, DataError> {
    match data.split_column() {
        Some(ColumnData::Categories(column)) => Ok(column),
        _ => Err(no_column()),
    }
}

/// What these rows are grouped by: the split's column, or the unit of windows.
fn groups(data: &Dataset, pool: &[usize]) -> Result<Categories, DataError> {
    match (data.split_column(), data.windows()) {
        (None, Some(windows)) => {
            let codes: Vec<u32> = pool.iter().map(|&row| windows.unit(row)).collect();
            let units = codes.iter().max().map_or(0, |last| last + 1);
            let dictionary = Dictionary::new((0..units).map(|unit| format!("{unit:010}")));
            Ok(Categories { codes, dictionary: Arc::new(dictionary) })
        }
        _ => categories(data).map(|column| pick(column, pool)),
    }
}

fn pick(column: &Categories, pool: &[usize]) -> Categories {
    let codes = pool.iter().map(|&row| column.codes[row]).collect();
    Categories { codes, dictionary: column.dictionary.clone() }
}

/// When these rows were: by the split's column, or the time of windows.
fn moments(data: &Dataset, pool: &[usize]) -> Result<Vec<f64>, DataError> {
    match (data.split_column(), data.windows()) {
        (Some(ColumnData::Datetimes(column)), _) => Ok(pool.iter().map(|&row| column[row]).collect()),
        (None, Some(windows)) => Ok(pool.iter().map(|&row| windows.time(row)).collect()),
        _ => Err(no_column()),
    }
}

/// Sees to it that a separate test source is later than the rows learned from, or of other groups, where the split
/// is declared so. Windows are kept in order by themselves.
fn keep_sources_apart(
    kind: SplitKind,
    data: &Dataset,
    pool: &[usize],
    test: &[usize],
) -> Result<(), DataError> {
    match (kind, data.split_column()) {
        (SplitKind::Time, Some(ColumnData::Datetimes(moments))) => {
            let last = pool.iter().map(|&row| moments[row]).fold(f64::NEG_INFINITY, f64::max);
            if let Some(row) = test.iter().find(|&&row| moments[row].is_nan() || moments[row] <= last) {
                let row = row - data.test_rows().map_or(0, |rows| rows.start) + 1;
                return Err(failed(format!(
                    "the test source begins before the training rows end: its row {row} is not later than all of source"
                ))
                .with_hint("remove the later rows from source, or use another kind of split"));
            }
        }
        (SplitKind::Group, Some(ColumnData::Categories(groups))) => {
            let known: BTreeSet<u32> = pool.iter().map(|&row| groups.codes[row]).collect();
            if let Some(&row) = test.iter().find(|&&row| known.contains(&groups.codes[row])) {
                let group = groups.dictionary.label(groups.codes[row]).unwrap_or_default();
                return Err(failed(format!("the group {group:?} is both in source and in test_source"))
                    .with_hint("a group belongs to one of them, or the scores are of groups learned from"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Leaves samples that touch a row known to be anomalous out of what is learned from.
fn keep_healthy(data: &Dataset, outputs: &[OutputSpec], parts: &mut Parts) {
    let Some(output) = outputs.iter().find(|output| output.kind == OutputKind::Anomaly) else { return };
    let Some(ColumnData::Numbers(known)) = data.column(&output.name) else { return };
    let is_healthy = |row: &usize| match data.windows() {
        Some(windows) => windows.rows_of(*row, 0).all(|row| known.get(row) != 1.0),
        None => known.get(*row) != 1.0,
    };
    let before = parts.train.len() + parts.validation.len();
    parts.train.retain(is_healthy);
    parts.validation.retain(is_healthy);
    let left_out = before - parts.train.len() - parts.validation.len();
    if left_out > 0 {
        parts
            .notes
            .push(format!("{left_out} samples with anomalous rows were left out of what is learned from"));
    }
}

/// Sees to it that no part learns from what another judges by. By time, samples whose forecast reaches into the
/// next part are left out (and where windows are given back, those that share a row with it), and a separate test
/// source may not begin before a unit's training rows end; by chance, windows of two parts may not share rows.
fn keep_apart(windows: &Windows, kind: (SplitKind, bool), parts: &mut Parts) -> Result<(), DataError> {
    if let (SplitKind::Time, gives_back) = kind {
        return keep_order(windows, gives_back, parts);
    }
    for (a, b) in
        [(&parts.train, &parts.validation), (&parts.train, &parts.test), (&parts.validation, &parts.test)]
    {
        if windows.overlap(a, b) {
            return Err(failed("windows of different parts share rows: the scores would be of rows learned from")
                .with_hint("set kind = \"time\" or, with units, kind = \"group\" under [data.split]; or a stride of a whole window"));
        }
    }
    Ok(())
}

/// The same for parts that follow each other in time.
fn keep_order(windows: &Windows, gives_back: bool, parts: &mut Parts) -> Result<(), DataError> {
    let first_time = |part: &[usize]| part.iter().map(|&row| windows.time(row)).fold(f64::INFINITY, f64::min);
    let last_time =
        |part: &[usize]| part.iter().map(|&row| windows.time(row)).fold(f64::NEG_INFINITY, f64::max);
    let (validation, test) = (first_time(&parts.validation), first_time(&parts.test));
    let before = parts.train.len() + parts.validation.len();
    let reaches = |row: usize| windows.time(row + windows.ahead());
    parts.train.retain(|&row| windows.ahead() == 0 || reaches(row) < validation.min(test));
    parts.validation.retain(|&row| windows.ahead() == 0 || reaches(row) < test);
    let left_out = before - parts.train.len() - parts.validation.len();
    if left_out > 0 {
        parts.notes.push(format!(
            "{left_out} windows were left out, because what they forecast reaches into the next part"
        ));
    }
    if last_time(&parts.train).max(last_time(&parts.validation)) >= test {
        return Err(failed("the test source begins before the training rows end")
            .with_hint("remove the later rows from source, or divide by unit with kind = \"group\""));
    }
    if gives_back {
        let shared = windows.keep_apart(&mut parts.validation, &parts.test);
        let later = [parts.validation.as_slice(), &parts.test].concat();
        let shared = shared + windows.keep_apart(&mut parts.train, &later);
        if shared > 0 {
            parts
                .notes
                .push(format!("{shared} windows were left out, because they share rows with the next part"));
        }
    }
    if parts.train.is_empty() {
        return Err(failed("every training window reaches into the next part")
            .with_hint("a smaller length or horizon under [data.windows], or more rows"));
    }
    Ok(())
}

fn no_column() -> DataError {
    failed("the data set was read without the column to split by").with_hint("set column under [data.split]")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::dataset::{Column, Dictionary};
    use crate::numbers::Numbers;

    fn labels(codes: Vec<u32>) -> Categories {
        Categories { codes, dictionary: Arc::new(Dictionary::new((0..100).map(|n| format!("l{n:02}")))) }
    }

    fn data(rows: usize, by: Option<ColumnData>) -> Dataset {
        let numbers = Numbers::Single(vec![0.0; rows]);
        let column = Column { name: "x".into(), data: ColumnData::Numbers(numbers), members: Vec::new() };
        Dataset::new(vec![column], None).with_split_column(by)
    }

    fn spec(kind: SplitKind) -> SplitSpec {
        SplitSpec { kind, seed: 3, ..SplitSpec::default() }
    }

    fn run(kind: SplitKind, rows: usize, by: Option<ColumnData>) -> Result<Parts, DataError> {
        split(&spec(kind), &data(rows, by), &[])
    }

    fn assert_partition(parts: &Parts, rows: usize) {
        let mut all = [&parts.train[..], &parts.validation, &parts.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..rows).collect::<Vec<_>>());
    }

    #[test]
    fn a_seed_means_its_rows() {
        let parts = run(SplitKind::Random, 100, None).expect("splits");
        assert_partition(&parts, 100);
        assert_eq!([parts.train.len(), parts.validation.len(), parts.test.len()], [70, 15, 15]);
        assert_eq!(parts, run(SplitKind::Random, 100, None).expect("splits"));
        let other = SplitSpec { seed: 4, ..spec(SplitKind::Random) };
        assert_ne!(parts, split(&other, &data(100, None), &[]).expect("splits"));
        assert_eq!(parts.test[..5], [2, 10, 21, 24, 27], "the shuffle must not change between versions");
    }

    #[test]
    fn a_category_of_one_row_trains() {
        let codes: Vec<u32> = (0..101).map(|row| if row == 50 { 9 } else { row % 2 }).collect();
        let parts = run(SplitKind::Stratified, 101, Some(ColumnData::Categories(labels(codes.clone()))))
            .expect("splits");
        assert_partition(&parts, 101);
        assert!(parts.train.contains(&50));
        for part in [&parts.validation, &parts.test] {
            let ones = part.iter().filter(|&&row| codes[row] == 1).count();
            assert!(ones.abs_diff(part.len() - ones) <= 1, "{ones} of {}", part.len());
        }
    }

    #[test]
    fn no_moment_is_in_two_parts() {
        let moments: Vec<f64> = (0..100).map(|row| f64::from(row / 7)).rev().collect();
        let parts = run(SplitKind::Time, 100, Some(ColumnData::Datetimes(moments.clone()))).expect("splits");
        assert_partition(&parts, 100);
        let range = |part: &[usize]| {
            let times = part.iter().map(|&row| moments[row]);
            (times.clone().fold(f64::MAX, f64::min), times.fold(f64::MIN, f64::max))
        };
        assert!(range(&parts.train).1 < range(&parts.validation).0);
        assert!(range(&parts.validation).1 < range(&parts.test).0);
        let missing = ColumnData::Datetimes(vec![1.0, f64::NAN, 2.0]);
        assert!(run(SplitKind::Time, 3, Some(missing)).is_err());
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        assert!(run(SplitKind::Random, 1, None).is_err(), "one row");
        assert!(run(SplitKind::Stratified, 10, None).is_err(), "no category");
        assert!(
            run(SplitKind::Group, 10, Some(ColumnData::Categories(labels(vec![0; 10])))).is_err(),
            "one group"
        );
        let same_moment = ColumnData::Datetimes(vec![1.0; 10]);
        assert!(run(SplitKind::Time, 10, Some(same_moment)).is_err());
        let fractions =
            |train, validation, test| SplitSpec { train, validation, test, ..SplitSpec::default() };
        for wrong in [
            fractions(Some(0.9), Some(0.2), None),
            fractions(Some(0.5), Some(0.2), Some(0.2)),
            fractions(Some(0.0), None, None),
            fractions(Some(-1.0), None, None),
            fractions(Some(f64::NAN), None, None),
        ] {
            assert!(split(&wrong, &data(100, None), &[]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn residue_of_decimals_is_no_part() {
        for (train, test) in [(0.7, 0.3), (0.85, 0.15), (0.9, 0.1), (0.6, 0.4)] {
            let spec = SplitSpec { train: Some(train), test: Some(test), ..SplitSpec::default() };
            let parts = split(&spec, &data(100, None), &[]).expect("splits");
            assert_eq!(parts.validation.len(), 0, "{train} and {test}");
            let spec = SplitSpec { train: Some(train), validation: Some(test), ..SplitSpec::default() };
            assert_eq!(
                split(&spec, &data(100, None), &[]).expect("splits").test.len(),
                0,
                "{train} and {test}"
            );
        }
    }

    #[test]
    fn a_test_source_older_than_the_training_rows_is_refused() {
        let by_time = |moments: [f64; 6]| {
            let numbers = data(6, None).columns()[0].clone();
            let own = Dataset::new(vec![numbers], Some(4))
                .with_split_column(Some(ColumnData::Datetimes(moments.to_vec())));
            let spec = SplitSpec {
                kind: SplitKind::Time,
                train: Some(0.75),
                validation: Some(0.25),
                ..SplitSpec::default()
            };
            split(&spec, &own, &[])
        };
        assert_eq!(by_time([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).expect("in order").test, [4, 5]);
        for moments in [[3.0, 4.0, 5.0, 6.0, 1.0, 2.0], [1.0, 2.0, 3.0, 6.0, 6.0, 7.0]] {
            let error = by_time(moments).expect_err("the test rows are older");
            assert!(error.to_string().contains("test source begins before"), "{error}");
        }
    }

    #[test]
    fn a_group_in_both_sources_is_refused() {
        let by_group = |codes: [u32; 6]| {
            let numbers = data(6, None).columns()[0].clone();
            let own = Dataset::new(vec![numbers], Some(4))
                .with_split_column(Some(ColumnData::Categories(labels(codes.to_vec()))));
            let spec = SplitSpec {
                kind: SplitKind::Group,
                train: Some(0.5),
                validation: Some(0.5),
                ..SplitSpec::default()
            };
            split(&spec, &own, &[])
        };
        assert_eq!(by_group([0, 0, 1, 1, 2, 2]).expect("apart").test, [4, 5]);
        let error = by_group([0, 0, 1, 1, 1, 2]).expect_err("group 1 is in both");
        assert!(error.to_string().contains("both in source and in test_source"), "{error}");
    }

    #[test]
    fn a_separate_test_source_is_the_test_part() {
        let column = data(10, None).columns()[0].clone();
        let own = Dataset::new(vec![column], Some(6));
        let parts = split(&SplitSpec::default(), &own, &[]).expect("splits");
        assert_eq!(parts.test, [6, 7, 8, 9]);
        assert_eq!(parts.train.len() + parts.validation.len(), 6);
        let twice = SplitSpec { test: Some(0.2), ..SplitSpec::default() };
        assert!(split(&twice, &own, &[]).is_err());
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_part(codes in prop::collection::vec(0u32..20, 30..200), seed: u64) {
            let rows = codes.len();
            for kind in [SplitKind::Random, SplitKind::Stratified, SplitKind::Group] {
                let spec = SplitSpec { kind, seed, ..SplitSpec::default() };
                let by = ColumnData::Categories(labels(codes.clone()));
                if let Ok(parts) = split(&spec, &data(rows, Some(by)), &[]) {
                    assert_partition(&parts, rows);
                    if kind == SplitKind::Group {
                        let groups = |part: &[usize]| part.iter().map(|&r| codes[r]).collect::<std::collections::BTreeSet<_>>();
                        prop_assert!(groups(&parts.train).is_disjoint(&groups(&parts.test)));
                        prop_assert!(groups(&parts.train).is_disjoint(&groups(&parts.validation)));
                        prop_assert!(groups(&parts.validation).is_disjoint(&groups(&parts.test)));
                    }
                }
            }
        }
    }
}
