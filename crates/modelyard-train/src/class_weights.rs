//! Class weights: how much a row counts in the loss, by its class.

use modelyard_data::{Pipeline, TargetValues};

use crate::error::TrainError;
use crate::evaluate::class_names;
use crate::project::{ClassWeightRule, ClassWeights, Problem, Project, Target};

/// The weight of each class; none where all count the same.
///
/// # Errors
/// Where the project file names a class that is not in the data, or a weight that is no weight.
pub(crate) fn class_weights(
    project: &Project,
    pipeline: &Pipeline,
    truth: &TargetValues,
) -> Result<Option<Vec<f32>>, TrainError> {
    let (Some(wanted), TargetValues::Classes(truth)) = (&project.training().class_weights, truth) else {
        return Ok(None);
    };
    let classes = class_names(pipeline.task());
    match wanted {
        ClassWeights::Rule(ClassWeightRule::Balanced) => Ok(Some(balanced(truth, classes.len()))),
        ClassWeights::Table(table) => {
            let mut weights = vec![1.0; classes.len()];
            for (label, weight) in table {
                let path = format!("training.class_weights.{label}");
                let refuse =
                    |target, problem| Err(TrainError::misfit(vec![project.complain(&path, target, problem)]));
                let Some(class) = classes.iter().position(|class| class == label) else {
                    let names = classes.iter().map(String::as_str);
                    let problem = Problem::new(format!("no training row has the class {label:?}"))
                        .expected(classes.join(", "))
                        .nearest(label, names);
                    return refuse(Target::Key, problem);
                };
                if !(weight.is_finite() && *weight >= 0.0) {
                    let problem =
                        Problem::new(format!("the weight {weight} of class {label:?} is out of range"))
                            .expected("a number, at least 0");
                    return refuse(Target::Value, problem);
                }
                weights[class] = *weight;
            }
            Ok(Some(weights))
        }
    }
}

/// rows / (classes × rows of the class), as scikit-learn's `compute_class_weight`; 1 for a class without rows.
fn balanced(truth: &[u32], classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; classes];
    for class in truth {
        counts[*class as usize] += 1;
    }
    let weight = |count| match count {
        0 => 1.0,
        count => truth.len() as f32 / (classes * count) as f32,
    };
    counts.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_classes_count_more() {
        assert_eq!(balanced(&[0, 0, 0, 1], 2), [4.0 / 6.0, 2.0]);
        assert_eq!(balanced(&[0, 0], 2), [0.5, 1.0]);
    }
}
