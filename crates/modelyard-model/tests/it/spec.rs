//! Declarations: shapes, counts, and what is said when they cannot be.

use modelyard_model::{
    Activation, Conv2d, Dropout, Engine, Flatten, LayerSpec, LossSpec, MeanSquaredError, ModelError, Network,
    NetworkSpec,
};
use modelyard_types::ErrorKind;
use serde_json::json;

use crate::{config, dense, images, network};

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

/// Layers whose inputs, outputs and weights are small, and what they need between them is not.
#[test]
fn what_layers_keep_for_themselves_is_counted_before_memory_is_asked_for() {
    let layer = |layer: serde_json::Value| serde_json::from_value::<LayerSpec>(layer).expect("a layer");
    let recurrent = |kind: &str| layer(json!({ "type": kind, "units": 1 << 18 }));
    let attention = json!({ "type": "multi_head_attention", "num_heads": 1, "key_dim": 1 });
    let encoder = json!({ "type": "transformer_encoder", "num_heads": 1, "intermediate_dim": 1 << 20 });
    let each = json!({ "type": "time_distributed", "layer": attention });
    let window = json!({ "type": "conv2d", "filters": 1, "kernel_size": 2000 });
    let separable =
        json!({ "type": "separable_conv2d", "filters": 1, "kernel_size": 1, "depth_multiplier": 4096 });
    for (input, layers) in [
        (vec![1_000_000, 1], vec![layer(attention.clone())]),
        (vec![100_000, 1], vec![layer(encoder)]),
        (vec![1000, 30_000, 1], vec![layer(each)]),
        (vec![4000, 4000, 1], vec![layer(window)]),
        (vec![4000, 4000, 1], vec![layer(separable)]),
        (vec![100, 1], vec![recurrent("lstm")]),
        (vec![15_000, 1], (0..40).map(|_| layer(attention.clone())).collect()),
    ] {
        let spec = network(&input, layers);
        let error = check_error(&spec, "the limit is");
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        let document = json!({ "format_version": 2, "network": spec }).to_string();
        let error = Network::from_parts(document.as_bytes(), &no_weights()).expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
}

/// A `weights.safetensors` without a tensor.
fn no_weights() -> Vec<u8> {
    [&2u64.to_le_bytes()[..], b"{}"].concat()
}

#[test]
fn training_counts_what_layers_keep_for_each_row() {
    let layers = json!([
        { "type": "multi_head_attention", "num_heads": 16, "key_dim": 1 },
        { "type": "flatten" },
        { "type": "dense", "units": 1 },
    ]);
    let spec: NetworkSpec =
        serde_json::from_value(json!({ "input": [2000, 2], "layers": layers })).expect("");
    let network = Network::init(spec, 1).expect("one row fits");
    let loss = LossSpec::MeanSquaredError(MeanSquaredError {});
    let Err(error) = Engine::new(network, config(loss, 1, 512)) else { panic!("130 GB of shares") };
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
}

#[test]
fn recurrent_layers_of_absurdly_many_units_are_refused() {
    for units in [1usize << 21, 1 << 63, usize::MAX] {
        for kind in ["lstm", "gru", "simple_rnn"] {
            let inner = json!({ "type": kind, "units": units });
            for layer in [inner.clone(), json!({ "type": "bidirectional", "layer": inner })] {
                let layer: LayerSpec = serde_json::from_value(layer).expect("a layer");
                check_error(&network(&[4, 3], vec![layer]), "units must be at most 1048576");
            }
        }
    }
}
