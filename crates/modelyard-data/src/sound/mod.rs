//! WAV bytes into samples, and samples into the log-mel features that networks hear with.

mod mel;
mod resample;

use std::io::Cursor;

use hound::{SampleFormat, WavReader};

use crate::error::Problem;

pub(crate) use mel::MelPlan;

/// Sample rates outside of this are no sound that anything records.
const RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// Sound of one channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sound {
    /// Samples a second.
    pub(crate) rate: u32,
    /// From −1 to 1.
    pub(crate) samples: Vec<f32>,
}

impl Sound {
    /// Decodes the first `seconds` of a WAV file: integers of 8, 16, 24 or 32 bits, or floats of 32; several
    /// channels become their mean.
    pub(crate) fn decode(bytes: &[u8], seconds: f64) -> Result<Self, Problem> {
        let mut reader = WavReader::new(Cursor::new(bytes)).map_err(refused)?;
        let spec = reader.spec();
        let channels = usize::from(spec.channels);
        if !RATES.contains(&spec.sample_rate) || channels == 0 {
            let (rate, channels) = (spec.sample_rate, spec.channels);
            return Err(Problem::new(format!("a WAV file of {channels} channels and {rate} Hz is none"))
                .hint(format!("sample rates are from {} to {} Hz", RATES.start(), RATES.end())));
        }
        let told = reader.len() as usize;
        if told < channels {
            return Err(Problem::new("the WAV file holds no sound: its length is zero")
                .hint("leave out rows without sound"));
        }
        if bytes.len() < told.saturating_mul(usize::from(spec.bits_per_sample).div_ceil(8)) {
            return Err(Problem::new(format!(
                "the WAV file is truncated: its header tells of {told} samples, and the file has {} bytes",
                bytes.len()
            )));
        }
        let frames = (seconds * f64::from(spec.sample_rate)).ceil() as usize;
        let wanted = told.min(frames.saturating_mul(channels));
        let values: Result<Vec<f32>, hound::Error> = match spec.sample_format {
            SampleFormat::Float => reader.samples::<f32>().take(wanted).collect(),
            SampleFormat::Int => {
                let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
                reader.samples::<i32>().take(wanted).map(|s| Ok(s? as f32 * scale)).collect()
            }
        };
        let values = values.map_err(refused)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Problem::new("the WAV file holds samples that are no numbers"));
        }
        let mono = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        Ok(Self { rate: spec.sample_rate, samples: values.chunks_exact(channels).map(mono).collect() })
    }

    /// The sound at another rate.
    pub(crate) fn at_rate(self, rate: u32) -> Self {
        if rate == self.rate {
            return self;
        }
        Self { rate, samples: resample::resample(&self.samples, self.rate, rate) }
    }
}

fn refused(error: hound::Error) -> Problem {
    let text = match error {
        hound::Error::IoError(_) => "it ends too early".to_owned(),
        other => other.to_string(),
    };
    Problem::new(format!("the WAV file cannot be decoded: {text}"))
        .hint("give PCM of 8, 16, 24 or 32 bits, or floats; other sound: `ffmpeg -i sound.mp3 sound.wav`")
}

#[cfg(test)]
mod tests;
