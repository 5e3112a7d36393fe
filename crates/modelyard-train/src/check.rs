//! What `check` tells about a project before it is trained.

use modelyard_data::{ColumnData, TargetValues};
use serde::Serialize;

use crate::error::TrainError;
use crate::evaluate::class_names;
use crate::prepare::{Prepared, prepare};
use crate::project::{Project, Split};
use crate::scores::task_name;

/// A project beside its data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// The model's name.
    pub name: String,
    /// `classification`, `binary` or `regression`.
    pub task: &'static str,
    /// How many rows each part has.
    pub rows: Vec<(Split, usize)>,
    /// The columns in use.
    pub columns: Vec<ColumnReport>,
    /// The classes; empty for numbers.
    pub classes: Vec<ClassReport>,
    /// The network, layer by layer.
    pub layers: Vec<LayerReport>,
    /// The shape of one input row of the network.
    pub input_shape: Vec<usize>,
    /// Weights of the network.
    pub parameters: usize,
    /// What training makes small.
    pub loss: &'static str,
    /// What is not wrong but worth knowing.
    pub warnings: Vec<String>,
}

/// A column in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnReport {
    /// The name of the input or output.
    pub name: String,
    /// Its kind, with its size where it has one: `vector of 64`.
    pub kind: String,
    /// Whether it is an output.
    pub output: bool,
}

/// A class and how often it occurs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassReport {
    /// The class.
    pub label: String,
    /// Its rows in each part.
    pub rows: Vec<(Split, usize)>,
}

/// A layer of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Number and kind.
    pub name: String,
    /// The shape that comes out, without the batch dimension.
    pub output_shape: Vec<usize>,
    /// Weights.
    pub parameters: usize,
}

/// Checks a project against its data without training.
///
/// # Errors
/// Whatever training would refuse to start with, with its place.
pub fn check(project: &Project) -> Result<CheckReport, TrainError> {
    let mut report = prepare(project)?.report(project)?;
    if project.training().start_from.is_some() {
        report.warnings.push("training.start_from is only looked at when training begins".to_owned());
    }
    Ok(report)
}

impl Prepared {
    /// What there is to know before training.
    ///
    /// # Errors
    /// Only what [`prepare`] has told already.
    pub fn report(&self, project: &Project) -> Result<CheckReport, TrainError> {
        let summary = self.network.summary()?;
        let spec = self.pipeline.spec();
        let column = |name: &str, output| {
            self.dataset.column(name).map(|data| ColumnReport {
                name: name.to_owned(),
                kind: match self.pipeline.vocabulary_len(name) {
                    Some(tokens) => format!("text of {tokens} tokens"),
                    None => kind(data),
                },
                output,
            })
        };
        let inputs = spec.inputs.iter().filter_map(|input| column(&input.name, false));
        let outputs = spec.outputs.iter().filter_map(|output| column(&output.name, true));
        Ok(CheckReport {
            name: project.name().as_str().to_owned(),
            task: task_name(&self.pipeline),
            rows: Split::ALL.map(|split| (split, self.rows(split).len())).to_vec(),
            columns: inputs.chain(outputs).collect(),
            classes: self.classes()?,
            input_shape: self.network.input.clone(),
            parameters: summary.iter().map(|layer| layer.parameters).sum(),
            layers: summary
                .into_iter()
                .map(|layer| LayerReport {
                    name: layer.name,
                    output_shape: layer.output_shape,
                    parameters: layer.parameters,
                })
                .collect(),
            loss: self.loss.name(),
            warnings: self.warnings.clone(),
        })
    }

    fn classes(&self) -> Result<Vec<ClassReport>, TrainError> {
        let labels = class_names(self.pipeline.task());
        let mut reports: Vec<ClassReport> =
            labels.iter().map(|label| ClassReport { label: label.clone(), rows: Vec::new() }).collect();
        for split in Split::ALL {
            let mut counts = vec![0; labels.len()];
            if let TargetValues::Classes(classes) = self.pipeline.targets(&self.dataset, self.rows(split))? {
                classes.into_iter().for_each(|class| counts[class as usize] += 1);
            }
            for (report, count) in reports.iter_mut().zip(counts) {
                report.rows.push((split, count));
            }
        }
        Ok(reports)
    }
}

fn kind(data: &ColumnData) -> String {
    match data {
        ColumnData::Vectors(vectors) => format!("vector of {}", vectors.width),
        ColumnData::Images(images) => {
            let [height, width, channels] = images.shape;
            format!("image of {height}×{width}, {channels} channel{}", if channels == 1 { "" } else { "s" })
        }
        ColumnData::Categories(categories) => format!("category of {}", categories.dictionary.len()),
        other => other.kind().to_owned(),
    }
}
