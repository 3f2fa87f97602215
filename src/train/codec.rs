//! What a telephone or a call at a low rate leaves of speech.

use opus_pure::{Application, Error, MAX_PACKET_BYTES, OpusDecoder, OpusEncoder};
use rand::Rng;

use super::audio::resample;
use crate::audio::{AudioError, SAMPLE_RATE_HZ};

/// Opus packets of 20 ms, which is what calls use (RFC 6716 §2.1.4).
const PACKET: usize = SAMPLE_RATE_HZ as usize / 50;
/// Rates of Opus at which speech is understood but sounds poor (RFC 6716 §2.1.1).
const BITS_PER_SECOND: (i32, i32) = (6_000, 20_000);
/// μ of G.711's logarithm.
const MU: f32 = 255.0;

/// Sends samples at 16 kHz over one of two lines and gives as many back.
pub(super) fn vary(samples: &[f32], rng: &mut impl Rng) -> Result<Vec<f32>, AudioError> {
    if rng.random_bool(0.5) {
        return telephone(samples);
    }
    let bits_per_second = rng.random_range(BITS_PER_SECOND.0..BITS_PER_SECOND.1);
    // An encoder that refuses these settings would refuse them for all clips, which the test would show.
    Ok(opus(samples, bits_per_second).unwrap_or_else(|_| samples.to_vec()))
}

/// G.711: 8 kHz, each sample one of 255 values on a logarithmic scale.
fn telephone(samples: &[f32]) -> Result<Vec<f32>, AudioError> {
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    resample(samples, 0.5, &mut narrow)?;
    narrow.iter_mut().for_each(|sample| *sample = companded(*sample));
    resample(&narrow, 2.0, &mut wide)?;
    wide.resize(samples.len(), 0.0);
    Ok(wide)
}

/// A sample after μ-law to 8 bits and back (ITU-T G.711).
fn companded(sample: f32) -> f32 {
    let code = (MU * sample.abs().min(1.0)).ln_1p() / MU.ln_1p();
    let code = (code * 127.0).round() / 127.0;
    (code * MU.ln_1p()).exp_m1() / MU * sample.signum()
}

/// Opus and back, with the encoder's delay taken out.
fn opus(samples: &[f32], bits_per_second: i32) -> Result<Vec<f32>, Error> {
    let mut encoder = OpusEncoder::new(SAMPLE_RATE_HZ as i32, 1, Application::Voip)?;
    encoder.bitrate_bps = bits_per_second;
    encoder.complexity = 2;
    let mut decoder = OpusDecoder::new(SAMPLE_RATE_HZ as i32, 1)?;
    let delay = encoder.lookahead();
    let padded: Vec<f32> = samples.iter().copied().chain(std::iter::repeat_n(0.0, delay + PACKET)).collect();
    let (mut packet, mut pcm) = (vec![0; MAX_PACKET_BYTES], vec![0.0; PACKET]);
    let mut out = Vec::with_capacity(padded.len());
    for part in padded.chunks_exact(PACKET) {
        let bytes = encoder.encode(part, PACKET, &mut packet)?;
        let count = decoder.decode(&packet[..bytes], PACKET, &mut pcm)?;
        out.extend_from_slice(&pcm[..count]);
    }
    out.drain(..delay.min(out.len()));
    out.resize(samples.len(), 0.0);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    /// A second of three voices' fundamentals and a hiss at 6 kHz.
    fn clip() -> Vec<f32> {
        let tone = |i: usize, hz: f32| (i as f32 * hz * TAU / SAMPLE_RATE_HZ as f32).sin();
        (0..SAMPLE_RATE_HZ as usize).map(|i| 0.2 * (tone(i, 150.0) + tone(i, 700.0)) + 0.1 * tone(i, 6_000.0)).collect()
    }

    /// Strength of a frequency.
    fn level(samples: &[f32], hz: f32) -> f32 {
        let angle = |i: usize| i as f32 * hz * TAU / SAMPLE_RATE_HZ as f32;
        let sum = |wave: fn(f32) -> f32| samples.iter().enumerate().map(|(i, s)| s * wave(angle(i))).sum::<f32>();
        sum(f32::sin).hypot(sum(f32::cos)) * 2.0 / samples.len() as f32
    }

    #[test]
    fn a_telephone_keeps_what_is_below_four_kilohertz() {
        let heard = telephone(&clip()).unwrap();
        assert_eq!(heard.len(), clip().len());
        assert!((level(&heard, 700.0) - 0.2).abs() < 0.02, "{}", level(&heard, 700.0));
        assert!(level(&heard, 6_000.0) < 0.005);
        assert_ne!(heard, clip());
    }

    #[test]
    fn companding_is_fine_for_soft_samples_and_coarse_for_loud_ones() {
        assert_eq!(companded(0.0), 0.0);
        for sample in [0.001f32, 0.01, 0.1, 0.5, 1.0, -0.3] {
            assert!((companded(sample) / sample - 1.0).abs() < 0.15, "{sample} is {}", companded(sample));
        }
    }

    #[test]
    fn opus_at_a_low_rate_keeps_the_voice_in_its_place() {
        let (before, after) = (clip(), opus(&clip(), 8_000).unwrap());
        assert_eq!(after.len(), before.len());
        let likeness = |shift: usize| before.iter().zip(&after[shift..]).map(|(a, b)| a * b).sum::<f32>();
        let power = before.iter().map(|sample| sample * sample).sum::<f32>();
        assert!(likeness(0) > 0.5 * power, "{} of {power}", likeness(0));
        assert!((1..12).all(|shift| likeness(shift) < likeness(0)), "it is late");
        assert_ne!(after, before);
    }

    #[test]
    fn nothing_stays_nothing() {
        assert!(telephone(&[]).unwrap().is_empty());
        assert!(opus(&[], 8_000).unwrap().is_empty());
    }
}
