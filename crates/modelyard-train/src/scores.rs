//! The scores of a network on every part of its data, beside those of a baseline, and the gates.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use modelyard_data::{Dataset, Pipeline, TargetValues, Task};
use modelyard_model::{Forward, Network};
use modelyard_registry::document::{Scores, SplitScores};

use crate::error::TrainError;
use crate::evaluate::{self, Baseline, Intervals};
use crate::prepare::Prepared;
use crate::project::{Project, Split};

/// Rows that go through the network at once outside of training.
pub(crate) const FORWARD_ROWS: usize = 1024;

/// Scores every part that has rows, and judges the gates.
pub(crate) fn score_parts(
    project: &Project,
    prepared: &Prepared,
    pipeline: &Pipeline,
    network: &Network,
    threads: usize,
) -> Result<Scores, TrainError> {
    let baseline = baseline(pipeline, &prepared.dataset, &prepared.parts.train)?;
    let scorer = Scorer { network: Arc::new(network.clone()), pipeline, threads };
    let mut splits = BTreeMap::new();
    for split in Split::ALL {
        let rows = prepared.rows(split);
        if !rows.is_empty() {
            let intervals = match split {
                Split::Train => Intervals::Omitted,
                Split::Validation | Split::Test => Intervals::Computed,
            };
            let scores = scorer.score(&prepared.dataset, rows, baseline.as_ref(), intervals)?;
            splits.insert(split.as_str().to_owned(), scores);
        }
    }
    let gates = project.gates().iter().map(|gate| gate.judge(splits.get(gate.split.as_str()))).collect();
    Ok(Scores { task: task_name(&prepared.pipeline).to_owned(), splits, gates })
}

/// The task as `scores.json` names it.
pub(crate) fn task_name(pipeline: &Pipeline) -> &'static str {
    evaluate::task_of(pipeline).name()
}

/// The pipeline with what validation rows tell about the network's answers.
pub(crate) fn calibrated(
    prepared: &Prepared,
    network: &Network,
    threads: usize,
) -> Result<Pipeline, TrainError> {
    let mut pipeline = prepared.pipeline.clone();
    if matches!(pipeline.task(), Task::Forecast { .. } | Task::Anomaly { .. }) {
        let scorer = Scorer { network: Arc::new(network.clone()), pipeline: &prepared.pipeline, threads };
        let rows = prepared.rows(Split::Validation);
        let outputs = scorer.outputs(&prepared.dataset, rows)?;
        pipeline.calibrate(&prepared.dataset, prepared.rows(Split::Train), rows, &outputs)?;
    }
    Ok(pipeline)
}

/// The model that only knows the answers of these rows.
fn baseline(pipeline: &Pipeline, dataset: &Dataset, rows: &[usize]) -> Result<Option<Baseline>, TrainError> {
    if matches!(pipeline.task(), Task::Forecast { .. }) {
        return Ok(Some(Baseline::SeasonalNaive));
    }
    Ok(Some(match pipeline.targets(dataset, rows)? {
        TargetValues::Input => return Ok(None),
        TargetValues::Classes(truth) => {
            Baseline::of_classes(&truth, evaluate::class_names(pipeline.task()).len())
        }
        TargetValues::Values(truth) => {
            Baseline::of_values(&pipeline.decode_targets(&truth), pipeline.task().answer_width())
        }
    }))
}

/// Runs rows through pipeline and network, and scores what comes out.
pub(crate) struct Scorer<'a> {
    pub(crate) network: Arc<Network>,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) threads: usize,
}

impl Scorer<'_> {
    /// The network's outputs for these rows (what they leave of its inputs, where it gives those back), in order.
    /// Each thread takes a stretch of the rows; every row is computed alone, so the number of threads changes
    /// nothing in the numbers.
    ///
    /// # Errors
    /// [`TrainError::NoNumber`], and what the pipeline refuses.
    pub(crate) fn outputs(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<f32>, TrainError> {
        let threads = NonZero::new(self.threads).map_or(1, NonZero::get);
        let stretch = rows.len().div_ceil(threads).max(FORWARD_ROWS);
        let mut stretches = rows.chunks(stretch);
        let first = stretches.next().unwrap_or(&[]);
        thread::scope(|scope| {
            let others: Vec<_> =
                stretches.map(|rows| scope.spawn(move || self.outputs_here(dataset, rows))).collect();
            let mut outputs = self.outputs_here(dataset, first)?;
            for other in others {
                let more = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                outputs.extend_from_slice(&more);
            }
            Ok(outputs)
        })
        .and_then(|outputs: Vec<f32>| evaluate::all_numbers(&outputs, rows.len()).map(|()| outputs))
    }

    fn outputs_here(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<f32>, TrainError> {
        let mut forward = Forward::new(&self.network);
        let mut outputs = Vec::with_capacity(rows.len() * self.pipeline.output_width());
        let mut some = Vec::new();
        let mut block = Vec::new();
        for rows in rows.chunks(FORWARD_ROWS) {
            block.clear();
            self.pipeline.apply(dataset, rows, &mut block)?;
            forward.run(&block, rows.len(), &mut some)?;
            self.pipeline.leave_residuals(&block, &mut some);
            outputs.extend_from_slice(&some);
        }
        Ok(outputs)
    }

    /// The scores on these rows.
    pub(crate) fn score(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        baseline: Option<&Baseline>,
        intervals: Intervals,
    ) -> Result<SplitScores, TrainError> {
        let truth = self.pipeline.targets(dataset, rows)?;
        let outputs = self.outputs(dataset, rows)?;
        let sample = evaluate::sample(self.pipeline, dataset, rows, &truth, &outputs)?;
        Ok(evaluate::score(&sample, evaluate::label_names(self.pipeline.task()), baseline, intervals))
    }
}
