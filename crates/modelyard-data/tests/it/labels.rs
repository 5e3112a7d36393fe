//! Outputs of several labels a row.

use modelyard_data::{Kind, OutputActivation, OutputKind, Pipeline, TargetValues, Task};

use super::{all_rows, csv, spec};

const TABLE: &str = "x,y\n1,red; round\n2,\n3,round\n4,red;red\n";

#[test]
fn a_cell_holds_any_number_of_labels() {
    let spec = spec(&[("x", Kind::Number)], OutputKind::Labels);
    let data = csv(TABLE, &spec);
    let mut pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    assert!(matches!(pipeline.task(), Task::Labels { classes, .. } if *classes == ["red", "round"]));
    let targets = pipeline.targets(&data, &all_rows(&data)).expect("targets");
    assert_eq!(targets, TargetValues::Values(vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]));
    pipeline.set_output_activation(2, OutputActivation::Sigmoid).expect("fits");
    assert!(
        pipeline.set_output_activation(2, OutputActivation::Softmax).is_err(),
        "one of several is no label"
    );
    assert_eq!(Pipeline::from_json(pipeline.to_json().as_bytes()).expect("reads"), pipeline);
}

#[test]
fn labels_that_training_never_saw_are_told() {
    let spec = spec(&[("x", Kind::Number)], OutputKind::Labels);
    let data = csv(TABLE, &spec);
    let pipeline = Pipeline::fit(&spec, &data, &all_rows(&data)).expect("fits");
    let error = pipeline.targets(&csv("x,y\n1,rond\n", &spec), &[0]).expect_err("unseen");
    assert!(error.to_string().contains("did you mean \"round\"?"), "{error}");
    let error = Pipeline::fit(&spec, &data, &[1, 2]).expect_err("one label");
    assert!(error.hint().expect("a way out").contains("`;`"), "{error}");
}
