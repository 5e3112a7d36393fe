//! Rolling origins (Tashman 2000): the test part of a forecast cut into stretches that follow each other, each judged
//! by what was learned from everything before it. The origin moves forward in time, and windows never straddle it.

use super::{Fractions, Parts, by_time, failed, keep_apart, moments, split};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::spec::{OutputSpec, SplitKind, SplitSpec};
use crate::window::Windows;

/// One origin: the rows before it learn and decide, those of the stretch after it judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The time of the first window that judges: RFC 3339, or a number where times are numbers.
    pub origin: String,
    /// The rows.
    pub parts: Parts,
}

/// Divides the rows anew for each of `count` origins, the earliest first. Together the stretches are the test part of
/// the plain split; of the rows before an origin, the same share decides when to stop as there.
///
/// # Errors
/// [`DataError::Split`] where the samples are no forecasts divided by time, where the test part has fewer times than
/// there are to be origins, or where the first origin leaves too few rows before it.
pub fn rolling_origin(
    spec: &SplitSpec,
    data: &Dataset,
    outputs: &[OutputSpec],
    count: usize,
) -> Result<Vec<Fold>, DataError> {
    let windows = data.windows().filter(|windows| windows.ahead() > 0 && spec.kind == SplitKind::Time);
    let windows = windows.ok_or_else(|| {
        failed("origins roll over forecasts only, whose rows are divided by time")
            .with_hint("set horizon under [data.windows], and kind = \"time\" under [data.split]")
    })?;
    let samples = data.samples();
    let moments = moments(data, &samples)?;
    let judged = split(spec, data, outputs)?.test;
    let mut times: Vec<f64> = (samples.iter().zip(&moments))
        .filter(|(row, _)| judged.binary_search(row).is_ok())
        .map(|(_, moment)| *moment)
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times.dedup();
    if !(1..=times.len()).contains(&count) {
        let most = times.len();
        return Err(failed(format!(
            "{count} origins do not fit: the test part has {most} times to begin at"
        ))
        .with_hint(format!("ask for 1 to {most}, or make test under [data.split] larger")));
    }
    let fractions = Fractions::resolve(spec, data.test_rows().is_some())?;
    let begins: Vec<f64> = (0..count).map(|fold| times[fold * times.len() / count]).collect();
    let ends = begins.iter().skip(1).copied().chain([f64::INFINITY]);
    let folds = begins.iter().zip(ends).enumerate();
    folds
        .map(|(at, (&origin, end))| {
            let parts = fold(windows, (&samples, &moments), &fractions, origin..end);
            let fold =
                parts.map(|parts| Fold { origin: windows.time_text(earliest(windows, &parts.test)), parts });
            fold.map_err(|error| of_fold(&error, at + 1, count))
        })
        .collect()
}

/// The first in time of some rows, which stand unit by unit; there is one at least.
fn earliest(windows: &Windows, rows: &[usize]) -> usize {
    let by_time = |a: &&usize, b: &&usize| windows.time(**a).total_cmp(&windows.time(**b));
    rows.iter().min_by(by_time).copied().unwrap_or_default()
}

/// The rows before a stretch, divided, and those in it.
fn fold(
    windows: &Windows,
    (samples, moments): (&[usize], &[f64]),
    fractions: &Fractions,
    stretch: std::ops::Range<f64>,
) -> Result<Parts, DataError> {
    let with_times = || samples.iter().copied().zip(moments.iter().copied());
    let (earlier, times): (Vec<usize>, Vec<f64>) =
        with_times().filter(|(_, moment)| *moment < stretch.start).unzip();
    let validation = fractions.validation / (fractions.train + fractions.validation);
    let shares = Fractions { train: 1.0 - validation, validation, test: 0.0 };
    let mut parts = by_time(&times, earlier.len(), &shares)?;
    for part in [&mut parts.train, &mut parts.validation] {
        part.iter_mut().for_each(|row| *row = earlier[*row]);
        part.sort_unstable();
    }
    let inside = with_times().filter(|(_, moment)| stretch.contains(moment));
    parts.test = inside.map(|(row, _)| row).collect();
    keep_apart(windows, (SplitKind::Time, false), &mut parts)?;
    match parts.validation.is_empty() && validation > 0.0 {
        true => Err(failed("no window before the origin is left to decide when to stop")),
        false => Ok(parts),
    }
}

fn of_fold(error: &DataError, number: usize, count: usize) -> DataError {
    let hint = error.hint().unwrap_or_else(|| "give more rows, or ask for fewer origins".to_owned());
    failed(format!("origin {number} of {count}: {error}")).with_hint(hint)
}
