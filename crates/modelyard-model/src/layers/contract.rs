//! What every layer must pass: finite differences for weights and inputs, the same answers in training and
//! inference, a round trip through its configuration, and errors for shapes that it cannot take.

use super::{LayerSpec, Role};
use crate::kernels::product::Parallelism;
use crate::op::{Op, Pass, Place, Purpose, RowShares, Tape};
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
    masks: [Option<Vec<f32>>; 2],
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
            trainable: true,
            pooled: false,
            steps_kept: 0,
            remembers: false,
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
            masks: [None, None],
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
            shares: RowShares { scale: 1.0, ..RowShares::NONE },
            mask: self.masks[0].as_deref(),
            memory_mask: self.masks[1].as_deref(),
            parallelism: Parallelism::Single,
            first_step: 0,
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

    /// Compares one derivative with both one-sided differences; where those disagree there is a kink, and nothing
    /// is compared. Says whether there was one.
    fn check_slope(&mut self, what: &str, (at, slope): (usize, f32), value: Values) -> bool {
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
        assert!(measured.is_finite() && slope.is_finite(), "{what} {at}: {measured} {slope}");
        let tolerance = 1e-2 * (1.0 + measured.abs());
        let is_kink = (right - left).abs() >= 2.0 * tolerance;
        assert!(
            is_kink || (measured - slope).abs() < tolerance,
            "{what} {at}: measured {measured}, computed {slope}"
        );
        is_kink
    }

    /// Walks along all derivatives at once: the loss must change by their length, whatever their size.
    fn check_direction(&mut self, what: &str, slopes: &[f32], value: Values) {
        let length = slopes.iter().map(|&slope| f64::from(slope).powi(2)).sum::<f64>().sqrt();
        // Below it, what single precision loses of the loss is as large as what is measured.
        if length < 1e-3 {
            return;
        }
        let start = value(self).clone();
        let mut loss_at = |step: f64| {
            for ((value, &start), &slope) in value(self).iter_mut().zip(&start).zip(slopes) {
                *value = start + (step * f64::from(slope) / length) as f32;
            }
            self.loss()
        };
        let step = 4e-3;
        let measured = (loss_at(step) - loss_at(-step)) / (2.0 * step);
        *value(self) = start;
        assert!(
            (measured / length - 1.0).abs() < 2e-2,
            "along all of {what}: measured {measured}, computed {length}"
        );
    }
}

/// The inputs or the weights of a bench.
type Values = fn(&mut Bench) -> &mut Vec<f32>;

/// At most one derivative in this many may stand at a kink.
const KINKS_MAX: usize = 8;

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
    check_slopes(layer, &[input.to_vec()], [None, None]);
}

/// Checks a layer that joins inputs of these shapes.
pub(crate) fn check_join(layer: &LayerSpec, inputs: &[Vec<usize>]) {
    check_round_trip(layer);
    check_slopes(layer, inputs, [None, None]);
    check_inference_of(layer, inputs, [None, None]);
}

/// Checks a layer over a sequence [steps, …] with padding, at the end of rows and anywhere.
pub(crate) fn check_masked(layer: &LayerSpec, input: &[usize]) {
    for mask in masks(input[0]) {
        check_slopes(layer, &[input.to_vec()], [Some(mask), None]);
    }
}

/// Checks that inference leaves out what training leaves out.
pub(crate) fn check_masked_inference(layer: &LayerSpec, input: &[usize]) {
    for mask in masks(input[0]) {
        check_inference_of(layer, &[input.to_vec()], [Some(mask), None]);
    }
}

/// Checks a layer that reads the masks of both its inputs.
pub(crate) fn check_masked_memory(layer: &LayerSpec, inputs: &[Vec<usize>]) {
    let both = masks(inputs[0][0]).into_iter().zip(masks(inputs[1][0]).into_iter().rev());
    for (own, memory) in both {
        for masks in [[None, Some(memory.clone())], [Some(own), Some(memory)]] {
            check_slopes(layer, inputs, masks.clone());
            check_inference_of(layer, inputs, masks);
        }
    }
}

/// Rows that end in padding of different lengths; and rows that begin in padding, hold nothing else, and have it in
/// their middle.
fn masks(steps: usize) -> [Vec<f32>; 2] {
    let ends = [steps, steps - steps / 3, 1];
    let at_end = |length: usize| (0..steps).map(move |step| f32::from(step < length));
    let anywhere = (0..ROWS).flat_map(|row| {
        (0..steps).map(move |step| match row {
            0 => f32::from(step >= steps / 2),
            1 => 0.0,
            _ => f32::from(step % 3 != 1),
        })
    });
    [ends.into_iter().flat_map(at_end).collect(), anywhere.collect()]
}

fn check_slopes(layer: &LayerSpec, inputs: &[Vec<usize>], masks: [Option<Vec<f32>>; 2]) {
    let mut bench = Bench::new(layer, inputs, Purpose::Training).expect("the layer computes something");
    bench.masks = masks;
    let (gradients, d_input) = bench.backward();
    let layout = alone(layer, inputs).layout().expect("the layer takes these shapes");
    let (mut compared, mut kinks) = (0, 0);
    let mut trained = vec![0.0; gradients.len()];
    for (parameter, place) in layout.layers[0].parameters.iter().zip(&layout.layers[0].places) {
        if parameter.role != Role::Trained {
            continue;
        }
        trained[place.clone()].copy_from_slice(&gradients[place.clone()]);
        let stride = (place.len() / 40).max(1);
        for at in place.clone().step_by(stride) {
            let slope = (at, gradients[at]);
            kinks += usize::from(bench.check_slope(parameter.name, slope, |bench| &mut bench.parameters));
            compared += 1;
        }
    }
    let stride = (d_input.len() / 120).max(1);
    for at in (0..d_input.len()).step_by(stride) {
        kinks += usize::from(bench.check_slope("input", (at, d_input[at]), |bench| &mut bench.input));
        compared += 1;
    }
    assert!(kinks * KINKS_MAX <= compared, "{layer:?}: {kinks} of {compared} derivatives stand at kinks");
    bench.check_direction("weights", &trained, |bench| &mut bench.parameters);
    bench.check_direction("inputs", &d_input, |bench| &mut bench.input);
}

/// Checks that inference gives what training's forward pass gives, for layers without randomness or memory.
pub(crate) fn check_inference(layer: &LayerSpec, input: &[usize]) {
    check_inference_of(layer, &[input.to_vec()], [None, None]);
}

fn check_inference_of(layer: &LayerSpec, inputs: &[Vec<usize>], masks: [Option<Vec<f32>>; 2]) {
    let bench = |purpose| {
        let bench = Bench::new(layer, inputs, purpose).expect("the layer computes something");
        Bench { masks: masks.clone(), ..bench }
    };
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
