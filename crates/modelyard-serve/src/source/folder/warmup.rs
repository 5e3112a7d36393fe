//! `model_warmup` of a Triton configuration: requests of zeros or made-up values that sessions run first.

use modelyard_types::{DataType, Dim, NamedTensor, Tensor, TensorData};

use super::config::{data_type, dim};
use super::fields::Refusal;
use super::text::Field;
use crate::made_up;

/// Most values of one request, or of its repetitions: more are not worth their time.
const VALUES_MAX: usize = 1 << 24;
/// Most times that one request is run.
const COUNT_MAX: usize = 1000;

/// One request that warms a model up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Warmup {
    /// Whether the model knows rows, which then stand before its dimensions.
    pub(super) has_rows: bool,
    rows: usize,
    count: usize,
    inputs: Vec<Input>,
}

#[derive(Clone, Debug, PartialEq)]
struct Input {
    name: String,
    data_type: DataType,
    dims: Vec<usize>,
    random: bool,
}

/// Reads one `model_warmup`.
///
/// # Errors
/// What is not understood or not supported.
pub(super) fn parse(field: &Field) -> Result<Warmup, Refusal> {
    let mut warmup = Warmup { count: 1, ..Warmup::default() };
    field.message()?.each("model_warmup", |inner| {
        match inner.name.as_str() {
            "name" => drop(inner.text()?),
            "batch_size" => warmup.rows = inner.number(0, VALUES_MAX)?,
            "count" => warmup.count = inner.number(1, COUNT_MAX)?,
            "inputs" => warmup.inputs.push(input(inner)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let times = warmup.rows.max(1).saturating_mul(warmup.count);
    let values = |input: &Input| input.dims.iter().fold(times, |n, &dim| n.saturating_mul(dim));
    if warmup.inputs.iter().map(values).fold(0, usize::saturating_add) > VALUES_MAX {
        return Err(Refusal::new(field.line, format!("this model_warmup has more than {VALUES_MAX} values")));
    }
    Ok(warmup)
}

fn input(field: &Field) -> Result<Input, Refusal> {
    let mut input = Input { name: String::new(), data_type: DataType::F32, dims: Vec::new(), random: false };
    field.message()?.each("inputs", |entry| {
        match entry.name.as_str() {
            "key" => entry.text()?.clone_into(&mut input.name),
            "value" => entry.message()?.each("an input's value", |inner| value(inner, &mut input))?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(input)
}

fn value(field: &Field, input: &mut Input) -> Result<bool, Refusal> {
    match field.name.as_str() {
        "data_type" => input.data_type = data_type(field)?,
        "dims" => match dim(field)? {
            Dim::Fixed(size) => input.dims.push(size),
            Dim::Any => return Err(Refusal::new(field.line, "a warm-up's dims must be sizes, not -1")),
        },
        "zero_data" => input.random = !field.truth()?,
        "random_data" => input.random = field.truth()?,
        "input_data_file" => {
            return Err(field.unsupported("say zero_data: true or random_data: true"));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl Warmup {
    /// The request, as often as it is to be run.
    pub(super) fn requests(&self) -> Vec<Vec<NamedTensor>> {
        let tensor = |input: &Input| {
            let rows = self.has_rows.then_some(self.rows.max(1));
            let shape: Vec<usize> = rows.into_iter().chain(input.dims.iter().copied()).collect();
            let count = shape.iter().product();
            let data = values(input.data_type, count, input.random);
            let tensor = Tensor::new(shape, data).expect("there are as many values as the shape asks for");
            NamedTensor { name: input.name.clone(), tensor }
        };
        let request: Vec<NamedTensor> = self.inputs.iter().map(tensor).collect();
        vec![request; self.count]
    }
}

/// Zeros, or numbers that look like chance and are the same each time. Whole ones stay 0 or 1, since a
/// network may take them for indices.
fn values(data_type: DataType, count: usize, random: bool) -> TensorData {
    let bit = |at: usize| usize::from(random) * (at.wrapping_mul(0x9E37_79B9) >> 16 & 1);
    made_up::values(data_type, count, bit, |at| if random { (at as f64 * 12.9898).sin() } else { 0.0 })
}
