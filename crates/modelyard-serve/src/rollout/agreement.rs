//! Whether two versions gave the same answer to one request, as far as that matters to who asked.

use modelyard_data::{Answer, ForecastStep, Prediction};
use modelyard_types::{NamedTensor, Tensor, TensorData};

/// How far two numbers may be apart where no tolerance is given, relative to their size.
const TOLERANCE: f64 = 1e-3;

/// Whether all outputs agree. Without a tolerance, rows of several numbers agree where the greatest stands in
/// the same place: two versions of a classifier never give equal probabilities.
pub(crate) fn of_tensors(a: &[NamedTensor], b: &[NamedTensor], tolerance: Option<f64>) -> bool {
    a.len() == b.len()
        && a.iter().all(|one| {
            let other = b.iter().find(|other| other.name == one.name);
            other.is_some_and(|other| tensors(&one.tensor, &other.tensor, tolerance))
        })
}

/// As [`of_tensors`], for named answers: without a tolerance, labels decide.
pub(crate) fn of_answers(a: &[Answer], b: &[Answer], tolerance: Option<f64>) -> bool {
    let pair = |(a, b): (&Answer, &Answer)| {
        a.outputs.len() == b.outputs.len()
            && a.outputs
                .iter()
                .zip(&b.outputs)
                .all(|((name, a), (other, b))| name == other && predictions(a, b, tolerance))
    };
    a.len() == b.len() && a.iter().zip(b).all(pair)
}

fn predictions(a: &Prediction, b: &Prediction, tolerance: Option<f64>) -> bool {
    let alike = |a: &[(String, f32)], b: &[(String, f32)]| {
        tolerance.is_none_or(|tolerance| {
            let pair = |((_, a), (_, b)): (&(String, f32), &(String, f32))| {
                close(f64::from(*a), f64::from(*b), tolerance)
            };
            a.len() == b.len() && a.iter().zip(b).all(pair)
        })
    };
    match (a, b) {
        (
            Prediction::Category { label: a, probabilities: all_a },
            Prediction::Category { label: b, probabilities: all_b },
        ) => a == b && alike(all_a, all_b),
        (
            Prediction::Labels { labels: a, probabilities: all_a },
            Prediction::Labels { labels: b, probabilities: all_b },
        ) => a == b && alike(all_a, all_b),
        (Prediction::Number(a), Prediction::Number(b)) => close(*a, *b, tolerance.unwrap_or(TOLERANCE)),
        (Prediction::Forecast(a), Prediction::Forecast(b)) => {
            let near = |(a, b): (&ForecastStep, &ForecastStep)| {
                close(a.value, b.value, tolerance.unwrap_or(TOLERANCE))
            };
            a.len() == b.len() && a.iter().zip(b).all(near)
        }
        (Prediction::Anomaly { score: own, .. }, Prediction::Anomaly { score: other, .. }) => {
            a.is_anomalous() == b.is_anomalous()
                && tolerance.is_none_or(|tolerance| close(*own, *other, tolerance))
        }
        _ => false,
    }
}

fn tensors(a: &Tensor, b: &Tensor, tolerance: Option<f64>) -> bool {
    if a.shape() != b.shape() {
        return false;
    }
    let columns = match a.shape() {
        [_, .., columns] => *columns,
        _ => 1,
    };
    match (a.data(), b.data()) {
        (TensorData::F32(a), TensorData::F32(b)) => numbers(a, b, columns, tolerance),
        (TensorData::F64(a), TensorData::F64(b)) => numbers(a, b, columns, tolerance),
        (a, b) => a == b,
    }
}

fn numbers<T: Copy + Into<f64>>(a: &[T], b: &[T], columns: usize, tolerance: Option<f64>) -> bool {
    if tolerance.is_none() && columns > 1 {
        return a.chunks(columns).zip(b.chunks(columns)).all(|(a, b)| greatest(a) == greatest(b));
    }
    let tolerance = tolerance.unwrap_or(TOLERANCE);
    a.iter().zip(b).all(|(&a, &b)| close(a.into(), b.into(), tolerance))
}

/// Where the greatest number stands, the first of equals.
fn greatest<T: Copy + Into<f64>>(row: &[T]) -> usize {
    let mut best = 0;
    for (at, &value) in row.iter().enumerate() {
        if value.into() > row[best].into() {
            best = at;
        }
    }
    best
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], values: &[f32]) -> Vec<NamedTensor> {
        let tensor = Tensor::new(shape.to_vec(), values.to_vec().into()).expect("fits");
        vec![NamedTensor { name: "y".to_owned(), tensor }]
    }

    #[test]
    fn classifiers_agree_on_the_decision_and_numbers_within_the_tolerance() {
        let a = tensor(&[2, 2], &[0.9, 0.1, 0.2, 0.8]);
        let same = tensor(&[2, 2], &[0.6, 0.4, 0.4, 0.6]);
        let other = tensor(&[2, 2], &[0.6, 0.4, 0.6, 0.4]);
        assert!(of_tensors(&a, &same, None) && !of_tensors(&a, &other, None));
        assert!(!of_tensors(&a, &same, Some(0.01)) && of_tensors(&a, &same, Some(0.5)));
        let [one, near, far] = [1.0, 1.0005, 1.1].map(|value| tensor(&[1, 1], &[value]));
        assert!(of_tensors(&one, &near, None) && !of_tensors(&one, &far, None));
        assert!(!of_tensors(&one, &tensor(&[1], &[1.0]), None), "another shape");
        let renamed = vec![NamedTensor { name: "z".to_owned(), ..one[0].clone() }];
        assert!(!of_tensors(&one, &renamed, None) && !of_tensors(&one, &[], None));
    }

    #[test]
    fn named_answers_agree_by_their_labels() {
        let category = |label: &str, p: f32| {
            let probabilities = vec![("no".to_owned(), 1.0 - p), ("yes".to_owned(), p)];
            let prediction = Prediction::Category { label: label.to_owned(), probabilities };
            vec![Answer { outputs: vec![("kind".to_owned(), prediction)] }]
        };
        assert!(of_answers(&category("yes", 0.9), &category("yes", 0.6), None));
        assert!(!of_answers(&category("yes", 0.9), &category("yes", 0.6), Some(0.01)));
        assert!(!of_answers(&category("yes", 0.9), &category("no", 0.1), None));
        let number = |value| vec![Answer { outputs: vec![("load".to_owned(), Prediction::Number(value))] }];
        assert!(of_answers(&number(100.0), &number(100.05), None));
        assert!(!of_answers(&number(100.0), &number(101.0), None));
        assert!(of_answers(&number(100.0), &number(101.0), Some(0.05)));
        assert!(!of_answers(&number(1.0), &category("yes", 0.9), None));
    }
}
