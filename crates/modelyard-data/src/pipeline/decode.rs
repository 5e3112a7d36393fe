//! From the network's numbers back to named answers.

use super::{Calibration, Continuation, OutputActivation, Pipeline, Task};

/// What the network answers for one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The outputs by name, in the declared order.
    pub outputs: Vec<(String, Prediction)>,
}

/// One output's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// The likeliest class.
    Category {
        /// Its label.
        label: String,
        /// Every class with its probability, in the order of the classes.
        probabilities: Vec<(String, f32)>,
    },
    /// Any number of labels.
    Labels {
        /// Those that are likelier than not.
        labels: Vec<String>,
        /// Every label with its probability, in the order of the labels.
        probabilities: Vec<(String, f32)>,
    },
    /// A number in the data's own unit.
    Number(f64),
    /// How a text goes on.
    Text(Continuation),
    /// One number for each row ahead.
    Forecast(Vec<ForecastStep>),
    /// How unlike healthy rows the row or window is.
    Anomaly {
        /// The mean squared difference between what went into the network and what it gave back.
        score: f64,
        /// The score from which on a row is anomalous; none before validation rows told it.
        threshold: Option<f64>,
        /// How much of the score each input has in it, the largest share first.
        shares: Vec<(String, f64)>,
    },
}

impl Prediction {
    /// For an anomaly score: whether it is above the threshold.
    pub fn is_anomalous(&self) -> bool {
        matches!(self, Self::Anomaly { score, threshold: Some(threshold), .. } if score > threshold)
    }
}

/// A forecast of one row ahead, in the data's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastStep {
    /// How many rows ahead, from 1.
    pub step: usize,
    /// The median, or the network's one number.
    pub value: f64,
    /// The lower and upper end of the interval, where there is one.
    pub interval: Option<(f64, f64)>,
}

impl Pipeline {
    /// The answers for `rows` rows of network outputs. Those of a language model are empty: what it answers is drawn
    /// token by token (see [`Pipeline::language`]).
    ///
    /// # Panics
    /// Where there are not [`Pipeline::output_width`] outputs a row.
    pub fn decode(&self, outputs: &[f32], rows: usize) -> Vec<Answer> {
        let width = self.output_width();
        assert_eq!(outputs.len(), rows * width, "{rows} rows of {width} outputs");
        outputs.chunks_exact(width).map(|row| Answer { outputs: self.decode_row(row) }).collect()
    }

    /// The probability of each class, rows × classes (two for a binary task); for numbers, the answers in
    /// the data's own unit, rows × outputs; for a forecast rows × steps; for anomalies one score a row; for the next
    /// token, the probability of each logit at each step. What metrics are computed on.
    pub fn decode_values(&self, outputs: &[f32]) -> Vec<f32> {
        let rows = outputs.chunks_exact(self.output_width());
        match &self.task {
            Task::Classification { .. } => rows.flat_map(|row| self.class_probabilities(row)).collect(),
            Task::Binary { .. } => rows.flat_map(|row| self.binary_probabilities(row[0])).collect(),
            Task::Labels { .. } => rows.flat_map(|row| self.label_probabilities(row)).collect(),
            Task::NextToken { logits, .. } => rows
                .flat_map(|row| row.chunks_exact(*logits))
                .flat_map(|step| self.class_probabilities(step))
                .collect(),
            Task::Regression { .. } => rows.flat_map(|row| self.numbers(row).map(|v| v as f32)).collect(),
            Task::Forecast { .. } => {
                rows.flat_map(|row| self.forecast(row)).map(|step| step.value as f32).collect()
            }
            Task::Anomaly { .. } => rows.map(|row| score(row) as f32).collect(),
        }
    }

    /// Targets as [`Pipeline::targets`] gives them, back in the data's own unit: rows × [`Task::answer_width`].
    pub fn decode_targets(&self, targets: &[f32]) -> Vec<f32> {
        match &self.task {
            Task::Anomaly { .. } => Vec::new(),
            Task::Labels { .. } => targets.to_vec(),
            Task::Forecast { .. } => {
                targets.iter().map(|value| self.outputs[0].invert(f64::from(*value)) as f32).collect()
            }
            _ => self.decode_values(targets),
        }
    }

    fn decode_row(&self, row: &[f32]) -> Vec<(String, Prediction)> {
        match &self.task {
            Task::Classification { output, classes } => {
                vec![(output.clone(), category(classes, &self.class_probabilities(row)))]
            }
            Task::Binary { output, classes } => {
                vec![(output.clone(), category(classes, &self.binary_probabilities(row[0])))]
            }
            Task::Labels { output, classes } => {
                let probabilities: Vec<(String, f32)> =
                    classes.iter().cloned().zip(self.label_probabilities(row)).collect();
                let given = probabilities.iter().filter(|(_, probability)| *probability >= 0.5);
                let labels = given.map(|(label, _)| label.clone()).collect();
                vec![(output.clone(), Prediction::Labels { labels, probabilities })]
            }
            Task::NextToken { .. } => Vec::new(),
            Task::Regression { outputs } => {
                outputs.iter().cloned().zip(self.numbers(row).map(Prediction::Number)).collect()
            }
            Task::Forecast { output, .. } => vec![(output.clone(), Prediction::Forecast(self.forecast(row)))],
            Task::Anomaly { output, .. } => {
                let threshold = match self.calibration {
                    Some(Calibration::Threshold { score, .. }) => Some(score),
                    _ => None,
                };
                let shares = self.shares(row);
                vec![(output.clone(), Prediction::Anomaly { score: score(row), threshold, shares })]
            }
        }
    }

    /// The steps of a forecast, from one row of the network's outputs; none where the task is no forecast.
    pub fn forecast(&self, row: &[f32]) -> Vec<ForecastStep> {
        let Task::Forecast { horizon, quantiles, .. } = &self.task else { return Vec::new() };
        // The quantile nearest to the median.
        let middle = (0..quantiles.len())
            .min_by(|&a, &b| (quantiles[a] - 0.5).abs().total_cmp(&(quantiles[b] - 0.5).abs()))
            .unwrap_or(0);
        (0..*horizon)
            .map(|step| {
                let said = self.quantiles_at(row, step);
                let interval = match &self.calibration {
                    Some(Calibration::Intervals { margins, .. }) => {
                        let (low, high) = (said[0] - margins[step], said[said.len() - 1] + margins[step]);
                        Some((low.min(said[middle]), high.max(said[middle])))
                    }
                    _ => None,
                };
                ForecastStep { step: step + 1, value: said[middle], interval }
            })
            .collect()
    }

    /// How much of an anomaly score each input has in it.
    fn shares(&self, row: &[f32]) -> Vec<(String, f64)> {
        let square = |value: &f32| f64::from(*value) * f64::from(*value);
        let sum = row.iter().map(square).sum::<f64>().max(f64::MIN_POSITIVE);
        let inputs = self.inputs.iter().zip(&self.layout.cells);
        let mut shares: Vec<(String, f64)> = inputs
            .map(|(input, cells)| {
                let step = |step| {
                    let first = cells.first + step * cells.stride;
                    row[first..first + input.width()].iter().map(square).sum::<f64>()
                };
                (input.name.to_string(), (0..cells.steps).map(step).sum::<f64>() / sum)
            })
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    fn class_probabilities(&self, row: &[f32]) -> Vec<f32> {
        match self.activation {
            OutputActivation::Softmax => row.to_vec(),
            OutputActivation::Linear | OutputActivation::Sigmoid => softmax(row),
        }
    }

    fn binary_probabilities(&self, value: f32) -> [f32; 2] {
        let second = match self.activation {
            OutputActivation::Sigmoid => value,
            OutputActivation::Linear | OutputActivation::Softmax => 1.0 / (1.0 + (-value).exp()),
        };
        [1.0 - second, second]
    }

    fn label_probabilities(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        row.iter().map(|value| self.binary_probabilities(*value)[1])
    }

    fn numbers(&self, row: &[f32]) -> impl Iterator<Item = f64> {
        row.iter().zip(&self.outputs).map(|(value, output)| output.invert(f64::from(*value)))
    }
}

/// The mean square of what a network left of its input.
fn score(row: &[f32]) -> f64 {
    row.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>() / row.len().max(1) as f64
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut probabilities: Vec<f32> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f32 = probabilities.iter().sum();
    probabilities.iter_mut().for_each(|probability| *probability /= sum);
    probabilities
}

/// The first of the likeliest classes.
fn category(classes: &[String], probabilities: &[f32]) -> Prediction {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    Prediction::Category {
        label: classes[best].clone(),
        probabilities: classes.iter().cloned().zip(probabilities.iter().copied()).collect(),
    }
}
