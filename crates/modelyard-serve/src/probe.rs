//! The first runs of a freshly loaded model: they warm it up, time it alone and in company, and find out whether
//! joining requests is safe. A foreign network may mix its rows (or call something else its first dimension), and
//! joined requests would then get wrong answers; so what is joined here must answer as its parts do.

use std::time::Duration;

use modelyard_runtime::{RuntimeError, Session};
use modelyard_types::{Clock, DataType, Dim, NamedTensor, Signature, Tensor, TensorData};

use crate::batch;
use crate::batch_cost::BatchCost;
use crate::made_up;

/// What a free dimension behind the rows is set to.
const FREE_SIZE: usize = 8;
/// Largest relative difference between a row computed alone and in company.
const TOLERANCE: f64 = 1e-3;
/// Most values in one probe's input: larger ones are not worth their time.
const VALUES_MAX: usize = 1 << 24;
/// Rows of the batch that is timed beside a row alone.
const COMPANY: usize = 8;
/// How often each is timed; the shortest counts, since whatever disturbs a run makes it longer.
const TIMES: usize = 3;

/// What the probe found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Probe {
    /// Whether requests may be joined.
    pub(crate) joined: bool,
    /// What batches took, once warm: of one row, and where that is short work, of several.
    pub(crate) cost: BatchCost,
}

/// Runs the session on made-up rows.
///
/// A network that refuses them is not at fault (they mean nothing to it): its requests then run alone.
pub(crate) fn probe(session: &mut dyn Session, signature: &Signature, clock: &dyn Clock) -> Probe {
    let found = [Reals::Waves, Reals::Whole].into_iter().find_map(|reals| {
        let parts = [made_up(signature, reals, 0), made_up(signature, reals, 1)];
        let [Some(first), Some(second)] = &parts else { return None };
        try_on(session, signature, clock, first, second)
    });
    found.unwrap_or_default()
}

/// Which numbers stand for real ones.
#[derive(Clone, Copy)]
enum Reals {
    /// Anything between -1 and 1.
    Waves,
    /// 0 and 1: an embedding takes whole numbers only.
    Whole,
}

/// What two rows tell; none where the network refuses them.
fn try_on(
    session: &mut dyn Session,
    signature: &Signature,
    clock: &dyn Clock,
    first: &[NamedTensor],
    second: &[NamedTensor],
) -> Option<Probe> {
    let alone = session.run(first).ok()?;
    let start = clock.now();
    let warm = session.run(second).ok()?;
    let took = clock.now().saturating_duration_since(start);
    let joined = batch::rows_first(signature)
        && matches!(joined_answer(session, first, second), Ok(Some(parts))
            if parts.len() == 2 && alike(&parts[0], &alone) && alike(&parts[1], &warm));
    let mut cost = BatchCost::default();
    cost.observe(1, took);
    if joined && cost.is_short(1) {
        time(session, clock, first, &mut cost);
    }
    Some(Probe { joined, cost })
}

/// Times a row alone and in company. Where the network refuses so many rows, what is known stays.
fn time(session: &mut dyn Session, clock: &dyn Clock, row: &[NamedTensor], cost: &mut BatchCost) {
    let company = batch::join(&[row; COMPANY]);
    let (Some(one), Some(many)) = (shortest(session, clock, row), shortest(session, clock, &company)) else {
        return;
    };
    *cost = BatchCost::default();
    cost.observe(1, one);
    cost.observe(COMPANY, many);
}

/// The shortest of some runs, the first of which, for the sizes that it meets first, does not count.
fn shortest(session: &mut dyn Session, clock: &dyn Clock, inputs: &[NamedTensor]) -> Option<Duration> {
    session.run(inputs).ok()?;
    let times = (0..TIMES).map(|_| {
        let start = clock.now();
        session.run(inputs).ok()?;
        Some(clock.now().saturating_duration_since(start))
    });
    times.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn joined_answer(
    session: &mut dyn Session,
    first: &[NamedTensor],
    second: &[NamedTensor],
) -> Result<Option<Vec<Vec<NamedTensor>>>, RuntimeError> {
    let outputs = session.run(&batch::join(&[first, second]))?;
    Ok(batch::split(&outputs, &[1, 1]).ok())
}

/// One row for every input; none where the signature asks for absurdly many values.
fn made_up(signature: &Signature, reals: Reals, seed: usize) -> Option<Vec<NamedTensor>> {
    let make = |spec: &modelyard_types::TensorSpec| {
        let size = |(at, dim): (usize, &Dim)| match dim {
            Dim::Fixed(size) => *size,
            Dim::Any if at == 0 => 1,
            Dim::Any => FREE_SIZE,
        };
        let shape: Vec<usize> = spec.shape.iter().enumerate().map(size).collect();
        let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
        if count > VALUES_MAX {
            return None;
        }
        let tensor = Tensor::new(shape, values(spec.data_type, reals, count, seed)).ok()?;
        Some(NamedTensor { name: spec.name.clone(), tensor })
    };
    signature.inputs.iter().map(make).collect()
}

/// Values that differ by seed and position: small whole ones where a network may take them for indices.
fn values(data_type: DataType, reals: Reals, count: usize, seed: usize) -> TensorData {
    let bit = |at: usize| (at + seed) % 2;
    let wave = |at: usize| match reals {
        Reals::Waves => ((at * 7 + seed * 13) as f64 * 0.37).sin(),
        Reals::Whole => bit(at) as f64,
    };
    made_up::values(data_type, count, bit, wave)
}

fn alike(joined: &[NamedTensor], alone: &[NamedTensor]) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * (1.0 + a.abs().max(b.abs()));
    joined.len() == alone.len()
        && joined.iter().zip(alone).all(|(a, b)| {
            a.tensor.shape() == b.tensor.shape()
                && match (a.tensor.data(), b.tensor.data()) {
                    (TensorData::F32(a), TensorData::F32(b)) => {
                        a.iter().zip(b).all(|(&a, &b)| close(f64::from(a), f64::from(b)))
                    }
                    (TensorData::F64(a), TensorData::F64(b)) => a.iter().zip(b).all(|(&a, &b)| close(a, b)),
                    (a, b) => a == b,
                }
        })
}
