//! Networks over sequences with attention must answer alike on the native engine, rten and ONNX Runtime.

use serde_json::json;

use crate::exported::check;
use crate::recurrent::check_tokens;

#[test]
fn layers_over_sequences_agree() {
    let layers = json!([
        { "type": "dense", "units": 8, "activation": "gelu" },
        { "type": "layer_norm" },
        { "type": "positional_encoding" },
        { "type": "batch_norm" },
        { "type": "activation", "activation": "tanh" },
        { "type": "positional_encoding", "kind": "learned" },
        { "type": "dropout", "rate": 0.5 },
        { "type": "dense", "units": 3, "use_bias": false },
        { "type": "activation", "activation": "softmax" },
        { "type": "flatten" },
        { "type": "dense", "units": 2 },
    ]);
    check("over steps", &[6, 5], &layers);
    let images = json!([
        { "type": "conv2d", "filters": 4, "kernel_size": 2 },
        { "type": "layer_norm" },
        { "type": "flatten" },
        { "type": "layer_norm" },
    ]);
    check("layer norm of images", &[6, 5, 2], &images);
}

#[test]
fn attention_agrees() {
    for causal in [false, true] {
        let layers = json!([
            { "type": "multi_head_attention", "num_heads": 2, "key_dim": 4, "causal": causal },
            { "type": "multi_head_attention", "num_heads": 3, "key_dim": 2, "causal": causal, "use_bias": false },
        ]);
        check("attention", &[7, 5], &layers);
    }
}

#[test]
fn encoder_blocks_agree() {
    for (norm_first, activation) in [(false, "relu"), (true, "gelu")] {
        let block = json!({
            "type": "transformer_encoder", "num_heads": 2, "intermediate_dim": 12, "dropout": 0.1,
            "norm_first": norm_first, "activation": activation, "causal": norm_first,
        });
        let layers = json!([
            { "type": "dense", "units": 8 },
            { "type": "positional_encoding" },
            block,
            block,
            { "type": "flatten" },
            { "type": "dense", "units": 3, "activation": "softmax" },
        ]);
        check(activation, &[6, 3], &layers);
    }
}

#[test]
fn decoder_blocks_agree() {
    for norm_first in [false, true] {
        let layers = json!([
            { "type": "reshape", "target_shape": [6, 4], "name": "target" },
            { "type": "reshape", "target_shape": [3, 8], "from": "input", "name": "source" },
            {
                "type": "transformer_decoder", "num_heads": 2, "intermediate_dim": 12, "norm_first": norm_first,
                "from": ["target", "source"],
            },
            { "type": "dense", "units": 3 },
        ]);
        check("decoder", &[24], &layers);
    }
}

#[test]
fn attention_leaves_padding_out_alike() {
    let embedding = |name: &str, masked: bool| {
        json!({
            "type": "embedding", "input_dim": 7, "output_dim": 4, "mask_zero": masked, "name": name, "from": "input",
        })
    };
    for causal in [false, true] {
        let attention =
            json!({ "type": "multi_head_attention", "num_heads": 2, "key_dim": 3, "causal": causal });
        check_tokens("attention", &json!([embedding("a", true), attention]), None);
        let encoder =
            json!({ "type": "transformer_encoder", "num_heads": 2, "intermediate_dim": 6, "causal": causal });
        check_tokens("encoder", &json!([embedding("a", true), encoder, encoder]), None);
    }
    for masked in [[true, true], [true, false], [false, true]] {
        let layers = json!([
            embedding("target", masked[0]),
            embedding("source", masked[1]),
            {
                "type": "transformer_decoder", "num_heads": 2, "intermediate_dim": 6, "from": ["target", "source"],
            },
        ]);
        check_tokens(&format!("decoder, masks {masked:?}"), &layers, None);
    }
}

#[test]
fn layers_over_each_step_agree() {
    let layers = json!([
        { "type": "time_distributed", "layer": { "type": "dense", "units": 6, "activation": "tanh" } },
        { "type": "time_distributed", "layer": { "type": "reshape", "target_shape": [3, 2] } },
        { "type": "time_distributed", "layer": { "type": "flatten" } },
        { "type": "time_distributed", "layer": { "type": "batch_norm" } },
        { "type": "reshape", "target_shape": [2, 4, 3, 1] },
        { "type": "time_distributed", "layer": { "type": "conv2d", "filters": 2, "kernel_size": 2 } },
        { "type": "flatten" },
    ]);
    check("each step", &[4, 5], &layers);
    let images = json!([
        { "type": "reshape", "target_shape": [3, 4, 3, 3] },
        { "type": "batch_norm" },
        { "type": "group_norm", "groups": 3 },
        { "type": "time_distributed", "layer": { "type": "conv2d", "filters": 4, "kernel_size": 2 } },
        { "type": "group_norm", "groups": 2 },
        { "type": "batch_norm" },
        { "type": "activation", "activation": "softmax" },
        { "type": "layer_norm" },
        { "type": "flatten" },
    ]);
    check("images of each step", &[12, 9], &images);
}
