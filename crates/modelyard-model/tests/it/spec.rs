//! Declarations: shapes, counts, and what is said when they cannot be.

use modelyard_model::{Activation, Conv2d, Dropout, Flatten, LayerSpec, ModelError, NetworkSpec};
use modelyard_types::ErrorKind;

use crate::{dense, images, network};

fn check_error(spec: &NetworkSpec, wanted: &str) -> ModelError {
    let error = spec.shapes().expect_err(wanted);
    assert!(error.to_string().contains(wanted), "{error}");
    error
}

#[test]
fn shapes_and_counts_follow_from_the_layers() {
    let summary = images(0.2).summary().expect("it fits");
    let lines: Vec<String> = summary
        .iter()
        .map(|line| format!("{} {:?} {}", line.name, line.output_shape, line.parameters))
        .collect();
    let wanted = [
        "0.conv2d [7, 7, 6] 114",
        "1.max_pool2d [3, 3, 6] 0",
        "2.batch_norm [3, 3, 6] 24",
        "3.conv2d [2, 2, 5] 125",
        "4.activation [2, 2, 5] 0",
        "5.batch_norm [2, 2, 5] 20",
        "6.flatten [20] 0",
        "7.dropout [20] 0",
        "8.dense [4] 84",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(images(0.2).output_activation(), Some(Activation::Softmax));
}

#[test]
fn two_layers_that_do_not_fit_are_both_named() {
    let conv = LayerSpec::Conv2d(Conv2d::new(4, 3, None));
    let spec = network(&[8, 8, 1], vec![conv.clone(), dense(10, None)]);
    let error = check_error(
        &spec,
        "layer 1 (dense) takes one row of values [features], or a sequence [steps, features], but layer 0 \
         (conv2d) gives [6, 6, 4]",
    );
    assert_eq!(error.hint().as_deref(), Some("put a flatten layer between the two"));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let spec = network(&[8, 8, 1], vec![LayerSpec::Flatten(Flatten {}), conv]);
    check_error(
        &spec,
        "layer 1 (conv2d) takes an image [height, width, channels], but layer 0 (flatten) gives [64]",
    );
}

#[test]
fn answers_are_not_dropped() {
    let dropout = || LayerSpec::Dropout(Dropout { rate: 0.1 });
    for activation in [Activation::Softmax, Activation::Sigmoid] {
        let layers = vec![dense(4, Some(activation)), LayerSpec::Flatten(Flatten {}), dropout()];
        check_error(&network(&[4], layers), "layer 2 (dropout) would drop the network's own answers");
    }
    let layers = vec![dense(4, None), dropout()];
    assert_eq!(network(&[4], layers).output_activation(), None);
}

#[test]
fn nothing_and_zero_are_refused() {
    check_error(&network(&[4], vec![]), "it has no layers");
    check_error(&network(&[], vec![dense(1, None)]), "its input is []");
    check_error(&network(&[4, 0, 1], vec![dense(1, None)]), "holds a zero");
    check_error(
        &network(&[1; 4], vec![dense(1, None)]),
        "must be [features], [steps, features] or [height, width, channels]",
    );
}

#[test]
fn absurd_sizes_are_refused_before_memory_is_asked_for() {
    for spec in [
        network(&[usize::MAX], vec![dense(1, None)]),
        network(&[usize::MAX, usize::MAX, 2], vec![LayerSpec::Flatten(Flatten {})]),
        network(&[10], vec![dense(usize::MAX, None)]),
        network(&[60_000_000], vec![dense(60_000_000, None)]),
        network(&[60_000], vec![dense(60_000, None)]),
        network(&[100, 100, 3], vec![LayerSpec::Conv2d(Conv2d::new(1 << 40, 3, None))]),
    ] {
        assert_eq!(check_error(&spec, "the limit is").kind(), ErrorKind::TooLarge);
    }
}
