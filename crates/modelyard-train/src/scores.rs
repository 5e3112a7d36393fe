//! The scores of a network on every part of its data, beside those of a baseline, and the gates.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use modelyard_data::{Dataset, Pipeline, TargetValues, Task};
use modelyard_model::{Forward, Network};
use modelyard_registry::document::{Scores, SplitScores};

use crate::error::TrainError;
use crate::evaluate::{self, Baseline, Intervals, Sample, token_losses, token_sample};
use crate::prepare::Prepared;
use crate::project::{Project, Split};

/// Rows that go through the network at once outside of training, at most.
const FORWARD_ROWS: usize = 1024;
/// Outputs that are held at once outside of training, where more than one row has them.
const FORWARD_VALUES: usize = 1 << 24;

/// Rows that go through the network at once, where each has so many outputs.
pub(crate) fn forward_rows(output_width: usize) -> usize {
    (FORWARD_VALUES / output_width.max(1)).clamp(1, FORWARD_ROWS)
}

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
        TargetValues::Tokens(next) => {
            Baseline::of_tokens(&next, pipeline.language().map_or(0, |language| language.tokens()))
        }
        TargetValues::Values(truth) => {
            Baseline::of_values(&pipeline.decode_targets(&truth), pipeline.task().answer_width())
        }
    }))
}

/// What the baseline beside the scores answers, as a sentence goes on.
pub(crate) fn baseline_answers(task: &Task) -> &'static str {
    match task {
        Task::Forecast { .. } => "repeats what was one season before",
        Task::NextToken { .. } => {
            "is an interpolated Kneser-Ney trigram of the same tokens, learned from the same rows"
        }
        _ => "always answers with the most frequent class or the mean",
    }
}

/// Runs rows through pipeline and network, and scores what comes out.
pub(crate) struct Scorer<'a> {
    pub(crate) network: Arc<Network>,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) threads: usize,
}

impl Scorer<'_> {
    /// The network's outputs for these rows (what they leave of its inputs, where it gives those back), in order.
    ///
    /// # Errors
    /// [`TrainError::NoNumber`], and what the pipeline refuses.
    pub(crate) fn outputs(&self, dataset: &Dataset, rows: &[usize]) -> Result<Vec<f32>, TrainError> {
        let outputs = self.each_block(dataset, rows, |_, outputs| outputs.to_vec())?;
        evaluate::all_numbers(&outputs, rows.len()).map(|()| outputs)
    }

    /// The answers to these rows beside the truth.
    pub(crate) fn sample(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        truth: &TargetValues,
    ) -> Result<Sample, TrainError> {
        let TargetValues::Tokens(next) = truth else {
            return evaluate::sample(self.pipeline, dataset, rows, truth, &self.outputs(dataset, rows)?);
        };
        let (steps, activation) = (next.steps, self.pipeline.output_activation());
        let losses = self.each_block(dataset, rows, |places, outputs| {
            let tokens = &next.tokens[places.start * steps..places.end * steps];
            token_losses(outputs, tokens, steps, activation)
        })?;
        if let Some(row) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(TrainError::NoNumber { row: row + 1, rows: rows.len(), value: losses[row] as f32 });
        }
        Ok(token_sample(next, losses))
    }

    /// What `see` makes of the places of some rows and their outputs, block by block and put together in order. Each
    /// thread takes a stretch of the rows; every row is computed alone, so the number of threads changes nothing in
    /// the numbers.
    fn each_block<T: Send>(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        see: impl Fn(Range<usize>, &[f32]) -> Vec<T> + Sync,
    ) -> Result<Vec<T>, TrainError> {
        let threads = NonZero::new(self.threads).map_or(1, NonZero::get);
        let block = forward_rows(self.pipeline.output_width());
        let stretch = rows.len().div_ceil(threads).max(block);
        let here = |at: usize, rows: &[usize]| self.blocks_of(dataset, rows, at * stretch, &see);
        let mut stretches = rows.chunks(stretch).enumerate();
        let (_, first) = stretches.next().unwrap_or((0, &[]));
        thread::scope(|scope| {
            let here = &here;
            let others: Vec<_> = stretches.map(|(at, rows)| scope.spawn(move || here(at, rows))).collect();
            let mut found = here(0, first)?;
            for other in others {
                found.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(found)
        })
    }

    /// One thread's stretch, whose first row stands at this place.
    fn blocks_of<T>(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        mut place: usize,
        see: &impl Fn(Range<usize>, &[f32]) -> Vec<T>,
    ) -> Result<Vec<T>, TrainError> {
        let mut forward = Forward::new(&self.network);
        let (mut found, mut inputs, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        for rows in rows.chunks(forward_rows(self.pipeline.output_width())) {
            inputs.clear();
            self.pipeline.apply(dataset, rows, &mut inputs)?;
            forward.run(&inputs, rows.len(), &mut outputs)?;
            self.pipeline.leave_residuals(&inputs, &mut outputs);
            found.extend(see(place..place + rows.len(), &outputs));
            place += rows.len();
        }
        Ok(found)
    }

    /// The scores on these rows, without intervals where their windows share rows.
    pub(crate) fn score(
        &self,
        dataset: &Dataset,
        rows: &[usize],
        baseline: Option<&Baseline>,
        intervals: Intervals,
    ) -> Result<SplitScores, TrainError> {
        let truth = self.pipeline.targets(dataset, rows)?;
        let sample = self.sample(dataset, rows, &truth)?;
        let dull = baseline.map(|baseline| baseline.answer(&sample, &truth));
        // Windows that share rows are not drawn one by one, so that no interval would be true.
        let overlap = dataset.windows().is_some_and(|windows| windows.share_rows(rows));
        let intervals = if overlap { Intervals::Omitted } else { intervals };
        let labels = evaluate::label_names(self.pipeline.task());
        Ok(evaluate::score(&sample, labels, dull.as_ref(), intervals))
    }
}
