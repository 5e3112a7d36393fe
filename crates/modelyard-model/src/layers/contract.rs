//! What every layer must pass: finite differences for weights and inputs, the same answers in training and
//! inference, a round trip through its configuration, and errors for shapes that it cannot take.

use super::{LayerSpec, Role};
use crate::kernels::product::Parallelism;
use crate::op::{Op, Pass, Place, Purpose, Tape};
use crate::rng::Rng;
use crate::{InputPart, NetworkSpec, Node};

/// One layer alone, with random weights and inputs.
struct Bench {
    op: Box<dyn Op>,
    parameters: Vec<f32>,
    state: Vec<f32>,
    input: Vec<f32>,
    /// The loss is the sum of outputs times these.
    factors: Vec<f32>,
    output: Vec<f32>,
    mask: Option<Vec<f32>>,
    rows: usize,
}

const ROWS: usize = 3;

impl Bench {
    fn new(layer: &LayerSpec, inputs: &[Vec<usize>], purpose: Purpose) -> Option<Self> {
        let layout = alone(layer, inputs).layout().expect("the layer takes these shapes");
        let place = Place {
            input: &inputs[0],
            inputs,
            weights: &layout.layers[0].places,
            rows_max: ROWS,
            purpose,
            pooled: false,
            index: 0,
        };
        let op = layer.layer().plan(&place)?;
        let mut rng = Rng::new(5);
        let mut random = |len: usize| (0..len).map(|_| rng.normal()).collect::<Vec<f32>>();
        let output_len = ROWS * layout.output.iter().product::<usize>();
        Some(Self {
            op,
            // Small enough that deep operations do not drown the differences in rounding.
            parameters: random(layout.trained_len).into_iter().map(|x| 0.5 * x).collect(),
            state: random(layout.state_len).into_iter().map(|x| 0.5 + x.abs()).collect(),
            input: random(ROWS * layout.input_len()),
            factors: random(output_len),
            output: vec![f32::NAN; output_len],
            mask: None,
            rows: ROWS,
        })
    }

    fn run<T>(&mut self, then: impl FnOnce(&mut dyn Op, &Pass<'_>, &mut [f32], &[f32], &[f32]) -> T) -> T {
        let pass = Pass {
            parameters: &self.parameters,
            state: &self.state,
            rows: self.rows,
            rows_total: self.rows,
            first_row: 0,
            key: 9,
            scale: 1.0,
            mask: self.mask.as_deref(),
            parallelism: Parallelism::Single,
        };
        then(self.op.as_mut(), &pass, &mut self.output, &self.input, &self.factors)
    }

    fn loss(&mut self) -> f64 {
        self.run(|op, pass, output, input, factors| {
            op.gather(pass, input, None);
            op.forward(pass, input, output);
            let sum: f64 = output.iter().zip(factors).map(|(&y, &r)| f64::from(y) * f64::from(r)).sum();
            sum + op.penalty()
        })
    }

    /// The derivatives by the weights and by the inputs.
    fn backward(&mut self) -> (Vec<f32>, Vec<f32>) {
        self.loss();
        self.run(|op, pass, output, input, factors| {
            op.gather(pass, input, Some(factors));
            let (mut gradients, mut d_input) =
                (vec![f32::NAN; pass.parameters.len()], vec![f32::NAN; input.len()]);
            let mut d_output = factors.to_vec();
            let tape = Tape {
                input,
                output,
                d_output: &mut d_output,
                d_input: Some(&mut d_input),
                gradients: &mut gradients,
            };
            op.backward(pass, tape);
            (gradients, d_input)
        })
    }

    /// Compares one derivative with both one-sided differences; where those disagree there is a kink.
    fn check_slope(&mut self, what: &str, at: usize, slope: f32, value: fn(&mut Self) -> &mut Vec<f32>) {
        let step = 2e-3;
        let start = value(self)[at];
        let middle = self.loss();
        value(self)[at] = start + step;
        let above = self.loss();
        value(self)[at] = start - step;
        let below = self.loss();
        value(self)[at] = start;
        let step = f64::from(step);
        let (right, left) = ((above - middle) / step, (middle - below) / step);
        let (measured, slope) = ((right + left) / 2.0, f64::from(slope));
        let tolerance = 1e-2 * (1.0 + measured.abs());
        if (right - left).abs() < 2.0 * tolerance {
            assert!(
                (measured - slope).abs() < tolerance,
                "{what} {at}: measured {measured}, computed {slope}"
            );
        }
    }
}

/// A network of this layer alone, which takes inputs of these shapes.
fn alone(layer: &LayerSpec, inputs: &[Vec<usize>]) -> NetworkSpec {
    if let [input] = inputs {
        return NetworkSpec::new(input.clone(), [layer.clone()]);
    }
    let part =
        |(at, shape): (usize, &Vec<usize>)| InputPart { name: format!("part{at}"), shape: shape.clone() };
    let parts: Vec<InputPart> = inputs.iter().enumerate().map(part).collect();
    let node = Node::from(layer.clone()).after(parts.iter().map(|part| part.name.as_str()));
    NetworkSpec::with_parts(parts.clone(), [node])
}

/// Checks a layer on an input shape that it takes.
pub(crate) fn check(layer: &LayerSpec, input: &[usize]) {
    check_round_trip(layer);
    check_slopes(layer, &[input.to_vec()], None);
}

/// Checks a layer that joins inputs of these shapes.
pub(crate) fn check_join(layer: &LayerSpec, inputs: &[Vec<usize>]) {
    check_round_trip(layer);
    check_slopes(layer, inputs, None);
    check_inference_of(layer, inputs);
}

/// Checks a layer over a sequence [steps, …] whose rows end in padding of different lengths.
pub(crate) fn check_masked(layer: &LayerSpec, input: &[usize]) {
    check_slopes(layer, &[input.to_vec()], Some(mask(input[0])));
}

/// Checks a layer that reads the mask of its second input.
pub(crate) fn check_masked_memory(layer: &LayerSpec, inputs: &[Vec<usize>]) {
    check_slopes(layer, inputs, Some(mask(inputs[1][0])));
}

/// Rows that end in padding of different lengths.
fn mask(steps: usize) -> Vec<f32> {
    let lengths = [steps, steps - steps / 3, 1];
    lengths.iter().flat_map(|&length| (0..steps).map(move |step| f32::from(step < length))).collect()
}

fn check_slopes(layer: &LayerSpec, inputs: &[Vec<usize>], mask: Option<Vec<f32>>) {
    let mut bench = Bench::new(layer, inputs, Purpose::Training).expect("the layer computes something");
    bench.mask = mask;
    let (gradients, d_input) = bench.backward();
    let layout = alone(layer, inputs).layout().expect("the layer takes these shapes");
    for (parameter, place) in layout.layers[0].parameters.iter().zip(&layout.layers[0].places) {
        let stride = (place.len() / 40).max(1);
        for at in place.clone().step_by(stride).filter(|_| parameter.role == Role::Trained) {
            bench.check_slope(parameter.name, at, gradients[at], |bench| &mut bench.parameters);
        }
    }
    let stride = (d_input.len() / 120).max(1);
    for at in (0..d_input.len()).step_by(stride) {
        bench.check_slope("input", at, d_input[at], |bench| &mut bench.input);
    }
}

/// Checks that inference gives what training's forward pass gives, for layers without randomness or memory.
pub(crate) fn check_inference(layer: &LayerSpec, input: &[usize]) {
    check_inference_of(layer, &[input.to_vec()]);
}

fn check_inference_of(layer: &LayerSpec, inputs: &[Vec<usize>]) {
    let bench = |purpose| Bench::new(layer, inputs, purpose).expect("the layer computes something");
    let (mut training, mut inference) = (bench(Purpose::Training), bench(Purpose::Inference));
    assert_eq!(training.loss(), inference.loss(), "{layer:?}");
    assert_eq!(training.output, inference.output, "{layer:?}");
}

/// Checks that a layer's configuration is written and read alike, and that unknown keys are refused.
pub(crate) fn check_round_trip(layer: &LayerSpec) {
    let json = serde_json::to_value(layer).expect("a layer is written");
    assert_eq!(json["type"], layer.kind());
    assert_eq!(&serde_json::from_value::<LayerSpec>(json.clone()).expect("and read"), layer);
    let mut unknown = json;
    unknown["unitz"] = 3.into();
    let error =
        serde_json::from_value::<LayerSpec>(unknown).expect_err("unknown keys are refused").to_string();
    assert!(error.contains("unknown field `unitz`"), "{error}");
}

/// Checks the error that a layer gives for a shape or settings that cannot be.
pub(crate) fn check_error(layer: LayerSpec, input: &[usize], wanted: &str, hint: &str) {
    let error = alone(&layer, &[input.to_vec()]).shapes().expect_err(wanted);
    assert!(error.to_string().contains(wanted), "{error}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
}

/// Checks the error that a layer gives for inputs that it cannot join.
pub(crate) fn check_join_error(layer: LayerSpec, inputs: &[Vec<usize>], wanted: &str) {
    let error = alone(&layer, inputs).shapes().expect_err(wanted);
    assert!(error.to_string().contains(wanted), "{error}");
}
