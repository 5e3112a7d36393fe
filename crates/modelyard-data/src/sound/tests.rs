//! WAV files of every kind, and features against a transform written out by hand.

use hound::{WavSpec, WavWriter};

use super::*;
use crate::transform::LogMel;

/// A WAV file of these samples, from −1 to 1.
fn wav(samples: &[f32], rate: u32, bits: u16, channels: u16) -> Vec<u8> {
    let float = bits == 0;
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: if float { 32 } else { bits },
        sample_format: if float { SampleFormat::Float } else { SampleFormat::Int },
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).expect("a header");
    for sample in samples {
        if float {
            writer.write_sample(*sample).expect("writes");
        } else {
            let scale = ((1u64 << (bits - 1)) - 1) as f32;
            writer.write_sample((sample * scale) as i32).expect("writes");
        }
    }
    writer.finalize().expect("finishes");
    bytes.into_inner()
}

fn tone(hertz: f32, rate: u32, count: usize) -> Vec<f32> {
    (0..count).map(|at| 0.5 * (std::f32::consts::TAU * hertz * at as f32 / rate as f32).sin()).collect()
}

#[test]
fn every_kind_of_sample_is_read() {
    let samples = tone(50.0, 8000, 400);
    for (bits, tolerance) in [(8, 0.01), (16, 1e-4), (24, 1e-6), (32, 1e-6), (0, 0.0)] {
        let sound = Sound::decode(&wav(&samples, 8000, bits, 1), 1.0).expect("decodes");
        assert_eq!((sound.rate, sound.samples.len()), (8000, 400), "{bits} bits");
        for (got, expected) in sound.samples.iter().zip(&samples) {
            assert!((got - expected).abs() <= tolerance, "{bits} bits: {got} is not {expected}");
        }
    }
}

#[test]
fn two_channels_become_their_mean() {
    let sound = Sound::decode(&wav(&[0.5, 0.25, -1.0, 1.0], 8000, 0, 2), 1.0).expect("decodes");
    assert_eq!(sound.samples, [0.375, 0.0]);
}

#[test]
fn only_the_seconds_asked_for_are_decoded() {
    let sound = Sound::decode(&wav(&tone(50.0, 8000, 8000), 8000, 16, 1), 0.5).expect("decodes");
    assert_eq!(sound.samples.len(), 4000);
}

#[test]
fn an_odd_rate_keeps_the_tone() {
    for rate in [11_025, 44_100, 7_919] {
        let sound = Sound { rate, samples: tone(440.0, rate, rate as usize) }.at_rate(16_000);
        assert!(sound.samples.len().abs_diff(16_000) <= 1, "{}", sound.samples.len());
        let expected = tone(440.0, 16_000, 16_000);
        for (got, expected) in sound.samples.iter().zip(&expected).take(15_900).skip(100) {
            assert!((got - expected).abs() < 2e-3, "{rate} Hz: {got} is not {expected}");
        }
    }
    let high = Sound { rate: 48_000, samples: tone(15_000.0, 48_000, 4800) }.at_rate(16_000);
    assert!(high.samples[100..1500].iter().all(|value| value.abs() < 0.02), "what does not fit is cut off");
}

#[test]
fn wav_files_that_are_none_are_refused() {
    let whole = wav(&tone(50.0, 8000, 400), 8000, 16, 1);
    for (bytes, says) in [
        (wav(&[], 8000, 16, 1), "length is zero"),
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (whole[..20].to_vec(), "ends too early"),
        (b"RIFFnothing".to_vec(), "cannot be decoded"),
        (b"\x89PNG".to_vec(), "cannot be decoded"),
        (Vec::new(), "ends too early"),
        (wav(&[0.1], 50, 16, 1), "50 Hz"),
        (wav(&[f32::NAN], 8000, 0, 1), "no numbers"),
    ] {
        let problem = Sound::decode(&bytes, 1.0).expect_err(says);
        assert!(problem.text.contains(says), "{:?} should tell of {says:?}", problem.text);
    }
}

/// The features by a discrete Fourier transform written out, in double precision.
fn by_hand(settings: &LogMel, samples: &[f32]) -> Vec<f64> {
    use std::f64::consts::TAU;
    let n = settings.n_fft;
    let sample = |at: usize| f64::from(samples.get(at).copied().unwrap_or(0.0));
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let [frames, count] = settings.shape();
    let width = mel(f64::from(settings.sample_rate) / 2.0) / (count + 1) as f64;
    let hertz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let mut features = Vec::new();
    for frame in 0..frames {
        let power = |bin: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for at in 0..n {
                let windowed =
                    sample(frame * settings.hop + at) * (0.5 - 0.5 * (TAU * at as f64 / n as f64).cos());
                let angle = TAU * (bin * at) as f64 / n as f64;
                re += windowed * angle.cos();
                im -= windowed * angle.sin();
            }
            re * re + im * im
        };
        let powers: Vec<f64> = (0..=n / 2).map(power).collect();
        for band in 0..count {
            let corner = |at: usize| hertz(width * (band + at) as f64);
            let sum: f64 = powers
                .iter()
                .enumerate()
                .map(|(bin, power)| {
                    let frequency = bin as f64 * f64::from(settings.sample_rate) / n as f64;
                    let up = (frequency - corner(0)) / (corner(1) - corner(0));
                    let down = (corner(2) - frequency) / (corner(2) - corner(1));
                    up.min(down).max(0.0) * power
                })
                .sum();
            features.push(sum.max(1e-10).ln());
        }
    }
    features
}

#[test]
fn features_agree_with_a_transform_by_hand() {
    let settings = LogMel { sample_rate: 8000, seconds: 0.1, n_fft: 128, hop: 64, n_mels: 10 };
    let samples: Vec<f32> =
        tone(440.0, 8000, 600).iter().zip(tone(1700.0, 8000, 600)).map(|(a, b)| a + 0.3 * b).collect();
    let mut features = Vec::new();
    MelPlan::new(&settings).features(samples.clone(), &mut features);
    let expected = by_hand(&settings, &samples);
    assert_eq!(features.len(), expected.len());
    assert_eq!(features.len(), MelPlan::new(&settings).width());
    for (at, (got, expected)) in features.iter().zip(&expected).enumerate() {
        assert!((f64::from(*got) - expected).abs() < 2e-3, "{at}: {got} is not {expected}");
    }
}
