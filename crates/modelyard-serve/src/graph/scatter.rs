//! A large request cut into parts by its rows, and the parts' answers put together again in order.

use modelyard_types::{NamedTensor, Tensor};

/// Parts of at most so many rows, all inputs cut alike.
pub(super) fn cut(inputs: &[NamedTensor], rows: usize, rows_max: usize) -> Vec<Vec<NamedTensor>> {
    let part = |from: usize| {
        let to = rows.min(from + rows_max);
        let slice = |input: &NamedTensor| NamedTensor {
            name: input.name.clone(),
            tensor: input.tensor.slice_rows(from, to),
        };
        inputs.iter().map(slice).collect()
    };
    (0..rows).step_by(rows_max).map(part).collect()
}

/// The answers of all parts, end to end.
///
/// # Errors
/// Where the parts' answers do not fit behind each other.
pub(super) fn gather(parts: &[Vec<NamedTensor>]) -> Result<Vec<NamedTensor>, String> {
    let first = parts.first().ok_or("there are no parts")?;
    let joined = |output: &NamedTensor| {
        let of = |part: &'_ Vec<NamedTensor>| part.iter().position(|other| other.name == output.name);
        let all: Option<Vec<&Tensor>> = parts.iter().map(|part| Some(&part[of(part)?].tensor)).collect();
        let all = all.ok_or_else(|| format!("a part's answer has no {:?}", output.name))?;
        let tensor = Tensor::join(&all).map_err(|error| format!("the parts' answers: {error}"))?;
        Ok(NamedTensor { name: output.name.clone(), tensor })
    };
    first.iter().map(joined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_is_whole_again() {
        let tensor = |columns: usize| {
            let values: Vec<f32> = (0..7 * columns).map(|value| value as f32).collect();
            Tensor::new(vec![7, columns], values.into()).expect("fits")
        };
        let named = |name: &str, tensor| NamedTensor { name: name.to_owned(), tensor };
        let inputs = [named("a", tensor(2)), named("b", tensor(3))];
        for (rows_max, parts) in [(1, 7), (3, 3), (7, 1), (100, 1)] {
            let cut = cut(&inputs, 7, rows_max);
            assert_eq!(cut.len(), parts);
            assert_eq!(gather(&cut).expect("they fit"), inputs);
        }
        let unlike = [vec![named("a", tensor(2))], vec![named("a", tensor(3))]];
        assert!(gather(&unlike).is_err_and(|why| why.contains("cannot be joined")));
        assert!(gather(&[vec![named("a", tensor(2))], vec![]]).is_err());
    }
}
