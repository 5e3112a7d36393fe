//! Continuing sequences: what a generator says is what the network expects, and what cannot be continued.

use std::sync::Arc;

use modelyard_model::{
    Activation, Forward, Generator, LayerSpec, Network, PositionalEncoding, Reshape, Sampler, Sampling,
    TransformerEncoder,
};

use crate::{dense, network};

const STEPS: usize = 6;
const TOKENS: usize = 9;

/// A language model of one block; token numbers go in as they are.
fn language_model(causal: bool, ends_in: Option<Activation>) -> Arc<Network> {
    let layers = vec![
        LayerSpec::Reshape(Reshape { target_shape: vec![-1, 1] }),
        dense(8, Some(Activation::Tanh)),
        LayerSpec::PositionalEncoding(PositionalEncoding::default()),
        LayerSpec::TransformerEncoder(TransformerEncoder { causal, ..TransformerEncoder::new(2, 16) }),
        dense(TOKENS, ends_in),
    ];
    Arc::new(Network::init(network(&[STEPS], layers), 4).expect("the layers fit"))
}

fn sampler(temperature: f32, seed: u64) -> Sampler {
    Sampler::new(Sampling { temperature, ..Sampling::default() }, &[0], seed).expect("settings that can work")
}

fn continued(network: &Arc<Network>, prompt: &[u32], sampler: &mut Sampler, count: usize) -> Vec<u32> {
    let mut generator = Generator::new(network).expect("a language model");
    generator.start(prompt).expect("a prompt that can be");
    (0..count).map(|_| generator.next_token(sampler).expect("a token")).collect()
}

#[test]
fn each_token_is_the_likeliest_after_those_before() {
    for ends_in in [None, Some(Activation::Softmax)] {
        let network = language_model(true, ends_in);
        let mut forward = Forward::new(&network);
        let mut said = vec![3, 1, 4];
        let got = continued(&network, &said, &mut sampler(0.0, 1), 9);
        for &token in &got {
            let seen = &said[said.len().saturating_sub(STEPS)..];
            let mut input = vec![7.0; STEPS];
            input.iter_mut().zip(seen).for_each(|(to, &token)| *to = token as f32);
            let mut output = Vec::new();
            forward.run(&input, 1, &mut output).expect("one row");
            let expected = &output[(seen.len() - 1) * TOKENS..][..TOKENS];
            let likeliest = (1..TOKENS).max_by(|&a, &b| expected[a].total_cmp(&expected[b]));
            assert_eq!(Some(token as usize), likeliest, "after {said:?}");
            said.push(token);
        }
    }
}

#[test]
fn the_seed_decides_and_long_prompts_are_cut() {
    let network = language_model(true, None);
    let draw = |prompt: &[u32], seed| continued(&network, prompt, &mut sampler(1.0, seed), 30);
    assert_eq!(draw(&[3, 1], 5), draw(&[3, 1], 5));
    assert_ne!(draw(&[3, 1], 5), draw(&[3, 1], 6));
    assert_eq!(draw(&[8, 8, 2, 3, 4, 5, 6, 7], 5), draw(&[2, 3, 4, 5, 6, 7], 5));
    assert!(!draw(&[3, 1], 5).contains(&0), "an excluded token");
}

#[test]
fn what_cannot_be_continued_is_said() {
    let error =
        |network: &Arc<Network>| Generator::new(network).err().expect("no language model").to_string();
    let looks_ahead = error(&language_model(false, None));
    assert!(looks_ahead.contains("sees the tokens that it is to guess"), "{looks_ahead}");
    let plain = Arc::new(Network::init(network(&[4], vec![dense(3, None)]), 1).expect("it fits"));
    assert!(error(&plain).contains("goes from [4] to [3], not from [steps] to [steps, tokens]"));
    let mut generator = Generator::new(&language_model(true, None)).expect("a language model");
    assert!(generator.next_token(&mut sampler(1.0, 1)).is_err(), "nothing was started");
    let prompt = |generator: &mut Generator, tokens: &[u32]| {
        generator.start(tokens).expect_err("no prompt").to_string()
    };
    assert!(prompt(&mut generator, &[]).contains("the prompt is empty"));
    let unknown = prompt(&mut generator, &[1, 9]);
    assert!(unknown.contains("token 1 of the prompt is 9, the network knows those below 9"), "{unknown}");
}
