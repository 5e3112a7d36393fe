//! Log-mel features: how loud each of some bands is, as the ear spaces them, in each of some short times.

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use super::Sound;
use crate::error::Problem;
use crate::transform::LogMel;

/// Below this a power counts as silence; its logarithm is taken instead of that of nothing.
const POWER_MIN: f32 = 1e-10;

/// Everything that is the same for each sound: the window, the bands, the transform.
#[derive(Clone)]
pub(crate) struct MelPlan {
    settings: LogMel,
    window: Vec<f32>,
    bands: Vec<Band>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl fmt::Debug for MelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// One band: the weights of the frequencies from `first` on.
#[derive(Clone)]
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl MelPlan {
    /// The plan for settings that [`LogMel::check`] has passed.
    pub(crate) fn new(settings: &LogMel) -> Self {
        let window = |at: usize| (0.5 - 0.5 * (2.0 * PI * at as f64 / settings.n_fft as f64).cos()) as f32;
        Self {
            window: (0..settings.n_fft).map(window).collect(),
            bands: bands(settings),
            transform: RealFftPlanner::new().plan_fft_forward(settings.n_fft),
            settings: settings.clone(),
        }
    }

    /// Numbers a sound: frames × bands.
    pub(crate) fn width(&self) -> usize {
        let [frames, bands] = self.settings.shape();
        frames * bands
    }

    /// Appends the features of a WAV file, frame by frame.
    pub(crate) fn hear(&self, wav: &[u8], out: &mut Vec<f32>) -> Result<(), Problem> {
        // A little more than is used, so that resampling has what comes behind.
        let seconds = self.settings.seconds + 0.05;
        let sound = Sound::decode(wav, seconds)?.at_rate(self.settings.sample_rate);
        self.features(sound.samples, out);
        Ok(())
    }

    /// Appends the features of samples at the plan's rate, cut or filled up with silence to its seconds.
    pub(super) fn features(&self, mut samples: Vec<f32>, out: &mut Vec<f32>) {
        samples.resize(self.settings.samples(), 0.0);
        let mut frame = self.transform.make_input_vec();
        let mut spectrum = self.transform.make_output_vec();
        let mut scratch = self.transform.make_scratch_vec();
        for stretch in samples.windows(self.settings.n_fft).step_by(self.settings.hop) {
            for ((value, sample), weight) in frame.iter_mut().zip(stretch).zip(&self.window) {
                *value = sample * weight;
            }
            self.transform
                .process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("the transform made these buffers itself");
            let powers: Vec<f32> = spectrum.iter().map(|value| value.norm_sqr()).collect();
            out.extend(self.bands.iter().map(|band| band.log_power(&powers)));
        }
    }
}

impl Band {
    fn log_power(&self, powers: &[f32]) -> f32 {
        let power: f32 = self.weights.iter().zip(&powers[self.first..]).map(|(w, power)| w * power).sum();
        power.max(POWER_MIN).ln()
    }
}

/// Triangles whose corners are equally far apart in mel, 2595 log10(1 + f / 700), from 0 to half the sample rate,
/// each of height 1.
fn bands(settings: &LogMel) -> Vec<Band> {
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let rate = f64::from(settings.sample_rate);
    let top = mel(rate / 2.0);
    let corner = |at: usize| hertz(top * at as f64 / (settings.n_mels + 1) as f64);
    let frequency = |bin: usize| bin as f64 * rate / settings.n_fft as f64;
    let band = |at: usize| {
        let (low, middle, high) = (corner(at), corner(at + 1), corner(at + 2));
        let weight = |bin: usize| {
            let up = (frequency(bin) - low) / (middle - low);
            let down = (high - frequency(bin)) / (high - middle);
            up.min(down).max(0.0) as f32
        };
        let inside = |bin: &usize| frequency(*bin) > low && frequency(*bin) < high;
        let bins: Vec<usize> = (0..=settings.n_fft / 2).filter(inside).collect();
        Band { first: bins.first().copied().unwrap_or(0), weights: bins.into_iter().map(weight).collect() }
    };
    (0..settings.n_mels).map(band).collect()
}
