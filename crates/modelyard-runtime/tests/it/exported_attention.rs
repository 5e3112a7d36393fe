//! Networks over sequences with attention must answer alike on the native engine, rten and ONNX Runtime.

use serde_json::json;

use crate::exported::check;

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
