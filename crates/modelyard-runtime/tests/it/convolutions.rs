//! Layers over series and images, written as ONNX: they must answer alike on every runtime.

use serde_json::json;

use crate::exported::check;

#[test]
fn convolutions_of_series_agree() {
    for padding in ["valid", "same", "causal"] {
        let layers = json!([
            { "type": "conv1d", "filters": 5, "kernel_size": 3, "padding": padding, "activation": "relu" },
            { "type": "conv1d", "filters": 4, "kernel_size": 2, "dilation_rate": 3, "padding": padding },
            { "type": "conv1d", "filters": 6, "kernel_size": 3, "strides": 2, "padding": padding, "use_bias": false },
            { "type": "flatten" },
            { "type": "dense", "units": 3 },
        ]);
        check(padding, &[23, 2], &layers);
    }
}

#[test]
fn pooling_of_series_agrees() {
    for padding in ["valid", "same"] {
        for pool in ["max_pool1d", "avg_pool1d"] {
            let layers = json!([
                { "type": pool, "padding": padding },
                { "type": pool, "pool_size": 3, "strides": 1, "padding": padding },
                { "type": "activation", "activation": "tanh" },
            ]);
            check(pool, &[13, 3], &layers);
        }
    }
    for pool in ["global_max_pool1d", "global_avg_pool1d"] {
        check(pool, &[13, 3], &json!([{ "type": pool }, { "type": "dense", "units": 2 }]));
    }
    check("zeros around a series", &[5, 3], &json!([{ "type": "zero_pad1d", "padding": [2, 1] }]));
}

#[test]
fn convolutions_channel_by_channel_agree() {
    for padding in ["valid", "same"] {
        let layers = json!([
            { "type": "depthwise_conv2d", "kernel_size": 3, "padding": padding, "activation": "silu" },
            { "type": "depthwise_conv2d", "kernel_size": [2, 3], "depth_multiplier": 2, "padding": padding },
            { "type": "separable_conv2d", "filters": 5, "kernel_size": 3, "strides": 2, "padding": padding },
            { "type": "global_avg_pool2d" },
            { "type": "dense", "units": 3 },
        ]);
        check(padding, &[11, 13, 3], &layers);
    }
}

#[test]
fn windows_with_gaps_agree() {
    for padding in ["valid", "same"] {
        let layers = json!([
            { "type": "conv2d", "filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": padding },
            { "type": "conv2d", "filters": 16, "kernel_size": 2, "dilation_rate": [1, 3], "padding": padding },
            { "type": "depthwise_conv2d", "kernel_size": 2, "dilation_rate": [2, 1], "padding": padding },
            { "type": "separable_conv2d", "filters": 3, "kernel_size": 2, "dilation_rate": 2, "padding": padding },
            { "type": "global_avg_pool2d" },
        ]);
        check(padding, &[11, 13, 3], &layers);
    }
}

#[test]
fn growing_images_agree() {
    for padding in ["valid", "same"] {
        let layers = json!([
            { "type": "conv2d_transpose", "filters": 4, "kernel_size": 3, "strides": 2, "padding": padding },
            { "type": "conv2d_transpose", "filters": 3, "kernel_size": 2, "strides": [1, 3], "padding": padding },
            { "type": "zero_pad2d", "padding": [[1, 0], [2, 3]] },
        ]);
        check(padding, &[4, 5, 2], &layers);
    }
    for interpolation in ["nearest", "bilinear"] {
        let layers = json!([{ "type": "upsample2d", "size": [2, 3], "interpolation": interpolation }]);
        check(interpolation, &[4, 5, 2], &layers);
    }
    check("global maximum", &[4, 5, 2], &json!([{ "type": "global_max_pool2d" }]));
}

#[test]
fn normalised_groups_agree() {
    for input in [&[4, 5, 6][..], &[7, 6], &[12]] {
        check("group norm", input, &json!([{ "type": "group_norm", "groups": 3 }]));
    }
}
