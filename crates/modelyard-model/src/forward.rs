//! The forward pass for serving: one thread, no allocation once the output has room.

use std::sync::Arc;

use crate::inference::{Inference, Weights};
use crate::kernels::product::Parallelism;
use crate::plan::Plan;
use crate::targets::check_len;
use crate::tokens::{self, TokenInput, token_inputs};
use crate::{ModelError, Network};

/// A network ready to answer on one thread. Sessions of the same network share its weights.
///
/// ```
/// use std::sync::Arc;
/// use modelyard_model::{Dense, Forward, LayerSpec, Network, NetworkSpec};
///
/// let spec = NetworkSpec::new(vec![3], [LayerSpec::Dense(Dense::new(2, None))]);
/// let network = Arc::new(Network::init(spec, 1)?);
/// let mut forward = Forward::new(&network);
/// let mut outputs = Vec::new();
/// forward.run(&[0.0, 0.0, 0.0], 1, &mut outputs)?;
/// assert_eq!(outputs, [0.0, 0.0]);
/// # Ok::<(), modelyard_model::ModelError>(())
/// ```
pub struct Forward {
    network: Arc<Network>,
    inference: Inference,
    tokens: Vec<TokenInput>,
}

impl Forward {
    /// Lays out the buffers.
    pub fn new(network: &Arc<Network>) -> Self {
        let plan = Plan::new(network.spec(), network.layout().clone(), None);
        let tokens = token_inputs(network.spec(), network.layout());
        Self { network: Arc::clone(network), inference: Inference::new(&plan), tokens }
    }

    /// The network that answers.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Values of one input row.
    pub fn input_len(&self) -> usize {
        self.inference.input_len()
    }

    /// Values of one output row.
    pub fn output_len(&self) -> usize {
        self.inference.output_len()
    }

    /// Answers `rows` rows; `outputs` is replaced.
    ///
    /// # Errors
    /// Where `inputs` does not hold that many rows, or holds a number that is no token of an embedding.
    pub fn run(&mut self, inputs: &[f32], rows: usize, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
        check_len("inputs", inputs.len(), rows.saturating_mul(self.input_len()))?;
        tokens::check(inputs, self.input_len(), &self.tokens)?;
        outputs.resize(rows * self.output_len(), 0.0);
        let weights = Weights {
            parameters: self.network.parameters(),
            state: self.network.state(),
            parallelism: Parallelism::Single,
            first_step: 0,
        };
        self.inference.run(weights, inputs, outputs);
        Ok(())
    }
}
