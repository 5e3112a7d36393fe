//! Continuing sequences: what a generator says is what the network expects, and what cannot be continued.

use std::sync::Arc;

use modelyard_model::{
    Activation, Concatenate, Dropout, Embedding, Forward, Generator, LayerNorm, LayerSpec,
    MultiHeadAttention, Network, NetworkSpec, Node, PositionalEncoding, PositionalKind, Reshape, Sampler,
    Sampling, TransformerEncoder,
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

/// A network with every layer that goes one step at a time.
fn decoder_only(kind: PositionalKind, norm_first: bool) -> Arc<Network> {
    let block = TransformerEncoder { causal: true, norm_first, ..TransformerEncoder::new(2, 12) };
    let attention = MultiHeadAttention { causal: true, ..MultiHeadAttention::new(3, 5) };
    let layers = vec![
        Node::from(LayerSpec::Embedding(Embedding::new(TOKENS, 8))),
        LayerSpec::PositionalEncoding(PositionalEncoding { kind }).into(),
        LayerSpec::Dropout(Dropout { rate: 0.1 }).into(),
        Node::from(LayerSpec::TransformerEncoder(block)).named("block"),
        LayerSpec::MultiHeadAttention(attention).into(),
        Node::from(LayerSpec::LayerNorm(LayerNorm::default())).named("norm"),
        Node::from(LayerSpec::Concatenate(Concatenate::default())).after(["block", "norm"]),
        dense(TOKENS, Some(Activation::Softmax)).into(),
    ];
    Arc::new(Network::init(NetworkSpec::new(vec![STEPS], layers), 4).expect("the layers fit"))
}

#[test]
fn what_is_kept_of_earlier_steps_changes_nothing() {
    for (kind, norm_first) in [(PositionalKind::Sine, true), (PositionalKind::Learned, false)] {
        let network = decoder_only(kind, norm_first);
        let mut generator = Generator::new(&network).expect("a language model");
        let mut forward = Forward::new(&network);
        for prompt in [&[3, 1][..], &[2, 5, 4, 8]] {
            generator.start(prompt).expect("a prompt that can be");
            let (mut said, mut sampler) = (prompt.to_vec(), sampler(1.0, 7));
            for _ in 0..2 * STEPS {
                let seen = &said[said.len().saturating_sub(STEPS)..];
                let mut input = vec![0.0; STEPS];
                input.iter_mut().zip(seen).for_each(|(to, &token)| *to = token as f32);
                let mut output = Vec::new();
                forward.run(&input, 1, &mut output).expect("one row");
                let whole = &output[(seen.len() - 1) * TOKENS..][..TOKENS];
                for _ in 0..2 {
                    let kept = generator.logits().expect("a prompt was given");
                    let near = |(a, b): (&f32, &f32)| (a - b.ln()).abs() < 1e-5;
                    assert!(kept.iter().zip(whole).all(near), "{kept:?} is not ln {whole:?} after {said:?}");
                }
                said.push(generator.next_token(&mut sampler).expect("a token"));
            }
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
