//! Drawing samples: the decoder of a variational autoencoder, in a pool of its own beside that of the whole network.

use std::sync::Arc;

use modelyard_data::{Pipeline, Row};
use modelyard_model::{Network, standard_normal};
use modelyard_runtime::{LoadOptions, LoadedModel, ModelFiles, RuntimeError, Runtimes};
use modelyard_types::{Deadline, Dim, NamedTensor, Tensor, TensorData};

use super::rows::misfit_rows;
use super::{Answered, ServedVersion, check_answer};
use crate::batch;
use crate::error::ServeError;
use crate::pool::{Pool, Ran, Work};
use crate::source::SourceFiles;

/// The engine of networks that were trained here; only of those the layers are known.
const ENGINE: &str = "native";

/// How samples are to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// The seed of the first; those after it take the next ones. The same seed gives the same sample.
    pub seed: u64,
    /// How many.
    pub count: usize,
}

/// The part of a network that draws samples.
pub(super) struct Decoder {
    pub(super) network: Arc<dyn LoadedModel>,
    pub(super) pool: Pool,
}

/// Loads the part of a network that draws samples; none where it has no such part.
///
/// # Errors
/// Files of the version that cannot be read.
pub(super) fn load(
    pipeline: Option<&Pipeline>,
    files: &SourceFiles,
    runtimes: &Runtimes,
) -> Result<Option<Arc<dyn LoadedModel>>, RuntimeError> {
    let wanted = pipeline.is_some_and(Pipeline::gives_input_back);
    let (true, Some(json), Some(weights)) =
        (wanted, files.get("network.json"), files.get("weights.safetensors"))
    else {
        return Ok(None);
    };
    let network =
        Network::from_parts(json, weights).map_err(|error| RuntimeError::Network(Box::new(error)))?;
    let Ok(decoder) = network.decoder() else { return Ok(None) };
    let (json, weights) = (decoder.network_json(), decoder.weights_safetensors());
    let parts = ModelFiles { onnx: None, network: Some(json.as_bytes()), weights: Some(weights.as_slice()) };
    runtimes.by_name(ENGINE)?.load(&parts, &LoadOptions::default()).map(Some)
}

impl ServedVersion {
    /// Draws rows like those that the network was trained on.
    ///
    /// # Errors
    /// [`ServeError::DrawsNothing`] where the network cannot, and as [`ServedVersion::infer`].
    pub async fn draw(
        self: &Arc<Self>,
        wish: Drawing,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Row>>, ServeError> {
        let arrived = self.arrive();
        arrived.end(self.draw_rows(wish, deadline).await)
    }

    async fn draw_rows(
        self: &Arc<Self>,
        wish: Drawing,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Row>>, ServeError> {
        let (Some(_), Some(decoder)) = (&self.pipeline, &self.decoder) else {
            return Err(ServeError::DrawsNothing { model: self.model.clone() });
        };
        self.check_rows(wish.count)?;
        let spec = &decoder.network.signature().inputs[0];
        let &[Dim::Any, Dim::Fixed(width)] = spec.shape.as_slice() else {
            return Err(self.broken("its decoder takes no row of numbers"));
        };
        let tensor = self.aside(move |version| version.latent(width, wish)).await?;
        let inputs = vec![NamedTensor { name: spec.name.clone(), tensor }];
        let shape = batch::row_shape(decoder.network.signature(), &inputs);
        let work = Work { inputs, rows: wish.count, shape, urgency: deadline.into() };
        let Ran { outputs, times } = decoder.pool.run(work).await?;
        check_answer(&outputs)?;
        let answer = self.aside(move |version| version.undo(&outputs, wish.count)).await?;
        Ok(Answered { answer, times })
    }

    /// Runs what grows with the number of samples beside the threads that answer requests.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ServeError> + Send + 'static,
    ) -> Result<T, ServeError> {
        let version = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&version)).await;
        done.map_err(|_| self.broken("drawing samples panicked"))?
    }

    /// The numbers that the decoder makes samples of, so many for each.
    fn latent(&self, width: usize, wish: Drawing) -> Result<Tensor, ServeError> {
        let seeds = (0..wish.count as u64).map(|at| wish.seed.wrapping_add(at));
        let values = seeds.flat_map(|seed| standard_normal(seed, width)).collect();
        Tensor::new(vec![wish.count, width], TensorData::F32(values))
            .map_err(|error| self.broken(&format!("its hidden numbers are no tensor ({error})")))
    }

    /// What the decoder gave, back in the data's own units.
    fn undo(&self, outputs: &[NamedTensor], count: usize) -> Result<Vec<Row>, ServeError> {
        let pipeline = self.pipeline.as_ref().expect("the caller looked");
        let width: usize = pipeline.input_shape().iter().product();
        match outputs.first().and_then(|output| output.tensor.as_f32()) {
            Some(values) if values.len() == count * width => pipeline.undo(values).map_err(misfit_rows),
            _ => Err(self.broken("its network does not give its input back")),
        }
    }
}
