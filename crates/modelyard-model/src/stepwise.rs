//! A series in pieces: a recurrent network that keeps what it remembers from one call to the next, so that the
//! pieces together are answered as the whole would be.

use std::sync::Arc;

use crate::inference::{Inference, Weights};
use crate::kernels::product::Parallelism;
use crate::layers::LayerSpec;
use crate::layout::{Layout, LayoutLayer};
use crate::plan::Plan;
use crate::targets::check_len;
use crate::tokens::{self, TokenInput, token_inputs};
use crate::wiring::Value;
use crate::{ModelError, Network, NetworkSpec};

/// A recurrent network that is fed series piece by piece, on one thread. What it remembers of a series belongs to
/// the caller, so that one of these serves any number of series.
///
/// The answers are those of the whole series up to rounding: sums are added up in another order.
///
/// ```
/// use std::sync::Arc;
/// use modelyard_model::{Gru, LayerSpec, Network, NetworkSpec, Stepwise};
///
/// let spec = NetworkSpec::new(vec![10, 2], [LayerSpec::Gru(Gru::new(3))]);
/// let mut stepwise = Stepwise::new(&Arc::new(Network::init(spec, 1)?))?;
/// let mut past = vec![0.0; stepwise.past_len()];
/// let mut answer = Vec::new();
/// stepwise.run(&[0.5, -0.5], (1, 1), &mut past, &mut answer)?;
/// assert_eq!(answer.len(), 3);
/// # Ok::<(), modelyard_model::ModelError>(())
/// ```
pub struct Stepwise {
    network: Arc<Network>,
    /// The layers that remember.
    remembering: Vec<usize>,
    /// Whether an answer comes out of each step, rather than one at the end.
    gives_steps: bool,
    /// For single steps, as which most series come.
    single: Piece,
    /// For the last pieces of another length.
    longer: Option<Piece>,
}

/// The operations for pieces of so many steps.
struct Piece {
    steps: usize,
    inference: Inference,
    tokens: Vec<TokenInput>,
}

/// Whether a value has steps that come one after the other, or is what is known after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Steps,
    End,
}

impl Stepwise {
    /// Looks whether the network can be fed in pieces, and lays out its buffers.
    ///
    /// # Errors
    /// [`ModelError::Stepwise`] with the layer that needs the whole series.
    pub fn new(network: &Arc<Network>) -> Result<Self, ModelError> {
        let (remembering, end) = spans(network.spec(), network.layout())?;
        let single = Piece::plan(network, &remembering, 1)?;
        let gives_steps = end == Span::Steps;
        Ok(Self { network: Arc::clone(network), remembering, gives_steps, single, longer: None })
    }

    /// The shape of one step that goes in; empty for a number alone.
    pub fn step_shape(&self) -> &[usize] {
        &self.network.spec().input[1..]
    }

    /// The shape of what comes out after a piece, or of each of its steps where [`Stepwise::gives_steps`].
    pub fn output_shape(&self) -> &[usize] {
        &self.network.layout().output[usize::from(self.gives_steps)..]
    }

    /// Whether an answer comes out of each step of a piece: [steps, …] in place of […].
    pub fn gives_steps(&self) -> bool {
        self.gives_steps
    }

    /// Values that are remembered of one series. A series begins with zeros.
    pub fn past_len(&self) -> usize {
        self.single.inference.past_len()
    }

    /// Goes on by a piece of each of several series. `inputs` holds [rows, steps] of steps, `past` what is
    /// remembered of each row, which is renewed; `outputs` is replaced.
    ///
    /// # Errors
    /// Where a slice does not hold that many values, or a number is no token of an embedding. Then nothing is
    /// remembered of the piece.
    pub fn run(
        &mut self,
        inputs: &[f32],
        (rows, steps): (usize, usize),
        past: &mut [f32],
        outputs: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let step_len: usize = self.step_shape().iter().product();
        let row_len = steps.saturating_mul(step_len);
        check_len("inputs", inputs.len(), rows.saturating_mul(row_len))?;
        check_len("past", past.len(), rows.saturating_mul(self.past_len()))?;
        outputs.clear();
        if inputs.is_empty() {
            return Ok(());
        }
        if steps != 1 && self.longer.as_ref().is_none_or(|piece| piece.steps != steps) {
            self.longer = Some(Piece::plan(&self.network, &self.remembering, steps)?);
        }
        let piece = match &mut self.longer {
            Some(longer) if steps != 1 => longer,
            _ => &mut self.single,
        };
        tokens::check(inputs, row_len, &piece.tokens)?;
        outputs.resize(rows * piece.inference.output_len(), 0.0);
        let weights = Weights {
            parameters: self.network.parameters(),
            state: self.network.state(),
            parallelism: Parallelism::Single,
            first_step: 0,
        };
        piece.inference.run_on(weights, inputs, past, outputs);
        Ok(())
    }
}

impl Piece {
    /// Lays them out; the weights are those of the network as it is.
    fn plan(network: &Network, remembering: &[usize], steps: usize) -> Result<Self, ModelError> {
        let mut spec = network.spec().clone();
        spec.input[0] = steps;
        let layout = spec.layout()?;
        let tokens = token_inputs(&spec, &layout);
        let plan = Plan::new(&spec, layout, None).remembering(remembering);
        Ok(Self { steps, inference: Inference::new(&plan), tokens })
    }
}

/// The layers that must remember, and what the network's answer spans.
fn spans(spec: &NetworkSpec, layout: &Layout) -> Result<(Vec<usize>, Span), ModelError> {
    if layout.parts.len() > 1 {
        return Err(unfit("its input has several parts".to_owned()));
    }
    let takes_input =
        |laid: &LayoutLayer| laid.sources.iter().any(|source| matches!(source, Value::Input(_)));
    let mut first = spec.layers.iter().zip(&layout.layers).filter(|(_, laid)| takes_input(laid));
    let is_series = match layout.input.len() {
        1 => first.all(|(node, _)| matches!(node.layer, LayerSpec::Embedding(_))),
        rank => rank == 2,
    };
    if !is_series {
        return Err(unfit(
            "its input is no series: neither [steps, features] nor the [steps] of an embedding".to_owned(),
        ));
    }
    let (mut remembering, mut all) = (Vec::new(), Vec::new());
    for (node, laid) in spec.layers.iter().zip(&layout.layers) {
        let source = |source: &Value| match source {
            Value::Input(_) => Span::Steps,
            Value::Layer(before) => all[*before],
        };
        let mut sources = laid.sources.iter().map(source);
        let first = sources.next().unwrap_or(Span::End);
        if sources.any(|other| other != first) {
            return Err(unfit(format!(
                "{} joins steps with what comes after the last one",
                named(laid, &node.layer)
            )));
        }
        let span = match first {
            Span::End => Span::End,
            Span::Steps => span(&node.layer, laid)?,
        };
        if first == Span::Steps && is_recurrent(&node.layer) {
            remembering.push(laid.index);
        }
        all.push(span);
    }
    if remembering.is_empty() {
        return Err(unfit("it has no lstm, gru or simple_rnn layer over its steps".to_owned()));
    }
    Ok((remembering, all.last().copied().unwrap_or(Span::End)))
}

fn is_recurrent(layer: &LayerSpec) -> bool {
    matches!(layer, LayerSpec::Lstm(_) | LayerSpec::Gru(_) | LayerSpec::SimpleRnn(_))
}

/// What comes out of a layer over steps.
fn span(layer: &LayerSpec, laid: &LayoutLayer) -> Result<Span, ModelError> {
    let recurrent = |backwards: bool, sequences: bool| match (backwards, sequences) {
        (true, _) => Err(unfit(format!("{} walks from the end", named(laid, layer)))),
        (false, true) => Ok(Span::Steps),
        (false, false) => Ok(Span::End),
    };
    match layer {
        LayerSpec::Lstm(lstm) => recurrent(lstm.go_backwards, lstm.return_sequences),
        LayerSpec::Gru(gru) => recurrent(gru.go_backwards, gru.return_sequences),
        LayerSpec::SimpleRnn(rnn) => recurrent(rnn.go_backwards, rnn.return_sequences),
        LayerSpec::Embedding(_) => Ok(Span::Steps),
        // Each step by itself: the first axis goes through as it is, and is not the one computed over.
        LayerSpec::Dense(_)
        | LayerSpec::Activation(_)
        | LayerSpec::Dropout(_)
        | LayerSpec::BatchNorm(_)
        | LayerSpec::LayerNorm(_)
        | LayerSpec::Add(_)
        | LayerSpec::Multiply(_)
        | LayerSpec::Concatenate(_)
        | LayerSpec::TimeDistributed(_)
            if laid.input().len() >= 2 && laid.output.first() == laid.input().first() =>
        {
            Ok(Span::Steps)
        }
        _ => Err(unfit(format!("{} needs the whole series", named(laid, layer)))),
    }
}

fn named(laid: &LayoutLayer, layer: &LayerSpec) -> String {
    format!("layer {} ({})", laid.index, layer.kind())
}

fn unfit(message: String) -> ModelError {
    ModelError::Stepwise { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Activation, Bidirectional, Dense, Embedding, Forward, Gru, LayerNorm, Lstm, Node, RecurrentSpec, Rng,
        SimpleRnn,
    };

    const STEPS: usize = 12;
    /// What another order of sums may change.
    const TOLERANCE: f32 = 1e-6;

    fn network(input: Vec<usize>, layers: Vec<LayerSpec>) -> Arc<Network> {
        Arc::new(Network::init(NetworkSpec::new(input, layers), 5).expect("a network"))
    }

    fn dense(units: usize) -> LayerSpec {
        LayerSpec::Dense(Dense::new(units, Some(Activation::Tanh)))
    }

    /// Feeds two series in pieces of these sizes, together, and holds the last answers against those of the whole.
    fn check(network: &Arc<Network>, values: &[f32], pieces: &[usize]) {
        assert_eq!(pieces.iter().sum::<usize>(), STEPS);
        let mut whole = Vec::new();
        Forward::new(network).run(values, 2, &mut whole).expect("it fits");
        let mut stepwise = Stepwise::new(network).expect("it can be fed in pieces");
        let len: usize = stepwise.step_shape().iter().product();
        let mut past = vec![0.0; 2 * stepwise.past_len()];
        let (mut answer, mut at) = (Vec::new(), 0);
        for &steps in pieces {
            let series = values.chunks_exact(STEPS * len);
            let piece: Vec<f32> = series.flat_map(|all| all[at * len..][..steps * len].to_vec()).collect();
            stepwise.run(&piece, (2, steps), &mut past, &mut answer).expect("it fits");
            at += steps;
        }
        let last: usize = stepwise.output_shape().iter().product();
        for (whole, piece) in whole.chunks_exact(whole.len() / 2).zip(answer.chunks_exact(answer.len() / 2)) {
            let (whole, piece) = (&whole[whole.len() - last..], &piece[piece.len() - last..]);
            for (whole, piece) in whole.iter().zip(piece) {
                assert!((whole - piece).abs() <= TOLERANCE, "{whole} and {piece} by {pieces:?}");
            }
        }
    }

    #[test]
    fn pieces_are_answered_as_the_whole() {
        let mut rng = Rng::stream(3, 0);
        let values: Vec<f32> = (0..2 * STEPS * 3).map(|_| rng.uniform() * 2.0 - 1.0).collect();
        let steps = |layer: Lstm| LayerSpec::Lstm(Lstm { return_sequences: true, ..layer });
        for layers in [
            vec![LayerSpec::Gru(Gru::new(5)), dense(2)],
            vec![LayerSpec::SimpleRnn(SimpleRnn::new(7))],
            vec![
                dense(4),
                steps(Lstm::new(16)),
                LayerSpec::LayerNorm(LayerNorm::default()),
                LayerSpec::Lstm(Lstm::new(35)),
                dense(3),
            ],
            vec![steps(Lstm::new(6)), dense(2)],
        ] {
            let network = network(vec![STEPS, 3], layers);
            for pieces in [&[1; STEPS][..], &[5, 7], &[12], &[3, 1, 8], &[2, 1, 2, 1, 3, 1, 2]] {
                check(&network, &values, pieces);
            }
        }
    }

    #[test]
    fn tokens_come_in_pieces_and_padding_is_passed_over() {
        let embedding = Embedding { mask_zero: true, ..Embedding::new(9, 4) };
        let network =
            network(vec![STEPS], vec![LayerSpec::Embedding(embedding), LayerSpec::Gru(Gru::new(5))]);
        let tokens: Vec<f32> = (0..2 * STEPS).map(|at| (at * 7 % 9) as f32).collect();
        check(&network, &tokens, &[1; STEPS]);
        check(&network, &tokens, &[2, 4, 6]);
        let mut stepwise = Stepwise::new(&network).expect("it can be fed in pieces");
        let mut past = vec![0.0; stepwise.past_len()];
        let error = stepwise.run(&[9.0], (1, 1), &mut past, &mut Vec::new()).expect_err("no token");
        assert!(error.to_string().contains("is no token"), "{error}");
        assert!(past.iter().all(|value| *value == 0.0));
    }

    #[test]
    fn a_network_that_needs_the_whole_series_is_refused_with_its_layer() {
        let both = Bidirectional::new(RecurrentSpec::Gru(Gru::new(2)));
        let back = Gru { go_backwards: true, ..Gru::new(2) };
        let flat = LayerSpec::Flatten(crate::Flatten::default());
        for (layers, want) in [
            (vec![LayerSpec::Bidirectional(both)], "layer 0 (bidirectional) needs the whole series"),
            (vec![LayerSpec::Gru(back)], "layer 0 (gru) walks from the end"),
            (vec![flat, dense(2)], "layer 0 (flatten) needs the whole series"),
            (vec![dense(2)], "it has no lstm, gru or simple_rnn layer"),
        ] {
            let error = Stepwise::new(&network(vec![STEPS, 3], layers)).err().expect(want);
            assert!(error.to_string().contains(want), "{error}");
            assert!(error.hint().is_some());
        }
        let late = [
            Node::from(LayerSpec::Gru(Gru { return_sequences: true, ..Gru::new(3) })).named("each"),
            Node::from(LayerSpec::Gru(Gru::new(3))).named("last"),
            Node::from(LayerSpec::Repeat(crate::Repeat { n: STEPS })).named("again"),
            Node::from(LayerSpec::Add(crate::Add::default())).after(["each", "again"]),
        ];
        let spec = NetworkSpec::new(vec![STEPS, 3], late);
        let error =
            Stepwise::new(&Arc::new(Network::init(spec, 1).expect("a network"))).err().expect("joins");
        assert!(error.to_string().contains("layer 3 (add) joins steps"), "{error}");
    }
}
