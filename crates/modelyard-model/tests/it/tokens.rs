//! Numbers that an embedding has no row for are refused where they come in.

use std::sync::Arc;

use modelyard_model::{Embedding, Forward, LayerSpec, ModelError, Network};

use crate::{dense, network};

#[test]
fn a_number_that_is_no_token_is_refused_with_its_place() {
    let layers = vec![LayerSpec::Embedding(Embedding::new(5, 3)), dense(2, None)];
    let spec = network(&[4], layers);
    let inputs = spec.token_inputs().expect("it fits");
    assert_eq!((inputs[0].layer, inputs[0].tokens, inputs[0].places.clone()), (0, 5, 0..4));
    let mut forward = Forward::new(&Arc::new(Network::init(spec, 1).expect("it fits")));
    let mut run = |rows: [f32; 8]| forward.run(&rows, 2, &mut Vec::new());
    assert!(run([0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0]).is_ok());
    for wrong in [5.0, -1.0, 2.5, 1e30, f32::NAN, f32::INFINITY] {
        let error = run([0.0, 1.0, 2.0, 3.0, 4.0, wrong, 0.0, 0.0]).expect_err("no token");
        assert!(matches!(error, ModelError::Token { layer: 0, row: 1, step: 1, tokens: 5, .. }), "{error}");
        assert!(error.to_string().starts_with("row 1, step 1: "), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("from 0 to 4")), "{error}");
    }
}
