//! Requests of sequences: answered by a network trained here in the form that takes a series in pieces, behind a pool
//! of its own, which is made for the first sequence; or by one whose settings tell how it takes part in them.

use std::sync::Arc;

use modelyard_runtime::{LoadedModel, PAST, RuntimeError};
use modelyard_types::{Dim, NamedTensor, Signature, Tensor, TensorData};

use super::engine::Engine;
use super::stateful::Stateful;
use super::{Answered, ServedVersion, check_finite, picked};
use crate::batch;
use crate::error::ServeError;
use crate::journey::Journey;
use crate::pool::{Pool, Ran, Work};
use crate::sequence::SequenceStep;
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

    /// What a series begins with.
    fn beginning(&self) -> Past {
        let zeros = Tensor::new(vec![1, self.past_len], vec![0.0_f32; self.past_len].into());
        vec![zeros.expect("there are as many values as the sizes ask for")]
    }
}

/// The bytes of what is remembered.
pub(crate) fn size(past: &Past) -> u64 {
    let bytes = |tensor: &Tensor| match tensor.data() {
        TensorData::Bytes(texts) => texts.iter().map(Vec::len).sum(),
        data => data.len() * data.data_type().size_bytes().unwrap_or(1),
    };
    past.iter().map(|tensor| bytes(tensor) as u64).sum()
}

/// What is remembered of a sequence: as many tensors as its network keeps.
pub(crate) type Past = Vec<Tensor>;

/// A request of a sequence.
pub(crate) struct Piece<'a> {
    pub(crate) inputs: Vec<NamedTensor>,
    /// The outputs named, or all.
    pub(crate) wanted: &'a [String],
    /// What was remembered before, none at the sequence's beginning.
    pub(crate) past: Option<Past>,
    pub(crate) step: &'a SequenceStep,
    pub(crate) urgency: Urgency,
}

impl ServedVersion {
    /// Bytes that are remembered of a sequence that begins.
    ///
    /// # Errors
    /// A network that takes no sequences.
    pub(crate) async fn past_bytes(self: &Arc<Self>) -> Result<u64, ServeError> {
        Ok(match &self.stateful {
            Some(stateful) => stateful.beginning_bytes(),
            None => (self.pieces().await?.past_len * size_of::<f32>()) as u64,
        })
    }

    /// A request of a sequence in, its outputs and what is to be remembered out.
    ///
    /// # Errors
    /// As [`ServedVersion::infer`], and a network that takes no sequences, or more than one series.
    pub(crate) async fn infer_piece(
        self: &Arc<Self>,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let arrived = self.arrive();
        arrived.end(match &self.stateful {
            Some(stateful) => self.answer_stateful(stateful, piece).await,
            None => self.answer_piece(piece).await,
        })
    }

    async fn answer_piece(
        self: &Arc<Self>,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let Piece { mut inputs, wanted, past, urgency, .. } = piece;
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
        let past = past.unwrap_or_else(|| pieces.beginning());
        inputs.extend(past.into_iter().map(|tensor| NamedTensor { name: PAST.to_owned(), tensor }));
        let signature = pieces.network.signature();
        batch::order_inputs(signature, &mut inputs);
        let shape = batch::row_shape(signature, &inputs);
        let Ran { mut outputs, times } = pieces.pool.run(Work { inputs, rows, shape, urgency }).await?;
        let at = outputs.iter().position(|output| output.name == PAST);
        let past =
            at.map(|at| outputs.remove(at).tensor).ok_or_else(|| self.broken("it remembers nothing"))?;
        Ok((Answered { answer: picked(outputs, wanted), times }, vec![past]))
    }

    async fn answer_stateful(
        &self,
        stateful: &Stateful,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let Piece { mut inputs, wanted, past, step, urgency } = piece;
        let rows = stateful.signature.check_inputs(&inputs).map_err(ServeError::Input)?;
        self.check_outputs(wanted)?;
        match stateful.has_rows {
            true if rows != 1 => return Err(ServeError::SequenceRows { rows }),
            true => {}
            false => self.check_rows(rows)?,
        }
        inputs.iter().try_for_each(check_finite)?;
        let past = past.unwrap_or_else(|| stateful.beginning());
        stateful.fill(&mut inputs, past, step).map_err(|wanted| ServeError::SequenceName {
            model: self.model.clone(),
            id: step.id.clone(),
            wanted,
        })?;
        let signature = self.engine.signature();
        batch::order_inputs(signature, &mut inputs);
        let shape = batch::row_shape(signature, &inputs);
        // A network of its own, never a graph: nobody follows its steps.
        let work = Work { inputs, rows, shape, urgency };
        let Ran { mut outputs, times } = self.engine.run(work, Journey::default()).await?;
        let past = stateful.remember(&mut outputs).map_err(|what| self.broken(&what))?;
        Ok((Answered { answer: picked(outputs, wanted), times }, past))
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
