//! From the network's numbers back to named answers.

use super::{Continuation, OutputActivation, Pipeline, Task};

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
    /// the data's own unit, rows × outputs; for the next token, the probability of each logit at each step. What metrics are computed on.
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
        }
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
