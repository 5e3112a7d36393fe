//! Series in pieces: a version's network in the form that takes them, behind a pool of its own, which is made for
//! the first sequence.

use std::sync::Arc;

use modelyard_runtime::{LoadedModel, PAST, RuntimeError};
use modelyard_types::{Dim, NamedTensor, Signature, Tensor};

use super::engine::Engine;
use super::{Answered, ServedVersion, check_finite};
use crate::batch;
use crate::error::ServeError;
use crate::pool::{Pool, Ran, Work};
use crate::urgency::Urgency;

/// The network in the form that takes pieces, or why there is none.
pub(super) type Pieces = Result<PiecePool, Arc<RuntimeError>>;

/// The sessions that run pieces.
pub(super) struct PiecePool {
    network: Arc<dyn LoadedModel>,
    pub(super) pool: Pool,
    /// What a client sends: the network's inputs without the past.
    signature: Signature,
    past_len: usize,
}

impl PiecePool {
    fn start(version: &ServedVersion) -> Result<Self, RuntimeError> {
        let Engine::Sessions { network, pool } = &version.engine else {
            return Err(RuntimeError::Stepwise {
                reason: "it is a graph of models".to_owned(),
                hint: Some("send the pieces to the model that is one of its steps".to_owned()),
            });
        };
        let network = network.stepwise()?;
        let mut signature = network.signature().clone();
        let past = signature.inputs.iter().find(|spec| spec.name == PAST);
        let past_len = past.and_then(|spec| match spec.shape.get(1) {
            Some(Dim::Fixed(len)) => Some(*len),
            _ => None,
        });
        signature.inputs.retain(|spec| spec.name != PAST);
        signature.outputs.retain(|spec| spec.name != PAST);
        let (clock, telemetry) = (Arc::clone(&version.clock), pool.shared_telemetry());
        let pool = Pool::start(&version.model, Arc::clone(&network), &version.limits, clock, telemetry)?;
        Ok(Self { network, pool, signature, past_len: past_len.unwrap_or_default() })
    }
}

impl ServedVersion {
    /// A piece of a series in, the outputs named (or all) and what is to be remembered out. `past` is what was
    /// remembered before, none at the series' beginning.
    ///
    /// # Errors
    /// As [`ServedVersion::infer`], and a network that takes no pieces, or more than one series.
    pub(crate) async fn infer_piece(
        self: &Arc<Self>,
        inputs: Vec<NamedTensor>,
        wanted: &[String],
        past: Option<Vec<f32>>,
        urgency: Urgency,
    ) -> Result<(Answered<Vec<NamedTensor>>, Vec<f32>), ServeError> {
        let arrived = self.arrive();
        arrived.end(self.answer_piece(inputs, wanted, past, urgency).await)
    }

    async fn answer_piece(
        self: &Arc<Self>,
        mut inputs: Vec<NamedTensor>,
        wanted: &[String],
        past: Option<Vec<f32>>,
        urgency: Urgency,
    ) -> Result<(Answered<Vec<NamedTensor>>, Vec<f32>), ServeError> {
        let pieces = self.pieces().await?;
        let rows = pieces.signature.check_inputs(&inputs).map_err(ServeError::Input)?;
        self.check_outputs(wanted)?;
        if rows != 1 {
            return Err(ServeError::SequenceRows { rows });
        }
        for input in &inputs {
            check_finite(input)?;
            let steps = input.tensor.shape().get(1).copied().unwrap_or(1);
            let limit = self.limits.request_rows_max;
            if !(1..=limit).contains(&steps) {
                return Err(ServeError::SequenceSteps { steps, limit });
            }
        }
        let past = past.unwrap_or_else(|| vec![0.0; pieces.past_len]);
        let tensor = Tensor::new(vec![1, past.len()], past.into());
        let tensor = tensor.map_err(|error| self.broken(&format!("its past is no tensor ({error})")))?;
        inputs.push(NamedTensor { name: PAST.to_owned(), tensor });
        let signature = pieces.network.signature();
        batch::order_inputs(signature, &mut inputs);
        let shape = batch::row_shape(signature, &inputs);
        let Ran { mut outputs, times } = pieces.pool.run(Work { inputs, rows, shape, urgency }).await?;
        let at = outputs.iter().position(|output| output.name == PAST);
        let past = at.map(|at| outputs.remove(at)).and_then(|past| past.tensor.as_f32().map(<[f32]>::to_vec));
        let past = past.ok_or_else(|| self.broken("it remembers nothing"))?;
        outputs.retain(|output| wanted.is_empty() || wanted.contains(&output.name));
        Ok((Answered { answer: outputs, times }, past))
    }

    /// The sessions that run pieces, made where this is the first.
    async fn pieces(self: &Arc<Self>) -> Result<&PiecePool, ServeError> {
        if self.pieces.get().is_none() {
            let version = Arc::clone(self);
            let make = move || {
                version.pieces.get_or_init(|| PiecePool::start(&version).map_err(Arc::new));
            };
            let made = tokio::task::spawn_blocking(make).await;
            made.map_err(|_| self.broken("making its sessions for sequences panicked"))?;
        }
        let unfit = || self.broken("it has no sessions for sequences");
        let refused = |source: &Arc<RuntimeError>| ServeError::NoSequences {
            model: self.model.clone(),
            source: Arc::clone(source),
        };
        self.pieces.get().ok_or_else(unfit)?.as_ref().map_err(refused)
    }
}
