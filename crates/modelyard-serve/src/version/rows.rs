//! Rows by name at a version: its own pipeline prepares them and names the answer, or those of a graph's models do.

use std::sync::Arc;
use std::time::Instant;

use modelyard_data::{Answer, DataError, Pipeline, Row};
use modelyard_types::{Deadline, NamedTensor, Tensor, TensorData};

use super::engine::Engine;
use super::{Answered, ServedVersion, check_answer};
use crate::error::ServeError;
use crate::graph::{GraphRows, GraphRun};
use crate::journey::Terms;
use crate::pool::Ran;

/// What a graph answers rows with.
#[derive(Debug)]
pub enum GraphAnswer {
    /// As the pipeline of its last models names it, one for each row.
    Named(Vec<Answer>),
    /// Its outputs as they are.
    Tensors(Vec<NamedTensor>),
}

impl ServedVersion {
    /// The fitted pipeline, where there is one.
    pub(crate) fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_ref()
    }

    /// How rows by name go through a graph just now; none where it is no graph, or its models do not take them.
    ///
    /// # Errors
    /// A model of the graph that cannot be opened.
    pub async fn graph_rows(&self) -> Result<Option<GraphRows>, ServeError> {
        let Engine::Graph(graph) = &self.engine else { return Ok(None) };
        match graph.way_of_rows().await {
            Ok(rows) => Ok(rows),
            Err(error) => self.arrive().end(Err(error)),
        }
    }

    /// Rows by name through a graph, for which [`ServedVersion::graph_rows`] told the way.
    ///
    /// # Errors
    /// As [`ServedVersion::predict`].
    pub async fn predict_by_graph(
        &self,
        rows: Vec<Row>,
        way: GraphRows,
        terms: Terms,
    ) -> Result<Answered<GraphAnswer>, ServeError> {
        let arrived = self.arrive();
        let Engine::Graph(graph) = &self.engine else {
            return arrived.end(Err(ServeError::NoPipeline { model: self.model.clone() }));
        };
        arrived.end(self.answer_by_graph(graph, Arc::new(rows), way, terms).await)
    }

    async fn answer_by_graph(
        &self,
        graph: &GraphRun,
        rows: Arc<Vec<Row>>,
        way: GraphRows,
        terms: Terms,
    ) -> Result<Answered<GraphAnswer>, ServeError> {
        let count = rows.len();
        self.check_rows(count)?;
        let (Ran { outputs, times }, names) = graph.run_rows(rows, way, terms).await?;
        check_answer(&outputs)?;
        let answer = match names.as_ref().and_then(|names| names.pipeline()) {
            Some(pipeline) => GraphAnswer::Named(self.named(pipeline, &outputs, count, None)?),
            None => GraphAnswer::Tensors(outputs),
        };
        Ok(Answered { answer, times })
    }

    pub(super) async fn answer_rows(
        self: &Arc<Self>,
        rows: Vec<Row>,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        let Some(pipeline) = &self.pipeline else {
            return Err(ServeError::NoPipeline { model: self.model.clone() });
        };
        let count = rows.len();
        self.check_rows(count)?;
        let input = self.prepared(&Arc::new(rows)).await?;
        let given =
            if pipeline.gives_input_back() { input.tensor.as_f32().map(<[f32]>::to_vec) } else { None };
        let Answered { answer: outputs, times } = self.answer(vec![input], &[], deadline.into()).await?;
        check_answer(&outputs)?;
        Ok(Answered { answer: self.named(pipeline, &outputs, count, given.as_deref())?, times })
    }

    /// What a network's numbers say, less what was given where the network gives that back.
    fn named(
        &self,
        pipeline: &Pipeline,
        outputs: &[NamedTensor],
        rows: usize,
        given: Option<&[f32]>,
    ) -> Result<Vec<Answer>, ServeError> {
        let values = outputs.first().and_then(|output| output.tensor.as_f32());
        let values = values.ok_or_else(|| self.broken("its network's answer is not FP32"))?;
        if values.len() != rows * pipeline.output_width() {
            return Err(self.broken("its network's answer has another width than its pipeline"));
        }
        let Some(given) = given else { return Ok(pipeline.decode(values, rows)) };
        let mut left = values.to_vec();
        pipeline.leave_residuals(given, &mut left);
        Ok(pipeline.decode(&left, rows))
    }

    /// Rows by name as the network's one input: at once where that is quick, and else beside the async threads.
    pub(crate) async fn prepared(self: &Arc<Self>, rows: &Arc<Vec<Row>>) -> Result<NamedTensor, ServeError> {
        if self.pipeline_cost.is_short(rows.len()) {
            return self.prepare(rows);
        }
        let (version, rows) = (Arc::clone(self), Arc::clone(rows));
        let prepared = tokio::task::spawn_blocking(move || version.prepare(&rows)).await;
        prepared.map_err(|_| self.broken("its pipeline panicked"))?
    }

    /// Runs the fitted transforms.
    fn prepare(&self, rows: &[Row]) -> Result<NamedTensor, ServeError> {
        let no_pipeline = || ServeError::NoPipeline { model: self.model.clone() };
        let pipeline = self.pipeline.as_ref().ok_or_else(no_pipeline)?;
        let start: Instant = self.clock.now();
        let data = pipeline.dataset_from_rows(rows).map_err(misfit_rows)?;
        let mut values = Vec::new();
        pipeline.apply(&data, &data.samples(), &mut values).map_err(misfit_rows)?;
        self.pipeline_cost.observe(rows.len(), self.clock.now().saturating_duration_since(start));
        let mut shape = vec![rows.len()];
        shape.extend_from_slice(pipeline.input_shape());
        let tensor = Tensor::new(shape, TensorData::F32(values))
            .map_err(|error| self.broken(&format!("its pipeline made a wrong tensor ({error})")))?;
        let name = self.signature().inputs[0].name.clone();
        Ok(NamedTensor { name, tensor })
    }
}

/// Rows that a pipeline cannot take.
pub(super) fn misfit_rows(error: DataError) -> ServeError {
    ServeError::Rows(Box::new(error))
}
