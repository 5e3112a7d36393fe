//! Padding in networks that are graphs: what is left out does not depend on the order in which values are named.

use std::sync::Arc;

use modelyard_model::{Forward, Network, NetworkSpec};
use serde_json::{Value, json};

/// Two rows of tokens [3], or three.
fn spec(layers: &Value) -> NetworkSpec {
    let parts = json!([{ "name": "first", "shape": [3] }, { "name": "second", "shape": [3] }]);
    serde_json::from_value(json!({ "input": [6], "inputs": parts, "layers": layers })).expect("a network")
}

fn embedding(name: &str, from: &str, mask_zero: bool) -> Value {
    json!({ "type": "embedding", "input_dim": 5, "output_dim": 4, "mask_zero": mask_zero, "name": name, "from": from })
}

fn answer(layers: &Value, row: [f32; 6]) -> Vec<f32> {
    let network = Arc::new(Network::init(spec(layers), 3).expect("it fits"));
    let mut answer = Vec::new();
    Forward::new(&network).run(&row, 1, &mut answer).expect("one row");
    answer
}

#[test]
fn one_mask_counts_whichever_input_it_comes_with() {
    for join in ["add", "multiply"] {
        let layers = |from: [&str; 2]| {
            json!([
                embedding("a", "first", true),
                embedding("b", "second", false),
                { "type": join, "from": from },
                { "type": "lstm", "units": 3 },
            ])
        };
        let row = [1.0, 2.0, 0.0, 3.0, 1.0, 4.0];
        let given = answer(&layers(["a", "b"]), row);
        assert_eq!(given, answer(&layers(["b", "a"]), row));
        // The last step is padding: what stands there in the other input counts for nothing.
        let other = [1.0, 2.0, 0.0, 3.0, 1.0, 2.0];
        assert_eq!(given, answer(&layers(["a", "b"]), other));
    }
}

#[test]
fn features_joined_along_the_last_axis_keep_their_mask() {
    for axis in [-1, 2] {
        let layers = json!([
            embedding("a", "first", true),
            embedding("b", "second", false),
            { "type": "concatenate", "from": ["b", "a"], "axis": axis },
            { "type": "global_avg_pool1d" },
        ]);
        let given = answer(&layers, [1.0, 2.0, 0.0, 3.0, 1.0, 4.0]);
        assert_eq!(given, answer(&layers, [1.0, 2.0, 0.0, 3.0, 1.0, 2.0]), "axis {axis}");
    }
}

fn check_error(layers: &Value, wanted: &str, hint: &str) {
    let error = spec(layers).shapes().expect_err(wanted);
    assert!(error.to_string().contains(wanted), "{error}");
    assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
}

#[test]
fn paddings_that_differ_are_not_joined() {
    for (from, wanted) in [
        (["a", "b"], "the input part 'first' and the input part 'second' pad differently"),
        (["b", "a"], "the input part 'second' and the input part 'first' pad differently"),
    ] {
        for join in
            [json!({ "type": "add" }), json!({ "type": "multiply" }), json!({ "type": "concatenate" })]
        {
            let mut join = join;
            join["from"] = json!(from);
            let layers = json!([
                embedding("a", "first", true),
                embedding("b", "second", true),
                join,
                { "type": "lstm", "units": 3 },
            ]);
            check_error(&layers, wanted, "mask_zero in one of the embeddings only");
        }
    }
}

#[test]
fn padding_does_not_come_to_stand_in_the_middle() {
    for axis in [1, -2] {
        let layers = json!([
            embedding("a", "first", true),
            embedding("b", "second", true),
            { "type": "concatenate", "from": ["a", "b"], "axis": axis },
            { "type": "lstm", "units": 3 },
        ]);
        let wanted = "layer 2 (concatenate): axis lays sequences end to end of which the input part 'first' has padding";
        check_error(&layers, wanted, "before one embedding");
    }
}

#[test]
fn a_decoder_leaves_the_padding_of_both_inputs_out() {
    let layers = json!([
        embedding("a", "first", true),
        embedding("b", "second", false),
        { "type": "add", "from": ["a", "b"], "name": "both" },
        { "type": "transformer_decoder", "num_heads": 2, "intermediate_dim": 6, "from": ["both", "both"] },
        { "type": "reshape", "target_shape": [12] },
    ]);
    // The padding stands first, where later steps would see it; only the second part changes there.
    let last_steps = |at_padding| answer(&layers, [0.0, 2.0, 3.0, at_padding, 1.0, 4.0])[4..].to_vec();
    assert_eq!(last_steps(1.0), last_steps(3.0));
}
