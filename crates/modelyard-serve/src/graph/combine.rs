//! Several answers made one: their mean, a weighted mean, or a vote.

use modelyard_registry::document::{Combine, CombineStep};
use modelyard_types::{Tensor, TensorData};

/// Makes one tensor of several of one type and shape.
///
/// # Errors
/// Where types or shapes differ, or the type has no such combination.
pub(super) fn combine(step: &CombineStep, tensors: &[&Tensor]) -> Result<Tensor, String> {
    let first = tensors.first().ok_or("there is nothing to combine")?;
    let told = |tensor: &Tensor| format!("{} {:?}", tensor.data_type(), tensor.shape());
    for other in tensors {
        if (other.data_type(), other.shape()) != (first.data_type(), first.shape()) {
            return Err(format!("its tensors are not alike: {} and {}", told(first), told(other)));
        }
    }
    let datas: Vec<&TensorData> = tensors.iter().map(|tensor| tensor.data()).collect();
    let data = match step.combine {
        Combine::Mean => mean(&datas, &vec![1.0; datas.len()]),
        Combine::Weighted => mean(&datas, &step.weights),
        Combine::Vote => vote(&datas, first.shape().last().copied().unwrap_or(1)),
    };
    let data = data.ok_or_else(|| format!("{} cannot be combined so", told(first)))?;
    Tensor::new(first.shape().to_vec(), data).map_err(|error| error.to_string())
}

/// Runs one expression over the values of all tensors, where they have this variant.
macro_rules! values {
    ($datas:expr, $variant:ident) => {
        $datas
            .iter()
            .map(|data| match data {
                TensorData::$variant(values) => Some(values.as_slice()),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
    };
}

/// The weighted mean of each value, summed in double precision.
fn mean(datas: &[&TensorData], weights: &[f64]) -> Option<TensorData> {
    let all: f64 = weights.iter().sum();
    let at =
        |sum: &dyn Fn(usize) -> f64, count: usize| (0..count).map(|at| sum(at) / all).collect::<Vec<f64>>();
    let weighted = |value: &dyn Fn(usize) -> f64| -> f64 {
        weights.iter().enumerate().map(|(of, weight)| weight * value(of)).sum()
    };
    match datas.first()? {
        TensorData::F32(first) => {
            let all = values!(datas, F32)?;
            let means = at(&|at| weighted(&|of| f64::from(all[of][at])), first.len());
            Some(TensorData::F32(means.into_iter().map(|mean| mean as f32).collect()))
        }
        TensorData::F64(first) => {
            let all = values!(datas, F64)?;
            Some(TensorData::F64(at(&|at| weighted(&|of| all[of][at]), first.len())))
        }
        _ => None,
    }
}

fn vote(datas: &[&TensorData], classes: usize) -> Option<TensorData> {
    macro_rules! label {
        ($variant:ident) => {
            TensorData::$variant(most_named(&values!(datas, $variant)?))
        };
    }
    Some(match datas.first()? {
        TensorData::F32(_) => {
            let shares = shares(&values!(datas, F32)?, classes);
            TensorData::F32(shares.into_iter().map(|share| share as f32).collect())
        }
        TensorData::F64(_) => TensorData::F64(shares(&values!(datas, F64)?, classes)),
        TensorData::Bool(_) => label!(Bool),
        TensorData::U8(_) => label!(U8),
        TensorData::U16(_) => label!(U16),
        TensorData::U32(_) => label!(U32),
        TensorData::U64(_) => label!(U64),
        TensorData::I8(_) => label!(I8),
        TensorData::I16(_) => label!(I16),
        TensorData::I32(_) => label!(I32),
        TensorData::I64(_) => label!(I64),
        TensorData::Bytes(_) => label!(Bytes),
        TensorData::F16(_) => return None,
    })
}

/// At each place the value that most tensors have there; the first of them where several are as frequent.
fn most_named<T: PartialEq + Clone>(all: &[&[T]]) -> Vec<T> {
    let winner = |at: usize| {
        let count = |value: &T| all.iter().filter(|values| values[at] == *value).count();
        let mut best = (&all[0][at], count(&all[0][at]));
        for values in &all[1..] {
            let count = count(&values[at]);
            if count > best.1 {
                best = (&values[at], count);
            }
        }
        best.0.clone()
    };
    (0..all[0].len()).map(winner).collect()
}

/// For each entry along the last dimension, the share of the tensors that find it the greatest; the first of
/// equals is the greatest.
fn shares<T: PartialOrd + Copy>(all: &[&[T]], classes: usize) -> Vec<f64> {
    let mut shares = vec![0.0; all[0].len()];
    if classes == 0 {
        return shares;
    }
    for values in all {
        for (row, scores) in values.chunks(classes).enumerate() {
            let mut best = 0;
            for (at, score) in scores.iter().enumerate() {
                if *score > scores[best] {
                    best = at;
                }
            }
            shares[row * classes + best] += 1.0;
        }
    }
    shares.iter_mut().for_each(|share| *share /= all.len() as f64);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(combine_by: Combine, weights: &[f64], all: &[TensorData]) -> Result<TensorData, String> {
        let shape = vec![1, all[0].len()];
        let tensors: Result<Vec<Tensor>, _> =
            all.iter().map(|data| Tensor::new(vec![1, data.len()], data.clone())).collect();
        let tensors = tensors.expect("rows of one");
        let step = CombineStep { combine: combine_by, of: Vec::new(), weights: weights.to_vec() };
        let tensor = combine(&step, &tensors.iter().collect::<Vec<_>>())?;
        assert_eq!(tensor.shape(), shape);
        Ok(tensor.into_parts().1)
    }

    fn scores(values: &[f32]) -> TensorData {
        TensorData::F32(values.to_vec())
    }

    #[test]
    fn means_are_taken_value_by_value() {
        let all = [scores(&[1.0, 0.0]), scores(&[0.0, 4.0])];
        assert_eq!(run(Combine::Mean, &[], &all), Ok(scores(&[0.5, 2.0])));
        assert_eq!(run(Combine::Weighted, &[3.0, 1.0], &all), Ok(scores(&[0.75, 1.0])));
        let doubles = [TensorData::F64(vec![1.0]), TensorData::F64(vec![2.0])];
        assert_eq!(run(Combine::Mean, &[], &doubles), Ok(TensorData::F64(vec![1.5])));
        let whole = [TensorData::I64(vec![1]), TensorData::I64(vec![2])];
        assert!(run(Combine::Mean, &[], &whole).is_err_and(|why| why.contains("INT64")));
        let unlike = [scores(&[1.0]), scores(&[1.0, 2.0])];
        assert!(run(Combine::Mean, &[], &unlike).is_err_and(|why| why.contains("not alike")));
    }

    #[test]
    fn a_vote_counts_who_finds_what_the_greatest() {
        let all = [scores(&[0.9, 0.1, 0.0]), scores(&[0.5, 0.5, 0.2]), scores(&[0.0, 0.1, 0.9])];
        let third = 1.0 / 3.0;
        assert_eq!(run(Combine::Vote, &[], &all), Ok(scores(&[2.0 * third, 0.0, third])));
        let labels = [TensorData::I64(vec![7, 1]), TensorData::I64(vec![8, 2]), TensorData::I64(vec![8, 3])];
        assert_eq!(run(Combine::Vote, &[], &labels), Ok(TensorData::I64(vec![8, 1])));
        let names = |name: &str| TensorData::Bytes(vec![name.as_bytes().to_vec()]);
        assert_eq!(run(Combine::Vote, &[], &[names("a"), names("b"), names("b")]), Ok(names("b")));
    }
}
