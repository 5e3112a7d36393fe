//! A registered version that was trained here, loaded to score new rows or to answer a file of them.

use std::sync::Arc;

use modelyard_data::{Answer, Dataset, Pipeline};
use modelyard_model::Network;
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
    /// Where a row cannot be taken, or what `take` itself returns.
    pub fn predict<E: From<TrainError>>(
        &self,
        dataset: &Dataset,
        threads: usize,
        mut take: impl FnMut(Vec<Answer>) -> Result<(), E>,
    ) -> Result<(), E> {
        let scorer = self.scorer(threads);
        let rows = dataset.samples();
        for rows in rows.chunks(PREDICT_ROWS) {
            let outputs = scorer.outputs(dataset, rows)?;
            take(self.pipeline.decode(&outputs, rows.len()))?;
        }
        Ok(())
    }

    fn scorer(&self, threads: usize) -> Scorer<'_> {
        Scorer { network: Arc::clone(&self.network), pipeline: &self.pipeline, threads }
    }
}
