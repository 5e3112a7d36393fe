//! Gaussian sample: the middle of a variational autoencoder (Kingma & Welling 2014). While training, numbers are
//! drawn from the normal distributions that the encoder describes, and the distance of those to the standard
//! normal distribution is added to the loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Pass, Place, Purpose, Tape};
use crate::rng::mix;

/// Takes a row [2 · latent], the means and then the logarithms of the variances, and gives [latent]: while
/// training mean + deviation · noise, in inference the mean. Adds `beta` times the Kullback-Leibler divergence to
/// the loss of each row, by the row's weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GaussianSample {
    /// What the divergence weighs (default 1). `mse` is a mean over the outputs: 2 / (number of outputs) gives
    /// the evidence lower bound for values of variance 1.
    #[serde(default = "default_beta")]
    pub beta: f32,
}

fn default_beta() -> f32 {
    1.0
}

impl Layer for GaussianSample {
    fn kind(&self) -> &'static str {
        "gaussian_sample"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if !(self.beta >= 0.0 && self.beta.is_finite()) {
            return Err(Misfit::field("beta", format!("must be at least 0, it is {}", self.beta)));
        }
        match input {
            [values] if values.is_multiple_of(2) => Ok(vec![values / 2]),
            _ => Err(Misfit::Shape {
                wanted: "one row of an even number of values, means and log variances".to_owned(),
                hint: "put a dense layer with twice the latent units before it".to_owned(),
            }),
        }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(GaussianSampleOp {
            latent: place.input[0] / 2,
            beta: self.beta,
            purpose: place.purpose,
            layer: place.index as u64,
            divergence: 0.0,
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.first_values(layer.input[0] / 2);
    }
}

/// The noise is a hash of (seed, step, layer, value's place in the mini-batch), as dropout's masks are: it does
/// not depend on how the mini-batch is sharded.
struct GaussianSampleOp {
    latent: usize,
    beta: f32,
    purpose: Purpose,
    layer: u64,
    /// The divergences of this shard's rows, each by its share of the mini-batch.
    divergence: f64,
}

/// A number from the standard normal distribution (Box & Muller 1958).
fn normal(hash: u64) -> f32 {
    const UNIT: f32 = 1.0 / (1u64 << 24) as f32;
    let radius = ((hash >> 40) as f32 + 1.0) * UNIT;
    let turn = (hash & 0xff_ffff) as f32 * UNIT;
    (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * turn).cos()
}

impl Op for GaussianSampleOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let key = mix(pass.key ^ mix(self.layer + 1));
        let mut place = (pass.first_row * self.latent) as u64;
        self.divergence = 0.0;
        let rows = input.chunks_exact(2 * self.latent).zip(output.chunks_exact_mut(self.latent));
        for (at, (row, output)) in rows.enumerate() {
            let (means, log_variances) = row.split_at(self.latent);
            if self.purpose == Purpose::Inference {
                output.copy_from_slice(means);
                continue;
            }
            let mut divergence = 0.0;
            for ((output, &mean), &log_variance) in output.iter_mut().zip(means).zip(log_variances) {
                *output = mean + (0.5 * log_variance).exp() * normal(mix(key ^ place));
                let double = mean * mean + log_variance.exp() - log_variance - 1.0;
                divergence += 0.5 * f64::from(double);
                place += 1;
            }
            self.divergence += divergence * f64::from(pass.shares.of(pass.first_row + at));
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let rows = tape.input.chunks_exact(2 * self.latent).zip(d_input.chunks_exact_mut(2 * self.latent));
        let outputs = tape.output.chunks_exact(self.latent).zip(tape.d_output.chunks_exact(self.latent));
        for (number, ((row, slopes), (output, delta))) in rows.zip(outputs).enumerate() {
            let scale = self.beta * pass.shares.of(pass.first_row + number);
            for at in 0..self.latent {
                let (mean, log_variance) = (row[at], row[self.latent + at]);
                slopes[at] = delta[at] + scale * mean;
                // Deviation times noise is what the sample is away from the mean.
                slopes[self.latent + at] =
                    0.5 * (delta[at] * (output[at] - mean) + scale * (log_variance.exp() - 1.0));
            }
        }
    }

    fn penalty(&self) -> f64 {
        f64::from(self.beta) * self.divergence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        contract::check(&LayerSpec::GaussianSample(GaussianSample { beta: 0.0 }), &[6]);
        contract::check(&LayerSpec::GaussianSample(GaussianSample { beta: 0.7 }), &[8]);
    }

    #[test]
    fn the_noise_is_normal() {
        let noise: Vec<f64> = (0..20_000u64).map(|at| f64::from(normal(mix(at)))).collect();
        let moment = |power: i32| noise.iter().map(|x| x.powi(power)).sum::<f64>() / noise.len() as f64;
        assert!(moment(1).abs() < 0.03, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.03, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.2, "{}", moment(4));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = |beta| LayerSpec::GaussianSample(GaussianSample { beta });
        contract::check_error(
            layer(1.0),
            &[7],
            "takes one row of an even number of values",
            "twice the latent",
        );
        contract::check_error(layer(1.0), &[4, 2], "takes one row of an even number", "dense layer");
        contract::check_error(layer(-1.0), &[4], "beta must be at least 0", "");
    }
}
