//! Requests of sequences: answered by a network trained here in the form that takes a series in pieces, behind a pool
//! of its own, which is made for the first sequence; or by one whose settings tell how it takes part in them.

use std::sync::Arc;

use modelyard_runtime::{LoadedModel, PAST, RuntimeError};
use modelyard_types::{Dim, ModelName, NamedTensor, Signature, Tensor, TensorData};

use super::engine::Engine;
use super::stateful::Stateful;
use super::{Answered, ServedVersion, check_finite, picked};
use crate::batch;
use crate::error::ServeError;
use crate::graph::{GraphRun, StepPast, StepPasts};
use crate::journey::{Journey, Terms};
use crate::pool::{Pool, Ran, Work};
use crate::sequence::SequenceStep;

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
                reason: "it is a graph of models, whose steps have sessions of their own".to_owned(),
                hint: None,
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
    fn beginning(&self) -> Vec<Tensor> {
        let zeros = Tensor::new(vec![1, self.past_len], vec![0.0_f32; self.past_len].into());
        vec![zeros.expect("there are as many values as the sizes ask for")]
    }
}

/// What is remembered of a sequence.
#[derive(Clone)]
pub(crate) enum Past {
    /// As many tensors as its network keeps.
    Network(Vec<Tensor>),
    /// What the steps of a graph do.
    Steps(StepPasts),
}

impl Past {
    /// Its bytes, as far as they are here.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Network(tensors) => tensors.iter().map(size).sum(),
            Self::Steps(steps) => {
                let own = |step: &StepPast| match step {
                    StepPast::Here { past, .. } => past.as_ref().map_or(0, Self::size),
                    StepPast::There { .. } => 0,
                };
                steps.values().map(own).sum()
            }
        }
    }

    /// The models of a graph's steps that remember it here.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ModelName> {
        let steps = if let Self::Steps(steps) = self { Some(steps.values()) } else { None };
        steps.into_iter().flatten().filter_map(|step| match step {
            StepPast::Here { version, .. } => Some(version.model()),
            StepPast::There { .. } => None,
        })
    }

    /// Whether other servers remember some of it.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let Self::Steps(steps) = self else { return false };
        steps.values().any(|step| matches!(step, StepPast::There { .. }))
    }
}

fn size(tensor: &Tensor) -> u64 {
    let bytes: usize = match tensor.data() {
        TensorData::Bytes(texts) => texts.iter().map(Vec::len).sum(),
        data => data.len() * data.data_type().size_bytes().unwrap_or(1),
    };
    bytes as u64
}

/// A request of a sequence.
pub(crate) struct Piece<'a> {
    pub(crate) inputs: Vec<NamedTensor>,
    /// The outputs named, or all.
    pub(crate) wanted: &'a [String],
    /// What was remembered before, none at the sequence's beginning.
    pub(crate) past: Option<Past>,
    pub(crate) step: &'a SequenceStep,
    pub(crate) terms: Terms,
}

impl ServedVersion {
    /// Bytes that are remembered of a sequence that begins, and what it begins with where that is not the same for
    /// all.
    ///
    /// # Errors
    /// A network that takes no sequences, or a graph of none that does.
    pub(crate) async fn begin_sequence(self: &Arc<Self>) -> Result<(u64, Option<Past>), ServeError> {
        match &self.engine {
            Engine::Sessions { .. } => Ok((self.past_bytes().await?, None)),
            Engine::Graph(graph) => {
                let (bytes, steps) = graph.begin_sequence().await?;
                Ok((bytes, Some(Past::Steps(steps))))
            }
        }
    }

    /// Whether other servers remember some of its sequences.
    pub(crate) fn remembers_elsewhere(&self) -> bool {
        let Some(wired) = self.graph() else { return false };
        wired.graph.model_steps().any(|(_, step)| step.is_remote() && step.sequences)
    }

    /// Tells other servers that remember something of a sequence that it ended without a step.
    pub(crate) async fn end_sequence(&self, past: &Past, step: &SequenceStep, terms: Terms) {
        if let (Engine::Graph(graph), Past::Steps(steps)) = (&self.engine, past) {
            graph.end_sequence(steps, step, terms).await;
        }
    }

    /// Bytes that its network remembers of a sequence that begins.
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
        arrived.end(match (&self.engine, &self.stateful) {
            (Engine::Graph(graph), _) => self.answer_by_steps(graph, piece).await,
            (Engine::Sessions { .. }, Some(stateful)) => self.answer_stateful(stateful, piece).await,
            (Engine::Sessions { .. }, None) => self.answer_piece(piece).await,
        })
    }

    async fn answer_by_steps(
        &self,
        graph: &GraphRun,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let Piece { inputs, wanted, past, step, terms } = piece;
        let signature = graph.pieces_signature();
        let rows = signature.check_inputs(&inputs).map_err(ServeError::Input)?;
        self.check_outputs(wanted)?;
        self.check_rows(rows)?;
        inputs.iter().try_for_each(check_finite)?;
        let Some(Past::Steps(pasts)) = past else { return Err(self.broken("its steps have not begun")) };
        let work = Work { inputs, rows, shape: Vec::new(), urgency: terms.urgency };
        let (Ran { outputs, times }, pasts) = graph.run_in_sequence(work, terms, step, pasts).await?;
        Ok((Answered { answer: picked(outputs, wanted), times }, Past::Steps(pasts)))
    }

    async fn answer_piece(
        self: &Arc<Self>,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let Piece { mut inputs, wanted, past, terms: Terms { urgency, .. }, .. } = piece;
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
        let past = if let Some(Past::Network(past)) = past { past } else { pieces.beginning() };
        inputs.extend(past.into_iter().map(|tensor| NamedTensor { name: PAST.to_owned(), tensor }));
        let signature = pieces.network.signature();
        batch::order_inputs(signature, &mut inputs);
        let shape = batch::row_shape(signature, &inputs);
        let Ran { mut outputs, times } = pieces.pool.run(Work { inputs, rows, shape, urgency }).await?;
        let at = outputs.iter().position(|output| output.name == PAST);
        let past =
            at.map(|at| outputs.remove(at).tensor).ok_or_else(|| self.broken("it remembers nothing"))?;
        Ok((Answered { answer: picked(outputs, wanted), times }, Past::Network(vec![past])))
    }

    async fn answer_stateful(
        &self,
        stateful: &Stateful,
        piece: Piece<'_>,
    ) -> Result<(Answered<Vec<NamedTensor>>, Past), ServeError> {
        let Piece { mut inputs, wanted, past, step, terms: Terms { urgency, .. } } = piece;
        let rows = stateful.signature.check_inputs(&inputs).map_err(ServeError::Input)?;
        self.check_outputs(wanted)?;
        match stateful.has_rows {
            true if rows != 1 => return Err(ServeError::SequenceRows { rows }),
            true => {}
            false => self.check_rows(rows)?,
        }
        inputs.iter().try_for_each(check_finite)?;
        let past = if let Some(Past::Network(past)) = past { past } else { stateful.beginning() };
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
        Ok((Answered { answer: picked(outputs, wanted), times }, Past::Network(past)))
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
