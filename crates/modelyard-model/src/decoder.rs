//! The second half of a variational autoencoder as a network of its own: from the numbers that `gaussian_sample`
//! draws to the answer. What it makes of numbers from the standard normal distribution are new samples (Kingma &
//! Welling 2014, section 2.1).

use crate::layers::{LayerSpec, Role};
use crate::wiring::Value;
use crate::{ModelError, Network, NetworkSpec, Node, Rng};

/// Where the hidden numbers come in: the name of an input without parts.
const LATENT: &str = "input";
const WANTED: &str = "give the network one layer { type = \"gaussian_sample\" }, and let everything behind it take only \
                      what it gives";

impl Network {
    /// The layers behind the one `gaussian_sample`, with their weights: a network from [latent] to this one's output.
    ///
    /// # Errors
    /// [`ModelError::NoDecoder`] where there is no such layer, or several, where nothing stands behind it, or where
    /// something there takes anything else.
    pub fn decoder(&self) -> Result<Self, ModelError> {
        let draws = |(_, node): &(usize, &Node)| matches!(node.layer, LayerSpec::GaussianSample(_));
        let mut drawing = self.spec().layers.iter().enumerate().filter(draws);
        let at = match (drawing.next(), drawing.count()) {
            (Some((at, _)), 0) => at,
            (None, _) => return Err(no_decoder("it has no layer gaussian_sample")),
            (Some(_), more) => return Err(no_decoder(format!("it has {} layers gaussian_sample", more + 1))),
        };
        let behind = self.behind(at)?;
        if behind.is_empty() {
            return Err(no_decoder("nothing stands behind its layer gaussian_sample"));
        }
        let layers = behind.iter().map(|&index| self.moved(index, at));
        let spec = NetworkSpec::new(self.layout().layers[at].output.clone(), layers);
        let mut decoder = Self::zeros(spec)?;
        let mut taken = Vec::new();
        for (own, &index) in behind.iter().enumerate() {
            let layer = &decoder.layout().layers[own];
            for (number, (parameter, place)) in layer.parameters.iter().zip(&layer.places).enumerate() {
                taken.push((parameter.role, place.clone(), self.array(index, number)));
            }
        }
        let (parameters, state) = decoder.weights_mut();
        for (role, place, weights) in taken {
            match role {
                Role::Trained => parameters[place].copy_from_slice(weights),
                Role::State => state[place].copy_from_slice(weights),
            }
        }
        Ok(decoder)
    }

    /// The layers that the answer comes through after layer `at`, in order.
    fn behind(&self, at: usize) -> Result<Vec<usize>, ModelError> {
        let layers = &self.layout().layers;
        let mut wanted = vec![false; layers.len()];
        wanted[layers.len() - 1] = true;
        for index in (0..layers.len()).rev().filter(|&index| index != at) {
            if !wanted[index] {
                continue;
            }
            for &source in &layers[index].sources {
                match source {
                    Value::Layer(before) => wanted[before] = true,
                    Value::Input(_) => {
                        let taker = self.spec().value_text(Value::Layer(index));
                        let text = format!(
                            "its answer depends on {taker}, which takes the network's input past gaussian_sample"
                        );
                        return Err(no_decoder(text));
                    }
                }
            }
        }
        Ok((at + 1..layers.len()).filter(|&index| wanted[index]).collect())
    }

    /// A layer as it stands in a network that begins behind layer `at`.
    fn moved(&self, index: usize, at: usize) -> Node {
        let name = |source: &Value| match source {
            Value::Layer(before) if *before != at => layer_name(*before),
            _ => LATENT.to_owned(),
        };
        let from = self.layout().layers[index].sources.iter().map(name).collect();
        Node { name: Some(layer_name(index)), from, ..self.spec().layers[index].clone() }
    }
}

fn layer_name(index: usize) -> String {
    format!("layer{index}")
}

fn no_decoder(message: impl Into<String>) -> ModelError {
    ModelError::NoDecoder { message: message.into(), hint: WANTED }
}

/// Numbers from the standard normal distribution; the same seed gives the same ones.
pub fn standard_normal(seed: u64, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| rng.normal()).collect()
}
