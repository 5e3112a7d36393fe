//! Continues sequences of tokens, with a network that tells at each step what it expects at the next.

use std::sync::Arc;

use crate::sampling::Sampler;
use crate::token_steps::TokenSteps;
use crate::tokens::token_inputs;
use crate::{Activation, Forward, ModelError, Network};

/// A language model at work on one thread: a network from [steps] token numbers to [steps, tokens].
///
/// A window of the last tokens is what the network sees. A Transformer's decoder takes each token in as one step and
/// keeps the keys and values of those before; once the window is full it slides, all tokens stand at other steps, and
/// each costs a run over the whole window. So does every token of other networks: what is still empty of the window is
/// padded with 0 on the right, where a causal network does not look.
pub struct Generator {
    forward: Forward,
    steps: usize,
    tokens: usize,
    gives_probabilities: bool,
    /// What the network has seen and said so far, at most `steps` of it.
    window: Vec<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Where the network goes one step at a time: what keeps the steps before.
    token_steps: Option<TokenSteps>,
    /// How many tokens of the window lie in there.
    taken_in: usize,
    /// Whether tokens have left the window, so that all others stand at other steps than they did.
    has_slid: bool,
    /// What is expected after the last token that was taken in.
    logits: Vec<f32>,
}

impl Generator {
    /// Prepares a network.
    ///
    /// # Errors
    /// Where its input is not [steps], its output not [steps, tokens], or where what it expects after a step
    /// depends on later ones.
    pub fn new(network: &Arc<Network>) -> Result<Self, ModelError> {
        let (input, output) = (&network.layout().input, &network.layout().output);
        let (&[steps], &[given, tokens]) = (input.as_slice(), output.as_slice()) else {
            let message =
                format!("the network goes from {input:?} to {output:?}, not from [steps] to [steps, tokens]");
            return Err(ModelError::sequence(message, None));
        };
        if given != steps {
            let message = format!("the network takes {steps} steps and gives {given}");
            return Err(ModelError::sequence(message, None));
        }
        let mut generator = Self {
            forward: Forward::new(network),
            steps,
            tokens,
            gives_probabilities: network.spec().output_activation() == Some(Activation::Softmax),
            window: Vec::with_capacity(steps),
            input: vec![0.0; steps],
            output: Vec::new(),
            token_steps: TokenSteps::new(network),
            taken_in: 0,
            has_slid: false,
            logits: vec![0.0; tokens],
        };
        generator.check_causal()?;
        Ok(generator)
    }

    /// How many tokens the network sees at once.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// How many different tokens the network knows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Forgets what was before and takes a prompt in; of a longer one than the network sees, the end.
    ///
    /// # Errors
    /// Where the prompt is empty or holds a token that the network does not know.
    pub fn start(&mut self, prompt: &[u32]) -> Result<(), ModelError> {
        if prompt.is_empty() {
            return Err(ModelError::sequence("the prompt is empty", Some("give at least one token")));
        }
        if let Some(at) = prompt.iter().position(|&token| token as usize >= self.tokens) {
            let known = self.tokens;
            let message =
                format!("token {at} of the prompt is {}, the network knows those below {known}", prompt[at]);
            return Err(ModelError::sequence(message, None));
        }
        self.window.clear();
        (self.taken_in, self.has_slid) = (0, false);
        let seen = &prompt[prompt.len().saturating_sub(self.steps)..];
        self.window.extend(seen.iter().map(|&token| token as f32));
        Ok(())
    }

    /// Draws the next token and takes it in.
    ///
    /// # Errors
    /// Where nothing was started, or the network gives no finite number.
    pub fn next_token(&mut self, sampler: &mut Sampler) -> Result<u32, ModelError> {
        let token = sampler.sample(self.logits()?)?;
        if self.window.len() == self.steps {
            self.window.remove(0);
            self.has_slid = true;
        }
        self.window.push(token as f32);
        Ok(token)
    }

    /// What the network expects after all that was taken in: one logit for each token.
    ///
    /// # Errors
    /// Where nothing was started.
    pub fn logits(&mut self) -> Result<&[f32], ModelError> {
        let Some(last) = self.window.len().checked_sub(1) else {
            return Err(ModelError::sequence("nothing was started", Some("start with a prompt")));
        };
        match &mut self.token_steps {
            // A prompt that fills the window slides with the next token: steps would be kept in vain.
            Some(token_steps) if !self.has_slid && (self.taken_in > 0 || self.window.len() < self.steps) => {
                if self.taken_in > last {
                    return Ok(&self.logits);
                }
                for at in self.taken_in..=last {
                    let token = (at, self.window[at]);
                    token_steps.step(self.forward.network(), token, &mut self.logits)?;
                }
                self.taken_in = last + 1;
            }
            _ => {
                let (seen, empty) = self.input.split_at_mut(self.window.len());
                seen.copy_from_slice(&self.window);
                empty.fill(0.0);
                self.forward.run(&self.input, 1, &mut self.output)?;
                self.logits.copy_from_slice(&self.output[last * self.tokens..][..self.tokens]);
            }
        }
        if self.gives_probabilities {
            self.logits.iter_mut().for_each(|value| *value = value.ln());
        }
        Ok(&self.logits)
    }

    /// Compares what is expected after the first step for two different second ones.
    fn check_causal(&mut self) -> Result<(), ModelError> {
        let mut expected = Vec::new();
        // The first and the last token that both the input and the output know.
        let known = token_inputs(self.forward.network().spec(), self.forward.network().layout());
        let last = known.iter().map(|input| input.tokens).chain([self.tokens]).min().unwrap_or(1) - 1;
        for second in [0.0, last as f32] {
            self.input.fill(second);
            self.input[0] = 0.0;
            self.forward.run(&self.input, 1, &mut self.output)?;
            expected.push(self.output[..self.tokens].to_vec());
        }
        let differs = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-4 * (1.0 + a.abs());
        if expected[0].iter().zip(&expected[1]).any(differs) {
            let message = "the network sees the tokens that it is to guess";
            return Err(ModelError::sequence(message, Some("set causal = true in all attention")));
        }
        Ok(())
    }
}
