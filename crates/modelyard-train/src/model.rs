//! A registered version that was trained here, loaded to score new rows or to answer a file of them.

use std::sync::Arc;

use modelyard_data::{Answer, Continuation, Continuing, Dataset, Pipeline, Row};
use modelyard_model::{Forward, Generator, Network, Sampler, Sampling, standard_normal};
use modelyard_registry::document::SplitScores;

use crate::error::TrainError;
use crate::evaluate::Intervals;
use crate::files;
use crate::scores::Scorer;

/// Rows that are answered at once.
const PREDICT_ROWS: usize = 8192;

/// A trained network with its pipeline.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    network: Arc<Network>,
    pipeline: Pipeline,
}

impl TrainedModel {
    /// Reads a model from a version's files; `file` gives the bytes of a file by its name.
    ///
    /// # Errors
    /// [`TrainError::NoFile`] for versions that were not trained here, or the error of the damaged file.
    pub fn from_files<'a>(file: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, TrainError> {
        let find = |name: &'static str| file(name).ok_or(TrainError::NoFile { file: name });
        let pipeline = Pipeline::from_json(find(files::PIPELINE)?)?;
        let network = Network::from_parts(find(files::NETWORK)?, find(files::WEIGHTS)?)?;
        Ok(Self { network: Arc::new(network), pipeline })
    }

    /// The pipeline from rows to tensors and back.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The network.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Scores the rows of a data set that has the answers.
    ///
    /// # Errors
    /// Where a row cannot be taken, or there is none.
    pub fn evaluate(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        threads: usize,
    ) -> Result<SplitScores, TrainError> {
        if rows.is_empty() {
            return Err(TrainError::NoRows);
        }
        self.scorer(threads).score(dataset, rows, None, Intervals::Computed)
    }

    /// Answers every sample of a data set (see [`Dataset::samples`]), some thousand at a time and in order.
    ///
    /// # Errors
    /// Where a row cannot be taken, what `take` itself returns, or [`TrainError::OnlyContinues`] for a language model.
    pub fn predict<E: From<TrainError>>(
        &self,
        dataset: &Dataset,
        threads: usize,
        mut take: impl FnMut(Vec<Answer>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pipeline.language().is_some() {
            return Err(TrainError::OnlyContinues.into());
        }
        let scorer = self.scorer(threads);
        let rows = dataset.samples();
        for rows in rows.chunks(PREDICT_ROWS) {
            let outputs = scorer.outputs(dataset, rows)?;
            take(self.pipeline.decode(&outputs, rows.len()))?;
        }
        Ok(())
    }

    /// Continues a text until it ends, one of the texts `stop` comes, or there are `tokens_max` tokens, and tells each
    /// piece as soon as it stays. The same seed gives the same text.
    ///
    /// # Errors
    /// [`TrainError::NoLanguage`] where the model does not continue texts; settings that can never work.
    pub fn generate(
        &self,
        prompt: &str,
        (sampling, seed): (Sampling, u64),
        (stop, tokens_max): (&[String], usize),
        mut tell: impl FnMut(&str),
    ) -> Result<Continuation, TrainError> {
        let language = self.pipeline.language().ok_or(TrainError::NoLanguage)?;
        let mut sampler = Sampler::new(sampling, &language.never_drawn(), seed)?;
        let mut generator = Generator::new(&self.network)?;
        generator.start(&language.prompt(prompt))?;
        let mut growing = Continuing::new(language, stop, tokens_max);
        let mut told = 0;
        loop {
            if let Some(whole) = growing.push(generator.next_token(&mut sampler)?) {
                tell(&whole.text[told..]);
                return Ok(whole);
            }
            let settled = growing.settled();
            tell(&settled[told..]);
            told = settled.len();
        }
    }

    /// Draws samples like the rows it was trained on, each from numbers of the standard normal distribution of a seed of
    /// its own: `seed` and those after it. They are what the network expects of such numbers, without the noise that
    /// its training took for granted.
    ///
    /// # Errors
    /// [`TrainError::NoSamples`] or [`ModelError::NoDecoder`](modelyard_model::ModelError::NoDecoder) where the model
    /// draws none, [`TrainError::Data`] where a transform cannot be undone.
    pub fn draw(&self, seed: u64, count: usize) -> Result<Vec<Row>, TrainError> {
        if !self.pipeline.gives_input_back() {
            return Err(TrainError::NoSamples);
        }
        let mut forward = Forward::new(&Arc::new(self.network.decoder()?));
        let latent = forward.input_len();
        let seeds = (0..count as u64).map(|at| seed.wrapping_add(at));
        // One by one: how many are computed at once may show in the last digits.
        let (mut rows, mut drawn) = (Vec::with_capacity(count), Vec::new());
        for (at, seed) in seeds.enumerate() {
            forward.run(&standard_normal(seed, latent), 1, &mut drawn)?;
            if let Some(&value) = drawn.iter().find(|value| !value.is_finite()) {
                return Err(TrainError::NoNumber { row: at + 1, rows: count, value });
            }
            rows.append(&mut self.pipeline.undo(&drawn)?);
        }
        Ok(rows)
    }

    fn scorer(&self, threads: usize) -> Scorer<'_> {
        Scorer { network: Arc::clone(&self.network), pipeline: &self.pipeline, threads }
    }
}
