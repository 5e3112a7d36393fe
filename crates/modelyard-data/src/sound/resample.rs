//! Sound at another sample rate: each new sample is what the old ones, seen as a band-limited curve, have at its
//! time (a sinc under a Hann window; Smith, "Digital Audio Resampling").

use std::f64::consts::PI;

/// How many zero crossings of the sinc are kept on either side: the error stays some 60 dB below the sound.
const CROSSINGS: f64 = 24.0;

/// The samples at the rate `to`.
pub(super) fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let step = f64::from(from) / f64::from(to);
    // Going down, what the new rate cannot hold is cut off.
    let cutoff = step.recip().min(1.0);
    let reach = CROSSINGS / cutoff;
    let count = (samples.len() as f64 / step).ceil() as usize;
    let value_at = |place: f64| {
        let first = (place - reach).ceil().max(0.0) as usize;
        let last = ((place + reach).floor() as usize).min(samples.len() - 1);
        let near = samples.iter().enumerate().take(last + 1).skip(first);
        let sum: f64 =
            near.map(|(at, value)| f64::from(*value) * weight(place - at as f64, cutoff, reach)).sum();
        sum as f32
    };
    (0..count).map(|at| value_at(at as f64 * step)).collect()
}

/// The windowed sinc at `distance` samples from its middle.
fn weight(distance: f64, cutoff: f64, reach: f64) -> f64 {
    if distance.abs() >= reach {
        return 0.0;
    }
    let angle = PI * distance * cutoff;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    let window = 0.5 + 0.5 * (PI * distance / reach).cos();
    cutoff * sinc * window
}
